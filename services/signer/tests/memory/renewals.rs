//! Renewals that are refused, each for one reason, named by its rule.

use std::time::Duration;

use assay_scep::FailInfo;
use openssl::bn::BigNum;
use openssl::x509::X509;

use crate::support::{
    DEVICES, Device, FLEET, PKCS_REQ, RENEWAL_REQ, Setup, Stand, changed, dns_names, subject,
};

const DAY: Duration = Duration::from_secs(86_400);
/// Both message types by which a certificate may sign its own renewal.
const EITHER: [&str; 2] = [RENEWAL_REQ, PKCS_REQ];

#[tokio::test]
async fn a_certificate_that_is_held_revoked_or_expired_renews_nothing() {
    let stand = Stand::new().await;
    let device = Device::new();
    let certificate = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&certificate);
    let csr = Device::other().csr(&subject("pump-1"), None);
    stand
        .revoke(&certificate, "certificate-hold")
        .await
        .unwrap();
    for message_type in EITHER {
        let message = holder.message(&stand.ca, message_type, &csr).await;
        stand.refused("devices", &holder, &message, "SIG-10").await;
    }
    stand.release(&certificate).await.unwrap();
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    stand.send(&holder, &message).await.certificate();

    let revoked = stand.enrol(&device, &subject("pump-3")).await;
    let holder = device.holding(&revoked);
    let csr = Device::other().csr(&subject("pump-3"), None);
    stand.revoke(&revoked, "key-compromise").await.unwrap();
    for message_type in EITHER {
        let message = holder.message(&stand.ca, message_type, &csr).await;
        stand.refused("devices", &holder, &message, "SIG-10").await;
    }

    let expiring = stand.enrol(&device, &subject("pump-2")).await;
    let holder = device.holding(&expiring);
    let csr = Device::other().csr(&subject("pump-2"), None);
    stand.clock.advance(91 * DAY);
    for message_type in EITHER {
        let message = holder.message(&stand.ca, message_type, &csr).await;
        stand.refused("devices", &holder, &message, "SIG-10").await;
    }
}

