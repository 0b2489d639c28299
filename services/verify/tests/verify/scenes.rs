//! Logs for the tests: a small one with a record of every kind, and a large one.

use std::sync::OnceLock;
use std::time::Duration;

use assay_audit::{Event, InventoryChange, Request, RequestClass};
use assay_policy::{Claims, Grant};
use assay_types::TimestampMillis;

use crate::export::Parts;
use crate::maker::{Asks, Maker, files};
use crate::tier;

pub(crate) const DEVICE: &str = "CN=device-1,O=Example";
pub(crate) const SAN: &str = "dns:a.example.com";
pub(crate) const PERSON: &str = "CN=Jo Doe,O=Example GmbH";
pub(crate) const ADDRESS: &str = "email:jo@example.com";

pub(crate) fn asks(profile: &'static str, subject: &str, sans: &[&str], by: Grant) -> Asks {
    Asks {
        profile,
        subject: subject.to_owned(),
        sans: sans.iter().map(ToString::to_string).collect(),
        grant: Some(by),
        message_type: "19",
        secret: true,
        new_key: false,
        pending_id: None,
        queue: false,
    }
}

/// Every kind of record, and every kind of source.
pub(crate) fn small() -> &'static Parts {
    static PARTS: OnceLock<Parts> = OnceLock::new();
    PARTS.get_or_init(|| small_maker().parts)
}

/// The same with its history.
pub(crate) fn small_maker() -> Maker {
    let mut maker = Maker::new();
    maker.start();
    token(&mut maker, "ready");
    maker.activate(&files("CHG-1"), &[]);
    maker.crl();
    let first = one_time(&mut maker);
    let replayed = maker.issue(&asks("devices", DEVICE, &[SAN], first));
    maker.replay("devices", &replayed);
    with_inventory(&mut maker);
    let renewed = renewal(&mut maker, &replayed);
    approval(&mut maker);
    ends(&mut maker, &renewed);
    given_up(&mut maker);
    maker.stop_profile("devices");
    maker.step_clock(5_000);
    maker.count(7, true);
    maker.stop();

    maker.start();
    maker.activate(&files("CHG-2"), &["devices"]);
    let again = one_time(&mut maker);
    let opened = maker.open(&asks("devices", DEVICE, &[SAN], again));
    maker.stop();
    maker.start();
    let recovered = maker.finish(opened, true);
    maker.pass(4 * 86_400 * 1_000);
    maker.accept_jump(4 * 86_400);
    maker.revoke_by_schedule(&replayed);
    // Long enough for the record of a jump to be missed.
    maker.pass(61_000);
    maker.hold_and_release(&recovered);
    maker.revoke(&recovered);
    let hidden = maker.hidden();
    maker.import(&hidden);
    maker.revoke(&hidden.serial);
    maker.crl();
    maker.count(2, false);
    maker
}

fn token(maker: &mut Maker, change: &str) {
    maker.record(Event::TokenEvent {
        token_label: "assay".into(),
        token_serial: "7a6f".into(),
        change: change.into(),
        detail: "".into(),
    });
}

pub(crate) fn one_time(maker: &mut Maker) -> Grant {
    maker.challenge("devices", DEVICE, &[SAN])
}

fn with_inventory(maker: &mut Maker) {
    let id = maker.static_challenge("fleet");
    maker.inventory(
        "fleet",
        InventoryChange::Add,
        &["device-7", "device-8", "device-9"],
    );
    let subject = "CN=device-7,O=Example";
    let by = || Maker::shared(&id, "fleet", "device-7");
    maker.issue(&asks("fleet", subject, &[], by()));
    maker.inventory("fleet", InventoryChange::Reset, &["device-7"]);
    maker.inventory("fleet", InventoryChange::Reset, &[]);
    maker.issue(&asks("fleet", subject, &[], by()));
    maker.inventory("fleet", InventoryChange::Remove, &["device-8"]);
}

fn renewal(maker: &mut Maker, old: &str) -> String {
    let by = maker.renewal(old);
    maker.issue(&Asks {
        message_type: "17",
        secret: false,
        new_key: true,
        ..asks("devices", DEVICE, &[SAN], by)
    })
}

