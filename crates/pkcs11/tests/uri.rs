//! PKCS#11 URIs: what is understood, what is refused and why.

use assay_pkcs11::{KeyUri, PinSource, TokenUri, UriError};
use proptest::prelude::*;

#[test]
fn a_key_uri_is_understood_in_any_order_and_encoding() {
    for uri in [
        "pkcs11:token=Service%20keys;serial=0aB1;object=ca;id=%01%ff?pin-source=file:/run/pin",
        "pkcs11:id=%01%FF;object=c%61;serial=0aB1;token=Service%20keys?pin-source=file:///run/pin",
        "pkcs11:object=ca;type=private;token=Service%20keys;serial=0aB1;id=%01%ff?pin-source=/run/pin",
    ] {
        let key = KeyUri::parse(uri).unwrap();
        assert_eq!(key.token().label(), Some("Service keys"), "{uri}");
        assert_eq!(key.token().serial(), Some("0aB1"), "{uri}");
        assert_eq!(key.object(), "ca", "{uri}");
        assert_eq!(key.id(), [1, 0xff], "{uri}");
        let source = PinSource::File("/run/pin".into());
        assert_eq!(key.token().pin_source(), Some(&source), "{uri}");
    }
}

#[test]
fn a_credential_is_one_plain_name() {
    let source = |value: &str| {
        TokenUri::parse(&format!("pkcs11:token=t?pin-source={value}"))
            .map(|uri| uri.pin_source().cloned())
    };
    assert_eq!(
        source("credential:hsm-pin"),
        Ok(Some(PinSource::Credential("hsm-pin".to_owned())))
    );
    for bad in [
        "credential:",
        "credential:..",
        "credential:../pin",
        "credential:/etc/pin",
        "credential:a/b",
        "credential:a/",
        "file:pin",
        "http:%2f%2fpin",
    ] {
        assert!(matches!(source(bad), Err(UriError::Value { .. })), "{bad}");
    }
}

#[test]
fn a_pin_file_keeps_its_leading_slashes_when_written_and_read() {
    for path in ["/run/pin", "//run/pin", "///run/pin", "////run/pin"] {
        let uri = TokenUri::parse(&format!("pkcs11:token=Assay?pin-source=file://{path}")).unwrap();
        assert_eq!(uri.pin_source(), Some(&PinSource::File(path.into())));
        assert_eq!(TokenUri::parse(&uri.to_string()).unwrap(), uri, "{path}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        ("token=t;object=o;id=%01", "pkcs11:"),
        ("pkcs11:object=o;id=%01", "token"),
        ("pkcs11:token=t;id=%01", "object"),
        ("pkcs11:token=t;object=o", "id"),
        ("pkcs11:token=t;object=o;id=", "id"),
        ("pkcs11:token=;object=o;id=%01", "token"),
        ("pkcs11:token=t;object=o;id=%01;token=t", "twice"),
        ("pkcs11:token=t;object=o;id=%01;slot-id=3", "slot-id"),
        ("pkcs11:token=t;object=o;id=%01;x-vendor=3", "x-vendor"),
        ("pkcs11:token=t;object=o;id=%01;type=public", "private"),
        ("pkcs11:token=t;object=o;id=%01;pin-source=/p", "wrong side"),
        ("pkcs11:token=t;object=o?id=%01", "wrong side"),
        ("pkcs11:token=t;object=o;id=%01;", "name=value"),
        ("pkcs11:token=t;object=o;id=%0", "encoded"),
        ("pkcs11:token=t;object=o;id=%zz", "encoded"),
        ("pkcs11:token=a b;object=o;id=%01", "encoded"),
        ("pkcs11:token=%ff;object=o;id=%01", "encoded"),
        (
            "pkcs11:token=t;object=o;id=%01?pin-value=1234",
            "pin-source",
        ),
        (
            "pkcs11:token=t;object=o;id=%01;pin-value=1234",
            "pin-source",
        ),
        (
            "pkcs11:token=t;object=o;id=%01?module-name=x",
            "module-name",
        ),
        (
            "pkcs11:token=t;object=o;id=%01?module-path=x.so",
            "absolute",
        ),
    ];
    for (uri, word) in cases {
        let error = KeyUri::parse(uri).unwrap_err().to_string();
        assert!(error.contains(word), "{uri}: {error}");
        assert!(!error.contains("1234"), "{uri}: {error}");
    }
    let long = format!("pkcs11:token={}", "t".repeat(4096));
    assert!(matches!(
        KeyUri::parse(&long),
        Err(UriError::TooLong { .. })
    ));
    let key_on_token = TokenUri::parse("pkcs11:token=t;object=o").unwrap_err();
    assert!(key_on_token.to_string().contains("object"));
}

proptest! {
    #[test]
    fn any_key_survives_being_written_and_read(
        label in "\\PC{1,32}",
        serial in "[0-9a-f]{16}",
        object in "\\PC{1,40}",
        id in prop::collection::vec(any::<u8>(), 1..32),
        path in "/[a-z %&?;=é]{1,40}",
    ) {
        let encode = |text: &str| -> String {
            text.bytes().map(|octet| format!("%{octet:02x}")).collect()
        };
        let id_text: String = id.iter().map(|octet| format!("%{octet:02x}")).collect();
        let uri = format!(
            "pkcs11:token={};serial={serial};object={};id={id_text}?pin-source=file:{}",
            encode(&label), encode(&object), encode(&path),
        );
        let key = KeyUri::parse(&uri).unwrap();
        prop_assert_eq!(key.token().label(), Some(label.as_str()));
        prop_assert_eq!(key.object(), &object);
        prop_assert_eq!(key.id(), &id);
        prop_assert_eq!(KeyUri::parse(&key.to_string()).unwrap(), key);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(pkcs11:)?[ -~é%]{0,200}") {
        let _ = KeyUri::parse(&text);
        let _ = TokenUri::parse(&text);
    }
}
