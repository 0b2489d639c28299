//! Every failure to open an envelope is the same failure.

use std::convert::Infallible;

use crate::support::*;
use assay_scep::{Decryptor, KeyTransport, Undecipherable};
use zeroize::Zeroizing;

/// Answers with a fixed key, as a token would after an unwrapping that went well or badly.
struct Answers(Option<Vec<u8>>);

impl Decryptor for Answers {
    type Error = Infallible;

    async fn decrypt(
        &self,
        _: KeyTransport,
        _length: usize,
        _: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Infallible> {
        Ok(self.0.clone().map(Zeroizing::new))
    }
}

#[tokio::test]
async fn a_bad_unwrapping_looks_like_a_wrong_key() {
    let request = parse(&message().await);
    let envelope = request.envelope().unwrap();
    for answer in [
        None,
        Some(vec![]),
        Some(vec![0; 15]),
        Some(vec![0; 16]),
        Some(vec![0; 17]),
        Some(vec![0; 256]),
    ] {
        let opened = envelope
            .open(&Answers(answer), &ra().certificate)
            .await
            .unwrap();
        // One random padding in 256 is right; the content is then noise and no CSR.
        if let Ok(noise) = opened {
            assert!(assay_scep::Csr::parse(&noise, &assay_scep::Limits::default()).is_err());
        }
    }
    let opened = envelope.open(ra(), &device().certificate).await.unwrap();
    assert_eq!(opened.unwrap_err(), Undecipherable, "not a recipient");
}

#[tokio::test]
async fn bad_padding_and_broken_blocks_do_not_open() {
    let content = vec![0x2a; 40];
    let envelope = builder().envelope::<()>(&content).unwrap();
    // ContentInfo, [0], EnvelopedData, encryptedContentInfo, encryptedContent.
    let ciphertext = [1, 0, 2, 2];
    type Change = fn(&[u8]) -> Vec<u8>;
    let changes: [Change; 5] = [
        |octets| octets[..octets.len() - 1].to_vec(),
        |octets| octets[..octets.len() - 16].to_vec(),
        |_| Vec::new(),
        |octets| [octets, &[0]].concat(),
        // Flips bits of the last padding octet, by the block before it.
        |octets| {
            let mut octets = octets.to_vec();
            let at = octets.len() - 17;
            octets[at] ^= 0x40;
            octets
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let broken = edit(&envelope, &ciphertext, &|element| {
            tlv(0x80, &change(split(element).1))
        });
        let message = builder()
            .build_around(Some(&broken), device())
            .await
            .unwrap();
        let opened = parse(&message)
            .envelope()
            .unwrap()
            .open(ra(), &ra().certificate)
            .await
            .unwrap();
        assert!(opened.is_err(), "change {number}");
    }
}

#[tokio::test]
async fn each_length_of_padding_comes_off() {
    for length in 0..=33 {
        let content = vec![0x2a; length];
        let request = parse(&builder().build(&content, device()).await.unwrap());
        let envelope = request.envelope().unwrap();
        let opened = envelope
            .open(ra(), &ra().certificate)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(*opened, content);
    }
}