async fn with_a_week_of_grace() -> Stand {
    let text = DEVICES.replacen(
        "window = \"90d\"\n",
        "window = \"90d\"\ngrace = \"7d\"\n",
        1,
    );
    Stand::with(Setup {
        profiles: Some(vec![("devices", text)]),
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn a_certificate_renews_within_the_grace_after_its_end_and_not_later() {
    let stand = with_a_week_of_grace().await;
    let device = Device::new();
    let certificate = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&certificate);
    let csr = Device::other().csr(&subject("pump-1"), None);
    // 90 days of validity from now, and the grace to its last second.
    stand.clock.advance(97 * DAY);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    stand.send(&holder, &message).await.certificate();
    stand.clock.advance(Duration::from_secs(1));
    for message_type in EITHER {
        let message = holder.message(&stand.ca, message_type, &csr).await;
        stand.refused("devices", &holder, &message, "SIG-10").await;
    }
}

#[tokio::test]
async fn within_the_grace_nothing_renews_that_descends_from_a_revoked_certificate() {
    let stand = with_a_week_of_grace().await;
    let (device, other) = (Device::new(), Device::other());
    for (name, reason, renews) in [
        ("pump-1", "key-compromise", false),
        ("pump-2", "superseded", true),
    ] {
        let first = stand.enrol(&device, &subject(name)).await;
        let csr = other.csr(&subject(name), None);
        let message = device
            .holding(&first)
            .message(&stand.ca, RENEWAL_REQ, &csr)
            .await;
        let second = stand
            .send(&device.holding(&first), &message)
            .await
            .certificate();
        stand.revoke(&first, reason).await.unwrap();
        stand.clock.advance(95 * DAY);
        let holder = other.holding(&second);
        let csr = device.csr(&subject(name), None);
        let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
        if renews {
            stand.send(&holder, &message).await.certificate();
        } else {
            stand.refused("devices", &holder, &message, "SIG-10").await;
        }
    }
}

#[tokio::test]
async fn a_device_that_holds_no_certificate_of_ours_renews_nothing() {
    let stand = Stand::new().await;
    let (owner, stranger) = (Device::new(), Device::other());
    let certificate = stand.enrol(&owner, &subject("pump-1")).await;
    let csr = stranger.csr(&subject("pump-1"), None);
    let message = stranger.message(&stand.ca, RENEWAL_REQ, &csr).await;
    let fail_info = stand.refused("devices", &stranger, &message, "SIG-09");
    assert_eq!(fail_info.await, FailInfo::BadRequest);

    // Certificates by another CA of the same name: with a serial number of ours, and with another.
    let ours = X509::from_der(&certificate).unwrap();
    let ours = ours.serial_number().to_bn().unwrap();
    for serial in [ours, BigNum::from_u32(4_711).unwrap()] {
        let forged = stranger.forged(&stand.ca, &serial);
        for message_type in EITHER {
            let message = forged.message(&stand.ca, message_type, &csr).await;
            let fail_info = stand.refused("devices", &forged, &message, "SIG-09");
            assert_eq!(fail_info.await, FailInfo::BadRequest);
        }
    }
}

#[tokio::test]
async fn a_renewal_of_other_names_or_under_another_profile_or_a_wrong_challenge_is_refused() {
    let profiles = vec![
        ("devices", DEVICES.to_owned()),
        ("others", changed(DEVICES, "")),
        ("fleet", FLEET.to_owned()),
    ];
    let stand = Stand::with(Setup {
        profiles: Some(profiles),
        ..Setup::default()
    })
    .await;
    stand.add_to_inventory("fleet", "pump-1").await;
    let (device, new) = (Device::new(), Device::other());
    let certificate = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&certificate);
    let own = new.csr(&subject("pump-1"), None);
    let other_name = new.csr(&subject("pump-2"), None);
    let names = dns_names(&["pump-1.example.com"]);
    let one_more_name = new.csr_with(&subject("pump-1"), None, &[names]);
    let guessed = new.csr(&subject("pump-1"), Some("guessed"));
    for (profile, csr, rule) in [
        ("devices", &other_name, "SUB-05"),
        ("devices", &one_more_name, "SAN-04"),
        ("others", &own, "REN-02"),
        ("fleet", &own, "REN-01"),
        ("devices", &guessed, "SIG-11"),
    ] {
        for message_type in EITHER {
            let message = holder.message(&stand.ca, message_type, csr).await;
            let fail_info = stand.refused(profile, &holder, &message, rule).await;
            assert_eq!(fail_info, FailInfo::BadRequest);
        }
    }

    // Another device's challenge is not used up by a renewal that brings it along.
    let challenge = stand.challenge(&subject("pump-9")).await;
    let csr = new.csr(&subject("pump-9"), Some(&challenge));
    let message = holder.message(&stand.ca, PKCS_REQ, &csr).await;
    let fail_info = stand.refused("devices", &holder, &message, "SUB-05").await;
    assert_eq!(fail_info, FailInfo::BadRequest);
    let message = new.message(&stand.ca, PKCS_REQ, &csr).await;
    stand.send(&new, &message).await.certificate();
}

/// The policy in force runs whole: a profile that turned to an inventory renews what the inventory names.
#[tokio::test]
async fn a_device_that_the_inventory_does_not_name_cannot_renew() {
    let stand = Stand::with(Setup {
        profiles: Some(vec![("vehicles", changed(DEVICES, ""))]),
        ..Setup::default()
    })
    .await;
    let device = Device::new();
    let name = subject("truck-1");
    let challenge = stand.challenge_of("vehicles", &name).await;
    let message = device.pkcs_req(&stand.ca, &name, &challenge).await;
    let answer = stand.send_to("vehicles", &stand.ca, &device, &message);
    let holder = device.holding(&answer.await.certificate());
    let changes = "version = 2\n[enrolment]\ninventory = 'vehicles'\n[renewal]\nwindow = '90d'";
    let after = vec![("vehicles", changed(FLEET, changes))];
    let proposed = stand.propose(&after).await;
    stand.activate(&proposed).await.unwrap();

    let csr = Device::other().csr(&name, None);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    let fail_info = stand.refused("vehicles", &holder, &message, "CHA-05").await;
    assert_eq!(fail_info, FailInfo::BadRequest);
    stand.add_to_inventory("vehicles", "truck-1").await;
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    let answer = stand.send_to("vehicles", &stand.ca, &holder, &message);
    answer.await.certificate();
}

#[tokio::test]
async fn a_renewal_too_early_or_over_the_same_key_is_refused_where_the_profile_says_so() {
    let late = changed(DEVICES, "[renewal]\nwindow = '1d'\nsame_key = false");
    let stand = Stand::with(Setup {
        profiles: Some(vec![("devices", changed(&late, "default = true"))]),
        ..Setup::default()
    })
    .await;
    let device = Device::new();
    let certificate = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&certificate);
    let fresh = Device::other().csr(&subject("pump-1"), None);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &fresh).await;
    stand.refused("devices", &holder, &message, "REN-04").await;

    stand.clock.advance(89 * DAY + DAY / 2);
    let same = device.csr(&subject("pump-1"), None);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &same).await;
    stand.refused("devices", &holder, &message, "REN-05").await;
    let message = holder.message(&stand.ca, RENEWAL_REQ, &fresh).await;
    stand.send(&holder, &message).await.certificate();
}
