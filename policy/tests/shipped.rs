//! The policy files that ship load, and say what they are meant to say.

use assay_policy::Bundle;
use std::path::Path;

fn load(directory: &str) -> Bundle {
    let files = Bundle::read_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap();
    Bundle::load(&files).unwrap_or_else(|errors| {
        panic!(
            "{}",
            errors
                .iter()
                .map(|e| e.to_string())
                .collect::<Vec<_>>()
                .join("\n")
        )
    })
}

#[test]
fn demo_profiles_load() {
    let bundle = load("demo");
    let names: Vec<&str> = bundle.profiles.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["devices", "fleet"]);
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
    let bundle = load("examples");
    let names: Vec<&str> = bundle.profiles.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["smime", "tls-server", "vpn-gateway", "wifi-device"]);
}
