//! An EnvelopedData in the smallest pkiMessage around it, opened with whatever key comes out of the token.
#![no_main]

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use assay_scep::{Algorithms, Decryptor, KeyTransport, Limits, Malformed, Request};
use libfuzzer_sys::fuzz_target;

const RA: &[u8] = include_bytes!("../seeds/ra.der");

/// A token that unwraps every key to zeros.
struct Zeros(usize);

impl Decryptor for Zeros {
    type Error = Infallible;

    async fn decrypt(
        &self,
        _: KeyTransport,
        _length: usize,
        _: &[u8],
    ) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, Infallible> {
        Ok(Some(vec![0; self.0].into()))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let request = match Request::parse(&around(bytes), &Limits::default()) {
        Ok(request) => request,
        Err(spent) => {
            assert!(is_budget(spent), "{spent}");
            return;
        }
    };
    let _ = request.check_algorithms(&Algorithms::default());
    let Ok(envelope) = request.envelope() else {
        return;
    };
    let token = Zeros(envelope.cipher().key_length());
    let open = pin!(envelope.open(&token, RA));
    let Poll::Ready(Ok(_)) = open.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("nothing to wait for");
    };
});

/// What is around it is well-formed, so nothing but a budget may be the cause.
fn is_budget(malformed: Malformed) -> bool {
    matches!(
        malformed,
        Malformed::TooLong { .. }
            | Malformed::TooDeep { .. }
            | Malformed::TooManyElements { .. }
            | Malformed::TooMany { .. }
    )
}

/// With a transactionID and a senderNonce, and neither a certificate nor a signature that would verify.
fn around(envelope: &[u8]) -> Vec<u8> {
    const DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    const SENDER_NONCE: &[u8] = b"\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x05";
    const TRANSACTION_ID: &[u8] = b"\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x07";
    const VERSION: &[u8] = b"\x02\x01\x01";
    let attribute = |kind: &[u8], value: &[u8]| tlv(0x30, &[kind, &tlv(0x31, value)[..]].concat());
    let attributes = [
        attribute(SENDER_NONCE, &tlv(0x04, b"nonce")),
        attribute(TRANSACTION_ID, &tlv(0x13, b"transaction")),
    ];
    let algorithm = tlv(0x30, DATA);
    let signer = [
        VERSION,
        &tlv(0x30, b""),
        &algorithm,
        &tlv(0xa0, &attributes.concat()),
        &algorithm,
        &tlv(0x04, b"signature"),
    ];
    let signers = tlv(0x31, &tlv(0x30, &signer.concat()));
    let content = tlv(0x30, &[DATA, &tlv(0xa0, &tlv(0x04, envelope))].concat());
    let signed = tlv(
        0x30,
        &[VERSION, &tlv(0x31, b""), &content, &signers].concat(),
    );
    tlv(0x30, &[SIGNED_DATA, &tlv(0xa0, &signed)].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("libFuzzer's inputs are small");
    [&[tag, 0x84], &length.to_be_bytes()[..], content].concat()
}
