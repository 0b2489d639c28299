//! String types of a subject: accepted as each attribute's definition allows, issued as the profile says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod support;

use assay_policy::{Attribute, Facts, Issuer, Profile, decide, tbs};
use der::{Decode, Encode};
use support::{changed_profile, one_time};

const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const TELETEX: u8 = 0x14;
const IA5: u8 = 0x16;

fn value(oid: &str, tag: u8, text: &str) -> Attribute {
    Attribute {
        oid: oid.parse().unwrap(),
        tag,
        value: text.into(),
    }
}

/// The request of an IOS-XE router: OU, then chassis number, address and host name in one RDN.
fn router() -> Facts {
    let mut facts = support::device();
    facts.profile = "cisco-router".to_owned();
    let subject = "serialNumber=FTX1840ALBW+unstructuredAddress=192.0.2.7+unstructuredName=r1.example.org,OU=Routers";
    facts.grant = one_time("cisco-router", subject, &["dns:r1.example.org"]);
    facts.subject = vec![
        vec![value("2.5.4.11", PRINTABLE, "Routers")],
        vec![
            value("2.5.4.5", PRINTABLE, "FTX1840ALBW"),
            value("1.2.840.113549.1.9.8", PRINTABLE, "192.0.2.7"),
            value("1.2.840.113549.1.9.2", IA5, "r1.example.org"),
        ],
    ];
    facts.sans = None;
    facts
}

fn cisco() -> Profile {
    support::profile("examples", "cisco-router")
}

/// Tag and value of each attribute in the certificate's subject.
fn issued(profile: &Profile, facts: &Facts) -> Vec<Vec<(u8, Vec<u8>)>> {
    let permit = decide(profile, facts).unwrap();
    let issuer: Issuer = support::issuer();
    let (from, to) = profile.validity(facts.now, &issuer);
    let tbs = tbs(profile, permit, &issuer, &[0x5a; 17], from, to).unwrap();
    let tbs = x509_cert::TbsCertificate::from_der(tbs.der()).unwrap();
    let rdns = tbs.subject().iter_rdn();
    rdns.map(|rdn| {
        let values = rdn.iter().map(|attribute| &attribute.value);
        values
            .map(|value| (value.to_der().unwrap()[0], value.value().to_vec()))
            .collect()
    })
    .collect()
}

#[test]
fn a_router_gets_its_subject_back_as_it_sent_it() {
    let subject = issued(&cisco(), &router());
    assert_eq!(subject[0], [(PRINTABLE, b"Routers".to_vec())]);
    let mut second = subject[1].clone();
    second.sort();
    let wanted = [
        (PRINTABLE, b"192.0.2.7".to_vec()),
        (PRINTABLE, b"FTX1840ALBW".to_vec()),
        (IA5, b"r1.example.org".to_vec()),
    ];
    assert_eq!(second, wanted);

    let mut utf8 = router();
    utf8.subject[0][0].tag = UTF8;
    utf8.subject[1][2].tag = UTF8;
    assert_eq!(issued(&cisco(), &utf8)[0], [(UTF8, b"Routers".to_vec())]);
}

#[test]
fn a_type_that_the_profile_does_not_accept_is_refused() {
    for (rdn, place, tag) in [(0, 0, IA5), (1, 1, IA5), (1, 0, UTF8), (0, 0, TELETEX)] {
        let mut facts = router();
        facts.subject[rdn][place].tag = tag;
        let refusal = decide(&cisco(), &facts).unwrap_err();
        assert_eq!(refusal.rule.as_str(), "SUB-06", "{rdn} {place} {tag:#x}");
    }
}

#[test]
fn teletex_of_ascii_is_accepted_where_the_profile_says_so_and_issued_as_another_type() {
    let literal = "value = { literal = \"Example\" }\naccept = [\"utf8\", ";
    let teletex = format!("{literal}\"teletex\", ");
    let profile = changed_profile("demo", "devices", literal, &teletex);
    let mut facts = support::device();
    facts.subject[1][0].tag = UTF8;
    facts.subject[0][0].tag = TELETEX;
    assert_eq!(issued(&profile, &facts)[0], [(UTF8, b"Example".to_vec())]);

    facts.subject[0][0].value = b"Ex\xe4mple".to_vec();
    let refusal = decide(&profile, &facts).unwrap_err();
    assert_eq!(refusal.rule.as_str(), "SUB-02");
}
