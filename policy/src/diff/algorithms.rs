//! Hashes, ciphers and keys.

use super::words::{moved, set};
use super::{DiffLine, Differences};
use crate::describe::{curve, rsa};
use crate::profile::{AlgorithmRules, KeyRules, RsaRule};

pub(super) fn algorithms(old: &AlgorithmRules, new: &AlgorithmRules, found: &mut Differences) {
    let AlgorithmRules {
        message_digests,
        csr_digests,
        ciphers,
        key_transports,
    } = new;
    found.about(&["algorithms.message_digests"], || {
        set(&old.message_digests, message_digests, |hash| {
            format!("message hash {hash}")
        })
    });
    found.about(&["algorithms.csr_digests"], || {
        set(&old.csr_digests, csr_digests, |hash| {
            format!("CSR hash {hash}")
        })
    });
    found.about(&["algorithms.content_ciphers"], || {
        set(&old.ciphers, ciphers, |cipher| {
            format!("content cipher {cipher}")
        })
    });
    found.about(&["algorithms.key_transports"], || {
        set(&old.key_transports, key_transports, |kind| {
            format!("key transport {kind}")
        })
    });
}

pub(super) fn keys(old: &KeyRules, new: &KeyRules, found: &mut Differences) {
    let KeyRules {
        rsa: rsa_rule,
        curves,
    } = new;
    if let (Some(old), Some(new)) = (old.rsa, *rsa_rule) {
        rsa_lengths(old, new, found);
    } else {
        found.about(&["keys.rsa"], || {
            let what = |rule| format!("key type {}", rsa(rule));
            let gone = old.rsa.map(|rule| DiffLine::no_longer(what(rule)));
            let come = rsa_rule.map(|rule| DiffLine::newly(what(rule)));
            gone.into_iter().chain(come).collect()
        });
    }
    found.about(&["keys.curves"], || {
        set(&old.curves, curves, |known| {
            format!("key type {}", curve(*known))
        })
    });
}

fn rsa_lengths(old: RsaRule, new: RsaRule, found: &mut Differences) {
    let RsaRule { min_bits, max_bits } = new;
    let bits = |old, new| format!("from {old} to {new} bits");
    found.about(&["keys.rsa.min_bits"], || {
        let field = "shortest RSA key";
        vec![moved(field, old.min_bits, min_bits, false, bits)]
    });
    found.about(&["keys.rsa.max_bits"], || {
        let field = "longest RSA key";
        vec![moved(field, old.max_bits, max_bits, true, bits)]
    });
}
