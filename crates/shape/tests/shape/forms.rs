use std::collections::BTreeSet;
use std::time::Duration;

use assay_shape::{
    Demand, Form, FormFault, Forms, Misfit, NameDemand, NameValue, RsaSizes, SanKind,
};
use assay_types::Curve;
use const_oid::ObjectIdentifier;

use crate::support::*;

fn fault(from: &str, to: &str) -> FormFault {
    assert!(FORMS.contains(from), "{from}");
    let file: File = toml::from_str(&FORMS.replacen(from, to, 1)).unwrap();
    Forms::new(file.form).unwrap_err().fault
}

#[test]
fn each_unsafe_form_is_refused_in_one_line() {
    let purposes = r#"["serverAuth"]"#;
    let usages = r#"["digitalSignature"]"#;
    assert_eq!(fault(purposes, "[]"), FormFault::NoPurpose);
    for any in ["anyExtendedKeyUsage", "2.5.29.37.0"] {
        let list = format!("[\"serverAuth\", \"{any}\"]");
        assert_eq!(fault(purposes, &list), FormFault::AnyPurpose);
    }
    for responder in ["OCSPSigning", "1.3.6.1.5.5.7.3.9"] {
        let list = format!("[\"{responder}\"]");
        assert_eq!(fault(purposes, &list), FormFault::Responder);
    }
    assert_eq!(
        fault(purposes, r#"["serverAuth", "1.3.6.1.5.5.7.3.1"]"#),
        FormFault::List("extended_key_usage")
    );
    assert_eq!(
        fault(purposes, r#"["server"]"#),
        FormFault::UnknownPurpose("server".to_owned())
    );
    assert_eq!(fault(usages, "[]"), FormFault::NoUsage);
    for usage in ["keyCertSign", "cRLSign"] {
        assert_eq!(
            fault(usages, &format!("[\"{usage}\"]")),
            FormFault::CaUsage(usage.to_owned())
        );
    }
    assert_eq!(
        fault(usages, r#"["sign"]"#),
        FormFault::UnknownUsage("sign".to_owned())
    );
    for lifetime in ["0s", "36500d", "1h"] {
        let to = format!("lifetime_max = \"{lifetime}\"");
        assert_eq!(fault(r#"lifetime_max = "90d""#, &to), FormFault::Lifetime);
    }
    assert_eq!(
        fault(r#"backdate_max = "1h""#, r#"backdate_max = "5d""#),
        FormFault::Backdate
    );
    assert_eq!(fault(r#"{ curves = ["p256"] }"#, "{}"), FormFault::NoKey);
    for sizes in [
        "1024, max_bits = 4096",
        "4096, max_bits = 3072",
        "3072, max_bits = 16384",
    ] {
        assert_eq!(fault("3072, max_bits = 4096", sizes), FormFault::RsaSizes);
    }
    assert_eq!(
        fault(r#"["dns", "ip"]"#, r#"["ip"]"#),
        FormFault::UnusedSubtrees {
            list: "dns_subtrees",
            kind: SanKind::Dns
        }
    );
    assert_eq!(
        fault(r#"["dns", "ip"]"#, r#"["dns", "dns"]"#),
        FormFault::List("sans")
    );
    for subtree in [
        "",
        "Example.com",
        ".example.com",
        "*.example.com",
        "192.0.2.1",
    ] {
        let to = format!("dns_subtrees = [\"{subtree}\"]");
        assert!(matches!(
            fault(r#"dns_subtrees = ["example.com"]"#, &to),
            FormFault::Subtree { .. }
        ));
    }
    for url in ["crl", "http://{ca}/{ca}", "http://a b/"] {
        let to = format!("crl_distribution_points = [\"{url}\"]");
        assert!(matches!(
            fault(
                r#"crl_distribution_points = ["http://pki.example.com/crl/{ca}.crl"]"#,
                &to
            ),
            FormFault::Url { .. }
        ));
    }
    assert!(matches!(
        fault(
            r#"["http://ocsp.example.com/"]"#,
            r#"["http://ocsp.example.com/{ca}"]"#
        ),
        FormFault::Url { .. }
    ));
    assert!(matches!(
        fault(r#"["2.23.140.1.2.1"]"#, r#"["domain-validated"]"#),
        FormFault::Oid { .. }
    ));
    // A user principal name has a type of its own.
    assert!(matches!(
        fault(r#"["1.2.3.4"]"#, r#"["1.3.6.1.4.1.311.20.2.3"]"#),
        FormFault::Oid { .. }
    ));
    assert_eq!(fault(r#""server""#, r#""Server""#), FormFault::Name);
    assert_eq!(fault(r#""user""#, r#""server""#), FormFault::RepeatedName);

    let file: File = toml::from_str(FORMS).unwrap();
    let many = (0..257).map(|number| Form {
        name: format!("form-{number}"),
        ..file.form[0].clone()
    });
    assert_eq!(Forms::new(many).unwrap_err().fault, FormFault::TooMany);
    let mut long = file.form[0].clone();
    long.policies = (0..101).map(|arc| format!("1.2.{arc}")).collect();
    let error = Forms::new([long]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "form `server`: policies: wanted at most 100 entries, each once"
    );
}

#[test]
fn a_form_says_nothing_that_is_not_known() {
    for line in [
        "is_ca = true",
        "ca = true",
        "path_len = 0",
        "extensions = []",
    ] {
        let text = FORMS.replacen(
            "name = \"server\"",
            &format!("name = \"server\"\n{line}"),
            1,
        );
        assert!(toml::from_str::<File>(&text).is_err(), "{line}");
    }
    for key in [
        "extended_key_usage",
        "key_usage",
        "lifetime_max",
        "backdate_max",
        "keys",
    ] {
        let text: Vec<&str> = FORMS
            .lines()
            .filter(|line| !line.starts_with(key))
            .collect();
        assert!(toml::from_str::<File>(&text.join("\n")).is_err(), "{key}");
    }
}

#[test]
fn a_form_travels_to_the_signer_as_it_is() {
    let file: File = toml::from_str(FORMS).unwrap();
    let frame = postcard::to_stdvec(&file.form).unwrap();
    let read: Vec<Form> = postcard::from_bytes(&frame).unwrap();
    assert_eq!(read, file.form);
    assert_eq!(Forms::new(read).unwrap(), SERVICE.forms);
    let read = SERVICE.forms.iter().map(|form| form.form().clone());
    assert_eq!(read.collect::<Vec<_>>(), file.form);
}

#[test]
fn durations_are_written_as_people_write_them() {
    let file: File = toml::from_str(FORMS).unwrap();
    for text in ["90d", "25h", "90m", "61s", "1s 500ms"] {
        let mut form = file.form[0].clone();
        form.lifetime_max = humantime::parse_duration(text).unwrap();
        let written = toml::Table::try_from(&form).unwrap();
        assert_eq!(written["lifetime_max"].as_str(), Some(text));
        assert_eq!(written.try_into::<Form>().unwrap(), form);
    }
}

#[test]
fn a_form_of_one_ca_is_not_one_of_another() {
    let text = FORMS.replacen("name = \"user\"", "name = \"user\"\nca = \"new\"", 1);
    let forms = forms(&text);
    let names = |ca| {
        let forms = forms.of_ca(ca);
        forms
            .iter()
            .map(|form| form.name().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("new"), ["server", "user"]);
    assert_eq!(names("old"), ["server"]);
    assert!(Forms::new([]).unwrap().is_empty());
}

fn demand() -> Demand {
    let form = &toml::from_str::<File>(FORMS).unwrap().form[0];
    Demand {
        extended_key_usage: BTreeSet::from([ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1")]),
        key_usage: 1,
        validity: DAY * 90,
        backdate: Duration::from_secs(3_600),
        sans: vec![
            named(SanKind::Dns, "", ".example.com"),
            named(SanKind::Ip, "", ""),
        ],
        rsa: Some(RsaSizes {
            min_bits: 3_072,
            max_bits: 4_096,
        }),
        curves: vec![Curve::P384],
        crl_distribution_points: form.crl_distribution_points.clone(),
        ca_issuers: form.ca_issuers.clone(),
        ocsp: form.ocsp.clone(),
        policies: vec![ObjectIdentifier::new_unwrap("2.23.140.1.2.1")],
    }
}

fn named(kind: SanKind, prefix: &str, suffix: &str) -> NameDemand {
    let (prefix, suffix) = (prefix.to_owned(), suffix.to_owned());
    NameDemand {
        kind,
        value: NameValue::Between { prefix, suffix },
    }
}

#[test]
fn a_profile_is_covered_if_one_form_covers_all_of_it() {
    let covering = SERVICE.forms.covers(&demand()).unwrap();
    assert_eq!(covering.name(), "server");
    let cases: [(Misfit, Change<Demand>); 15] = [
        (Misfit::ExtendedKeyUsage, |demand| {
            demand.extended_key_usage.clear();
        }),
        (Misfit::KeyUsage, |demand| demand.key_usage = 3),
        (Misfit::LifetimeMax(DAY * 90), |demand| {
            demand.validity += DAY;
        }),
        (Misfit::LifetimeMin(DAY), |demand| demand.validity = DAY / 2),
        (Misfit::Backdate(DAY / 24), |demand| demand.backdate = DAY),
        (Misfit::SanType(SanKind::Upn), |demand| {
            demand.sans.push(named(SanKind::Upn, "", "@example.com"));
        }),
        // Names of a challenge have any value.
        (Misfit::Subtree(SanKind::Dns), |demand| {
            demand.sans.push(named(SanKind::Dns, "", ""));
        }),
        (Misfit::Subtree(SanKind::Dns), |demand| {
            demand.sans.push(named(SanKind::Dns, "", "example.com"));
        }),
        (Misfit::Subtree(SanKind::Dns), |demand| {
            demand.sans.push(NameDemand {
                kind: SanKind::Dns,
                value: NameValue::Exactly("www.example.org".to_owned()),
            });
        }),
        (Misfit::Key("of RSA with 2048 bits".to_owned()), |demand| {
            demand.rsa.as_mut().unwrap().min_bits = 2_048;
        }),
        (Misfit::Key("on the curve p521".to_owned()), |demand| {
            demand.curves.push(Curve::P521);
        }),
        (Misfit::CrlDistributionPoints, |demand| {
            demand.crl_distribution_points.clear();
        }),
        (Misfit::AuthorityInfoAccess, |demand| demand.ocsp.clear()),
        (Misfit::AuthorityInfoAccess, |demand| {
            demand.ca_issuers.clear();
        }),
        (Misfit::CertificatePolicies, |demand| {
            demand.policies.clear();
        }),
    ];
    for (misfit, change) in cases {
        let mut demand = demand();
        change(&mut demand);
        let error = SERVICE.forms.covers(&demand).unwrap_err();
        assert_eq!(error.misfits[0], ("server".to_owned(), misfit));
        // The other form differs in its first value.
        assert_eq!(error.misfits[1].1, Misfit::ExtendedKeyUsage);
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn a_name_is_covered_where_every_value_of_it_lies_within() {
    let user = SERVICE.forms.iter().nth(1).unwrap();
    let verdict = |name: NameDemand| {
        let mut demand = demand();
        demand.extended_key_usage = ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4"]
            .map(ObjectIdentifier::new_unwrap)
            .into();
        demand.sans = vec![name];
        demand.rsa = None;
        demand.curves = vec![Curve::P256];
        demand.crl_distribution_points.clear();
        demand.ca_issuers.clear();
        demand.ocsp.clear();
        demand.policies.clear();
        user.covers(&demand)
    };
    for (kind, prefix, suffix, is_covered) in [
        (SanKind::Email, "", "", true),
        (SanKind::Upn, "", "@example.com", true),
        (SanKind::Upn, "", "@corp.example.com", true),
        (SanKind::Upn, "", ".example.com", true),
        (SanKind::Upn, "", "@badexample.com", false),
        (SanKind::Upn, "", "example.com", false),
        (SanKind::Upn, "", "", false),
        (SanKind::Uri, "https://example.com/", "", true),
        (SanKind::Uri, "https://a.example.com/x", "", true),
        (SanKind::Uri, "https://example.com", "", false),
        (SanKind::Uri, "https://example.com", "/", false),
        (SanKind::Uri, "https://example.org/", "", false),
        (SanKind::Uri, "", "", false),
        (SanKind::Other, "", "", false),
        (SanKind::MicrosoftSid, "", "", false),
        (SanKind::Dns, "", "", false),
    ] {
        let covered = verdict(named(kind, prefix, suffix)).is_ok();
        assert_eq!(covered, is_covered, "{kind} {prefix}…{suffix}");
    }
    for (kind, text, is_covered) in [
        (SanKind::Other, "1.2.3.4", true),
        (SanKind::Other, "1.2.3.5", false),
        (SanKind::Upn, "u@example.com", true),
        (SanKind::Upn, "u@example.org", false),
        (SanKind::Uri, "https://example.com", true),
        (SanKind::Uri, "urn:a", false),
    ] {
        let value = NameValue::Exactly(text.to_owned());
        assert_eq!(
            verdict(NameDemand { kind, value }).is_ok(),
            is_covered,
            "{text}"
        );
    }
}
