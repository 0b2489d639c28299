//! Distinguished names and subject alternative names: what is read, what is written, what is refused.
#![allow(clippy::unwrap_used, reason = "test code")]

use assay_policy::{Dn, SanKind, StringEncoding, SubjectAltName};
use proptest::prelude::*;

fn parse(text: &str) -> Result<String, String> {
    Dn::parse_rfc4514(text)
        .map(|dn| dn.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn rfc_4514_strings_are_read_and_written() {
    // Left: what an operator may type. Right: the one form that is written.
    for (typed, written) in [
        ("CN=device-1,O=Example", "CN=device-1,O=Example"),
        ("cn=device-1 , o = Example", "CN=device-1,O=Example"),
        ("2.5.4.3=device-1", "CN=device-1"),
        ("1.2.3.4=x", "1.2.3.4=x"),
        ("", ""),
        // RFC 4514 section 4.
        (
            r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#,
            r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#,
        ),
        (
            "OU=Sales+CN=J. Smith,DC=example,DC=net",
            "CN=J. Smith+OU=Sales,DC=example,DC=net",
        ),
        (r"CN=Lu\C4\8Di\C4\87", "CN=Lučić"),
        (r"CN=a\2cb", r"CN=a\,b"),
        (r"CN=\#1 \= one", r"CN=\#1 \= one"),
        ("CN=#0c0161", "CN=a"),
        ("CN=#130161,O=b", "CN=a,O=b"),
    ] {
        assert_eq!(parse(typed), Ok(written.to_owned()), "{typed}");
        assert_eq!(parse(written), Ok(written.to_owned()), "{written}");
    }
}

#[test]
fn what_is_wrong_with_a_name_is_told() {
    for (typed, told) in [
        (
            "device-1",
            "at character 8: an attribute is written TYPE=value",
        ),
        (
            "XX=a",
            "unknown attribute type `XX`: use a short name such as CN, O or OU, or a dotted OID",
        ),
        ("CN=", "CN: a value must not be empty"),
        (
            "CN=a,",
            "at character 5: an attribute is written TYPE=value",
        ),
        (
            "CN=a;O=b",
            "at character 4: `\"`, `;`, `<` and `>` must be escaped with `\\`",
        ),
        (
            r"CN=a\zz",
            "at character 4: `\\` is followed by a special character or two hexadecimal digits",
        ),
        (
            r"CN=a\ff",
            "at character 7: escaped octets must form valid UTF-8",
        ),
        (r"CN=a\00", "CN: NUL and control characters are not allowed"),
        (r"CN=a\ ", "CN: a value must not begin or end with a space"),
        (
            "CN=cafe\u{301}",
            "CN: a value must be in Unicode normalization form C",
        ),
        (
            "CN=a,CN=a",
            "RDN CN=a occurs twice; each RDN may occur once",
        ),
        (
            "CN=a+CN=b",
            "CN occurs twice in one RDN; each attribute type may occur once",
        ),
        (
            "C=DEU",
            "C: at most 2 characters are allowed (RFC 5280 appendix A.1)",
        ),
        ("C=Ü", "C: only characters of printable strings are allowed"),
        (
            "CN=#1e020041",
            "at character 3: `#` is followed by the DER of a UTF8String, PrintableString or IA5String in hexadecimal",
        ),
    ] {
        assert_eq!(parse(typed), Err(told.to_owned()), "{typed}");
    }
}

#[test]
fn a_name_is_encoded_as_asked_but_for_types_that_leave_no_choice() {
    let dn = Dn::parse_rfc4514("CN=a,DC=b,C=DE").unwrap();
    let der = |encoding| hex::encode(dn.to_der(encoding).unwrap());
    let country = "310b3009060355040613024445";
    let component = "3111300f060a0992268993f22c640119160162";
    let common_name = "310a30080603550403";
    assert_eq!(
        der(StringEncoding::Utf8),
        format!("302c{country}{component}{common_name}0c0161")
    );
    assert_eq!(
        der(StringEncoding::Printable),
        format!("302c{country}{component}{common_name}130161")
    );
    let euro = Dn::parse_rfc4514("CN=€").unwrap();
    assert!(euro.to_der(StringEncoding::Utf8).is_ok());
    let error = euro.to_der(StringEncoding::Printable).unwrap_err();
    assert_eq!(
        error.to_string(),
        "CN: only characters of printable strings are allowed"
    );
}

#[test]
fn subject_alternative_names_are_read_and_written() {
    for text in [
        "dns:a.example.com",
        "dns:*.example.com",
        "dns:xn--bcher-kva.example",
        "ip:192.0.2.1",
        "ip:2001:db8::1",
        "email:jane.doe@example.com",
        "uri:urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "upn:jane@EXAMPLE.COM",
        "other:1.2.3.4;0c0161",
    ] {
        let name: SubjectAltName = text.parse().unwrap();
        assert_eq!(name.to_string(), text);
        let der = SubjectAltName::list_to_der(std::slice::from_ref(&name)).unwrap();
        assert_eq!(
            SubjectAltName::list_from_der(&der).unwrap(),
            [name],
            "{text}"
        );
    }
    let sid: SubjectAltName = "uri:tag:microsoft.com,2022-09-14:sid:S-1-5-21"
        .parse()
        .unwrap();
    assert_eq!(sid.kind(), SanKind::MicrosoftSid);
}

#[test]
fn subject_alternative_names_that_are_not_well_formed_are_refused() {
    for text in [
        "a.example.com",
        "DNS:a.example.com",
        "dns:",
        "dns:a.example.com.",
        "dns:a..example.com",
        "dns:-a.example.com",
        "dns:a_b.example.com",
        "dns:bücher.example",
        "dns:a.*.example.com",
        "dns:192.0.2.1",
        "ip:192.0.2.0/24",
        "ip:host",
        "email:jane",
        "email:jane@-example.com",
        "email:Jane Doe <jane@example.com>",
        "uri:relative",
        "uri:http://exa mple",
        "uri:TAG:microsoft.com,2022-09-14:sid:S-1-5-21",
        "uri:tag:Microsoft.com,2022-09-14:sid:S-1-5-21",
        "uri:tag:microsoft.com,2022-09-14:SID:S-1-5-21",
        "uri:tag:microsoft.com,2022-09-14:sid:",
        "upn:jane",
        "upn:@example.com",
        "other:1.2.3.4;zz",
        "other:1.3.6.1.4.1.311.20.2.3;0c0161",
    ] {
        assert!(text.parse::<SubjectAltName>().is_err(), "{text}");
    }
    // directoryName, registeredID and an iPAddress of three octets.
    for der in ["3004a4023000", "300488022a03", "300587030a0000"] {
        assert!(
            SubjectAltName::list_from_der(&hex::decode(der).unwrap()).is_err(),
            "{der}"
        );
    }
}

proptest! {
    #[test]
    fn a_name_that_is_written_reads_back_as_the_same_name(values in prop::collection::vec("\\PC{1,12}", 1..5)) {
        let attributes = values.iter().filter_map(|value| {
            assay_policy::DnAttribute::new(const_oid::ObjectIdentifier::new_unwrap("2.5.4.11"), value.as_str()).ok()
        });
        let rdns = attributes.map(|attribute| assay_policy::Rdn::new(vec![attribute]).unwrap()).collect();
        if let Ok(dn) = Dn::new(rdns) {
            prop_assert_eq!(Dn::parse_rfc4514(&dn.to_string()), Ok(dn));
        }
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in ".{0,64}") {
        let _ = Dn::parse_rfc4514(&text);
        let _ = text.parse::<SubjectAltName>();
        let _ = Dn::parse_rfc4514(&format!("CN={text}"));
    }
}
