//! The policy files that ship load, and say what they are meant to say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::time::Duration;

use assay_policy::{Approval, Bundle, Renewal, Supersede};
use support::bundle;

fn names(bundle: &Bundle) -> Vec<&str> {
    bundle
        .profiles()
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
    let devices = bundle.profile("devices").unwrap();
    assert_eq!(
        devices.renewal(),
        Some(&Renewal {
            grace: Duration::ZERO,
            window: Duration::from_secs(90 * 86_400),
            same_key: true,
            once: false,
            supersede: Supersede::Keep,
        })
    );
    assert_eq!(devices.approval(), None);
    let fleet = bundle.profile("fleet").unwrap();
    assert_eq!(fleet.renewal(), None);
    assert!(fleet.accept_shared_secret());
    assert_eq!(fleet.inventory(), Some("fleet"));
}

#[test]
fn examples_load() {
    let bundle = bundle("examples");
    assert_eq!(
        names(&bundle),
        [
            "cisco-router",
            "smime",
            "tls-server",
            "vpn-gateway",
            "wifi-device"
        ]
    );
    for profile in bundle.profiles().values() {
        assert_eq!(profile.names_one_ca(), None, "{}", profile.name());
        assert!(!profile.crl_distribution_points().is_empty());
    }
    let week = Duration::from_secs(7 * 86_400);
    let wifi = bundle.profile("wifi-device").unwrap();
    assert_eq!(
        wifi.renewal().unwrap().supersede,
        Supersede::RevokeAfter(week)
    );
    let smime = bundle.profile("smime").unwrap();
    assert_eq!(
        smime.approval(),
        Some(&Approval {
            four_eyes: true,
            expires: week,
        })
    );
}
