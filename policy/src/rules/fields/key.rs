//! Hashes of the request's signatures, and its key.

use super::{Case, Sheet};
use crate::key::KeyAlgorithm;
use crate::rules::list;
use assay_types::Curve;

pub(super) fn digests(case: &Case<'_>, sheet: &mut Sheet) {
    let (profile, facts) = (case.profile, case.facts);
    sheet.row(
        "message hash",
        list(profile.message_digests(facts.now)),
        facts.message_digest.as_str(),
        &["ALG-01"],
    );
    sheet.row(
        "CSR hash",
        list(profile.csr_digests(facts.now)),
        facts.csr_digest.as_str(),
        &["ALG-02"],
    );
}

pub(super) fn rows(case: &Case<'_>, sheet: &mut Sheet) {
    let rules = &case.profile.keys;
    let key = case.facts.key.algorithm();
    let rsa = rules.rsa.map(|_| "RSA".to_owned());
    let curves = rules.curves.iter().map(|curve| format!("EC {curve}"));
    sheet.row(
        "key",
        list(rsa.into_iter().chain(curves)),
        key.describe(),
        &["KEY-01"],
    );
    match key {
        KeyAlgorithm::Rsa { bits, exponent, .. } => {
            if let Some(rule) = rules.rsa {
                let wanted = format!("{} to {} bits", rule.min_bits, rule.max_bits);
                sheet.row("key length", wanted, format!("{bits} bits"), &["KEY-02"]);
            }
            sheet.row(
                "key exponent",
                "odd, at least 65537",
                format!("0x{}", hex::encode(exponent)),
                &["KEY-03"],
            );
            for (name, wanted, bad, rule) in [
                ("key factors", "none that is small", "a small one", "KEY-04"),
                (
                    "key fingerprint",
                    "not that of ROCA",
                    "that of ROCA",
                    "KEY-05",
                ),
                ("key primes", "far apart", "close", "KEY-06"),
            ] {
                sheet.row(name, wanted, wanted, &[rule]);
                if let Some(field) = sheet.fields.last_mut()
                    && !field.refusals.is_empty()
                {
                    bad.clone_into(&mut field.got);
                }
            }
        }
        KeyAlgorithm::Ec { curve, point } => {
            let got = match Curve::from_oid(curve) {
                Some(_) => format!("{} octets", point.len()),
                None => "an unknown curve".to_owned(),
            };
            sheet.row("key point", "on its curve", got, &["KEY-07"]);
        }
        KeyAlgorithm::Other { .. } => {}
    }
}
