//! Every certificate that the shipped policy files lead to fits a form, and the form covers its profile.

use std::time::Duration;

use assay_policy::{Facts, Profile, decide, tbs};
use assay_shape::{Forms, Issuer, Leaf, LeafRules};
use openssl::x509::X509;

use crate::policy_support as policy;
use crate::support::*;

const EXAMPLES: &str = "../../policy/examples";
const DEMO: &str = "../../policy/demo";

const FORMS: &str = r#"
[[form]]
name = "smime"
extended_key_usage = ["emailProtection"]
key_usage = ["digitalSignature", "keyEncipherment"]
lifetime_max = "730d"
backdate_max = "1h"
sans = ["email"]
keys = { rsa = { min_bits = 3072, max_bits = 4096 } }
crl_distribution_points = ["http://pki.example.com/crl/{ca}.crl"]
ca_issuers = ["http://pki.example.com/aia/{ca}.cer"]

[[form]]
name = "tls-server"
extended_key_usage = ["serverAuth"]
key_usage = ["digitalSignature"]
lifetime_max = "90d"
backdate_max = "5m"
sans = ["dns", "ip"]
keys = { rsa = { min_bits = 3072, max_bits = 4096 }, curves = ["p256", "p384"] }
crl_distribution_points = ["http://pki.example.com/crl/{ca}.crl"]
ca_issuers = ["http://pki.example.com/aia/{ca}.cer"]
policies = ["2.23.140.1.2.1"]

[[form]]
name = "vpn-gateway"
extended_key_usage = ["serverAuth", "clientAuth", "ipsecIKE"]
key_usage = ["digitalSignature", "keyEncipherment"]
lifetime_max = "365d"
backdate_max = "1h"
sans = ["dns"]
dns_subtrees = ["example.com"]
keys = { rsa = { min_bits = 3072, max_bits = 4096 } }
crl_distribution_points = ["http://pki.example.com/crl/{ca}.crl"]
ca_issuers = ["http://pki.example.com/aia/{ca}.cer"]

[[form]]
name = "wifi-device"
extended_key_usage = ["clientAuth"]
key_usage = ["digitalSignature", "keyEncipherment"]
lifetime_min = "1d"
lifetime_max = "365d"
backdate_max = "10h"
sans = ["dns"]
dns_subtrees = ["wifi.example.com"]
keys = { rsa = { min_bits = 2048, max_bits = 4096 } }
crl_distribution_points = ["http://pki.example.com/crl/{ca}.crl"]
ca_issuers = ["http://pki.example.com/aia/{ca}.cer"]

[[form]]
name = "demo"
extended_key_usage = ["clientAuth"]
key_usage = ["digitalSignature", "keyEncipherment"]
lifetime_max = "90d"
backdate_max = "1h"
sans = ["dns"]
keys = { rsa = { min_bits = 2048, max_bits = 4096 } }
"#;

/// What the policy's own builder makes of a request.
fn built(profile: &Profile, facts: &Facts) -> Vec<u8> {
    let ca = X509::from_der(&SERVICE.ca.certificate).unwrap();
    let issuer = assay_policy::Issuer {
        subject_der: ca.subject_name().to_der().unwrap(),
        key_identifier: ca.subject_key_id().unwrap().as_slice().to_vec(),
        not_before: (now() - DAY * 30).into(),
        not_after: (now() + DAY * 3_650).into(),
        signature_algorithm_der: ALGORITHM.to_vec(),
    };
    let permit = decide(profile, facts).unwrap();
    let (not_before, not_after) = profile.validity(policy::now(), &issuer);
    let serial = policy::serial();
    let tbs = tbs(profile, permit, &issuer, &serial, not_before, not_after).unwrap();
    tbs.der().to_vec()
}

fn one_time(profile: &str, subject: &str, sans: &[&str], bits: u32) -> Facts {
    let grant = policy::one_time(profile, subject, sans);
    policy::request(profile, subject, sans, &policy::rsa(bits), grant)
}

#[test]
fn every_certificate_of_the_shipped_policies_fits_its_form() {
    let forms: Forms = forms(FORMS);
    let issuer = Issuer::new(&SERVICE.ca.certificate, ALGORITHM).unwrap();
    let rules = LeafRules {
        issuer: &issuer,
        forms: &forms,
        reserved: &SERVICE.reserved,
        intent_lifetime: Duration::from_secs(3_600),
    };
    let person = "CN=Jürgen Groß,O=Example GmbH";
    let device = "CN=sn-0815,OU=Wireless,O=Example GmbH,C=DE";
    let names = ["dns:sn-0815.wifi.example.com"];
    for (directory, name, facts, form) in [
        (
            EXAMPLES,
            "smime",
            one_time("smime", person, &["email:j.gross@example.com"], 3_072),
            "smime",
        ),
        (EXAMPLES, "tls-server", policy::server(), "tls-server"),
        (EXAMPLES, "vpn-gateway", policy::gateway(), "vpn-gateway"),
        (
            EXAMPLES,
            "wifi-device",
            one_time("wifi-device", device, &names, 2_048),
            "wifi-device",
        ),
        (DEMO, "devices", policy::device(), "demo"),
        (DEMO, "fleet", policy::fleet(), "demo"),
    ] {
        let profile = policy::profile(directory, name);
        let der = built(&profile, &facts);
        let leaf = Leaf::check(&der, rules, now());
        let leaf = leaf.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(leaf.form, form);
        assert_eq!(leaf.serial.as_bytes(), policy::serial());
    }
}
