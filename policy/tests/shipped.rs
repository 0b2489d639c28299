//! The policy files that ship load, and say what they are meant to say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use assay_policy::Bundle;
use support::bundle;

fn names(bundle: &Bundle) -> Vec<&str> {
    bundle
        .profiles
        .keys()
        .map(assay_policy::ProfileName::as_str)
        .collect()
}

#[test]
fn demo_profiles_load() {
    let bundle = bundle("demo");
    assert_eq!(names(&bundle), ["devices", "fleet"]);
    assert_eq!(
        bundle
            .default_profile()
            .map(|profile| profile.name().as_str()),
        Some("devices")
    );
    let fleet = bundle.profile("fleet").unwrap();
    assert!(fleet.accept_shared_secret());
    assert_eq!(fleet.inventory(), Some("fleet"));
}

#[test]
fn examples_load() {
    assert_eq!(
        names(&bundle("examples")),
        ["smime", "tls-server", "vpn-gateway", "wifi-device"]
    );
}
