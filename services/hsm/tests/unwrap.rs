//! Content-encryption keys: what a ciphertext has comes out, and what it does not have is replaced, always in the same way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::collections::HashSet;

use assay_hsm::{CaKeys, Digest, KeyRole, KeyTransport, OperationError, RaKeys, Token};
use openssl::rsa::Padding;
use support::{Installation, encrypt, until};

const OAEP_SHA1: KeyTransport = KeyTransport::Oaep {
    digest: Digest::Sha1,
    mgf: Digest::Sha1,
};

async fn unwrap(
    keys: &CaKeys,
    transport: KeyTransport,
    length: u8,
    ciphertext: &[u8],
) -> Result<Vec<u8>, OperationError> {
    let key = keys.unwrap_key("r1", RaKeys::Pair, transport, length, ciphertext);
    Ok(key.await?.into_inner().to_vec())
}

#[tokio::test]
async fn a_key_of_the_right_length_comes_out_by_both_transports() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    for (padding, transport) in [
        (Padding::PKCS1, KeyTransport::Pkcs1v15),
        (Padding::PKCS1_OAEP, OAEP_SHA1),
    ] {
        for length in [16, 24, 32] {
            let key = vec![length; usize::from(length)];
            let ciphertext = encrypt(&installation.ra_decrypt, padding, &key);
            let unwrapped = unwrap(&hsm, transport, length, &ciphertext).await.unwrap();
            assert_eq!(unwrapped, key);
        }
    }
    hsm.counted(KeyRole::RaDecrypt, 6).await;
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_ciphertext_without_a_key_has_one_substitute_for_each_question() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let before = until(&mut hsm.health(), |health| {
        health.operations.contains_key("probe")
    })
    .await;
    let key = [0x5a; 32];
    let good = encrypt(&installation.ra_decrypt, Padding::PKCS1, &key);
    let mut bad_padding = good.clone();
    bad_padding[100] ^= 1;
    let odd = encrypt(&installation.ra_decrypt, Padding::PKCS1, b"not a key");
    let empty = encrypt(&installation.ra_decrypt, Padding::PKCS1, b"");
    let ciphertexts = [
        ("bad padding", bad_padding),
        ("an odd length", odd),
        ("an empty key", empty),
        ("too short", vec![1; 17]),
        ("too large", vec![0xff; 256]),
        ("nothing", Vec::new()),
    ];
    let mut questions = Vec::new();
    for (what, ciphertext) in &ciphertexts {
        for transport in [KeyTransport::Pkcs1v15, OAEP_SHA1] {
            for length in [16, 24, 32] {
                questions.push((*what, ciphertext.as_slice(), transport, length));
            }
        }
    }
    // A good ciphertext, by another length or transport than its own.
    questions.push(("a longer key", &good, KeyTransport::Pkcs1v15, 16));
    questions.push(("a longer key", &good, KeyTransport::Pkcs1v15, 24));
    questions.push(("another transport", &good, OAEP_SHA1, 32));
    let ask = async |keys: &CaKeys| {
        let mut answers = Vec::new();
        for (what, ciphertext, transport, length) in &questions {
            let answer = unwrap(keys, *transport, *length, ciphertext).await;
            let answer = answer.unwrap();
            assert_eq!(answer.len(), usize::from(*length), "{what}");
            assert_ne!(answer[..], key[..answer.len()], "{what}");
            answers.push(answer);
        }
        answers
    };
    let first = ask(&hsm).await;
    // No two questions have one answer, nor does one begin as another does.
    let distinct: HashSet<&[u8]> = first.iter().map(|answer| &answer[..16]).collect();
    assert_eq!(distinct.len(), questions.len());
    assert_eq!(ask(&hsm).await, first);
    let asked = 2 * questions.len() as u64;
    hsm.counted(KeyRole::RaDecrypt, asked).await;
    let answer = unwrap(&hsm, KeyTransport::Pkcs1v15, 32, &good).await;
    assert_eq!(answer.unwrap(), key);
    // None of it cost the session, or the process.
    let health = hsm.health().borrow().clone();
    assert!(health.ready);
    assert_eq!((health.pid, health.reconnections), (before.pid, 0));

    hsm.kill().await;
    assert_eq!(ask(&hsm).await, first);
    hsm.shutdown().await;

    // Another service has another secret.
    let other = installation.config();
    std::fs::remove_file(other.directory.join("state/unwrap.secret")).unwrap();
    let hsm = other.start().await;
    let second = ask(&hsm).await;
    assert!(first.iter().zip(&second).all(|(a, b)| a != b));
    hsm.shutdown().await;
}

#[tokio::test]
async fn what_no_cipher_or_token_has_is_refused_for_good_and_harms_nothing() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    assert_eq!(hsm.key_transports(), [KeyTransport::Pkcs1v15, OAEP_SHA1]);
    let ciphertext = encrypt(&installation.ra_decrypt, Padding::PKCS1, &[7; 16]);
    for length in [0, 1, 15, 17, 22, 33, 255] {
        let refused = unwrap(&hsm, KeyTransport::Pkcs1v15, length, &ciphertext).await;
        let error = refused.unwrap_err();
        assert!(error.is_permanent(), "{error}");
        assert!(error.to_string().contains("16, 24 or 32"), "{error}");
    }
    hsm.counted(KeyRole::RaDecrypt, 0).await;
    let transport = KeyTransport::Oaep {
        digest: Digest::Sha256,
        mgf: Digest::Sha256,
    };
    let refused = unwrap(&hsm, transport, 16, &[1; 256]).await;
    let error = refused.unwrap_err();
    assert!(error.is_permanent(), "{error}");
    let answer = unwrap(&hsm, KeyTransport::Pkcs1v15, 16, &ciphertext).await;
    assert_eq!(answer.unwrap(), [7; 16]);
    assert_eq!(hsm.health().borrow().reconnections, 0);
    hsm.shutdown().await;
}