fn approval(maker: &mut Maker) {
    let by = maker.challenge("smime", PERSON, &[ADDRESS]);
    let queued = || Asks {
        queue: true,
        ..asks("smime", PERSON, &[ADDRESS], by.clone())
    };
    let denied = maker.queue(&queued());
    maker.deny(&denied);
    let id = maker.queue(&queued());
    let expires = maker.now() + Duration::from_secs(7 * 86_400);
    let request = maker.request("smime", "20");
    maker.record(Event::RequestPolled {
        request,
        pending_id: id.as_str().into(),
    });
    maker.approve(&id, &["olga", "otto"]);
    let claims = Claims {
        expires: Some(expires.into()),
        ..by.claims().clone()
    };
    let by = Grant::from_parts(by.source().clone(), claims).unwrap();
    maker.issue(&Asks {
        pending_id: Some(id),
        message_type: "20",
        ..asks("smime", PERSON, &[ADDRESS], by)
    });
    let by = maker.challenge("smime", PERSON, &[ADDRESS]);
    let id = maker.queue(&Asks {
        queue: true,
        ..asks("smime", PERSON, &[ADDRESS], by)
    });
    maker.pass(8 * 86_400 * 1_000);
    maker.record(Event::PendingExpired {
        pending_id: id.as_str().into(),
    });
}

/// Requests that end without a certificate.
fn ends(maker: &mut Maker, serial: &str) {
    let by = one_time(maker);
    maker.refuse(&asks(
        "devices",
        "CN=intruder,O=Example",
        &[SAN],
        by.clone(),
    ));
    maker.revoke_challenge(&by);
    let request = maker.request("devices", "19");
    refused(maker, request, "SIG-03", 2);
    let request = maker.request("devices", "19");
    refused(maker, request, "SCEP:digest", 0);
    let request = maker.request("devices", "3");
    refused(maker, request, "SIG-01", 2);
    let request = maker.request("devices", "21");
    maker.record(Event::RequestQueried {
        request,
        serial: Some(serial.into()),
        crl_number: None,
    });
    let request = maker.request("devices", "22");
    maker.record(Event::RequestQueried {
        request,
        serial: None,
        crl_number: Some(1),
    });
    let request = maker.request("devices", "19");
    maker.record(Event::RequestDeferred {
        request,
        detail: "the token has no room".into(),
    });
    let request = Request {
        message_type: None,
        transaction_id: None,
        ..maker.request("devices", "19")
    };
    maker.record(Event::RequestMalformed {
        request,
        detail: "no transactionID".into(),
    });
    let now = TimestampMillis::from(maker.now());
    maker.record(Event::RequestsCounted {
        peer: "assay://frontend/dmz1".into(),
        class: RequestClass::ChallengeFailed,
        profile: Some("devices".into()),
        from_ms: now - Duration::from_millis(900),
        to_ms: now - Duration::from_millis(100),
        requests: 12,
        signer_keys: 3,
        more_signer_keys: false,
    });
}

pub(crate) fn refused(maker: &mut Maker, request: Request, rule: &str, fail_info: u8) {
    maker.record(Event::RequestRefused {
        request,
        fail_info,
        rule: rule.into(),
        detail: "wanted: another thing".into(),
        evidence: None,
    });
}

/// An intent that came to nothing gives its challenge back.
fn given_up(maker: &mut Maker) {
    let by = one_time(maker);
    let opened = maker.open(&asks("devices", DEVICE, &[SAN], by.clone()));
    maker.abandon(opened);
    maker.issue(&asks("devices", DEVICE, &[SAN], by));
}

/// 20,000 records, one in 50 of them of a certificate, or one in 10 (see `tier`).
pub(crate) fn large() -> &'static Parts {
    static PARTS: OnceLock<Parts> = OnceLock::new();
    PARTS.get_or_init(|| many(20_000, tier::size("certificates of a large log")))
}

/// `records` records, `issued` of them of certificates.
pub(crate) fn many(records: usize, issued: usize) -> Parts {
    let mut maker = Maker::new();
    maker.start();
    maker.activate(&files("CHG-1"), &[]);
    for n in 0..issued {
        let subject = format!("CN=device-{n},O=Example");
        let by = maker.challenge("devices", &subject, &[SAN]);
        maker.issue(&asks("devices", &subject, &[SAN], by));
    }
    while maker.parts.records.len() < records {
        let request = maker.request("devices", "19");
        refused(&mut maker, request, "SIG-05", 2);
    }
    maker.parts
}
