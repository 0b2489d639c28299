//! A reply without what must differ between any two: ids, nonces, signature and date.

use assay_scep::client::CertRep;
use assay_scep::{FailInfo, Limits, Nonce, PkiStatus};
use assay_scep_client::CaCertificates;
use hyper::body::Bytes;
use hyper::header::CONNECTION;
use hyper::http::response::Parts;
use openssl::sha::sha256;
use openssl::x509::X509;

use super::forge::Attempt;
use crate::failure::{Failure, OrFail, Outcome};

/// Hash of what is left: the HTTP head and the CertRep.
pub(super) type Shape = [u8; 32];

/// Headers whose values are of the exchange, not of its outcome.
const OWN_HEADERS: [&str; 2] = ["date", "x-request-id"];

const WHAT: &str = "the answer is no CertRep to be compared";

/// Verifies a reply as a client does, and takes out what is of its own.
pub(super) fn shape(
    head: &Parts,
    body: &Bytes,
    attempt: &Attempt,
    ca: &CaCertificates,
) -> Outcome<Shape> {
    let reply = CertRep::parse(body, &Limits::default()).or_fail(WHAT)?;
    reply.verify(&ca.signature).or_fail(WHAT)?;
    let recipient_nonce = reply.recipient_nonce().map(Nonce::as_bytes);
    if reply.transaction_id().as_str() != attempt.transaction_id
        || recipient_nonce != Some(&attempt.nonce)
    {
        return Err(Failure::failed(WHAT).because("it answers another request"));
    }
    if reply.status() != PkiStatus::Failure
        || reply.fail_info() != Some(FailInfo::BadRequest)
        || reply.fail_info_text().is_some()
    {
        return Err(
            Failure::failed(WHAT).because("it is to be FAILURE with badRequest and without a text")
        );
    }

    let mut left = headers(head);
    let mut body = body.to_vec();
    for own in [
        attempt.transaction_id.as_bytes(),
        &attempt.nonce,
        reply.sender_nonce().as_bytes(),
    ] {
        erase(&mut body, own);
    }
    // Without unsigned attributes a SignedData of one signer ends with the signature.
    let signature = X509::from_der(&ca.signature)
        .and_then(|certificate| certificate.public_key())
        .or_fail(WHAT)?
        .size();
    body.truncate(body.len().saturating_sub(signature));
    left.extend(body);
    Ok(sha256(&left))
}

/// Without the header of the connection: whether it comes depends on the connection's age alone (RFC 9110, section 7.6.1).
fn headers(head: &Parts) -> Vec<u8> {
    let mut text = format!("{:?} {}\n", head.version, head.status).into_bytes();
    let of_exchange = head.headers.iter().filter(|(name, _)| *name != CONNECTION);
    for (name, value) in of_exchange {
        text.extend(name.as_str().as_bytes());
        if !OWN_HEADERS.contains(&name.as_str()) {
            text.extend(value.as_bytes());
        }
        text.push(b'\n');
    }
    text
}

/// Zeroes wherever they stand.
fn erase(octets: &mut [u8], what: &[u8]) {
    let length = what.len();
    let places: Vec<usize> = octets
        .windows(length.max(1))
        .enumerate()
        .filter(|(_, window)| *window == what)
        .map(|(place, _)| place)
        .collect();
    for place in places {
        if let Some(found) = octets.get_mut(place..place + length) {
            found.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_connection_or_the_exchange_is_left_out_and_nothing_else() {
        let head = |connection: bool, date: &str, kind: &str| {
            let mut answer = hyper::Response::builder()
                .header("date", date)
                .header("content-type", kind);
            if connection {
                answer = answer.header(CONNECTION, "close");
            }
            headers(&answer.body(()).unwrap().into_parts().0)
        };
        let one = head(false, "today", "text/plain");
        assert_eq!(one, head(true, "tomorrow", "text/plain"));
        assert_ne!(one, head(false, "today", "text/html"));
    }

    #[test]
    fn every_occurrence_is_erased_and_nothing_else() {
        let mut octets = *b"a-id-b-id";
        erase(&mut octets, b"id");
        assert_eq!(&octets, b"a-\0\0-b-\0\0");
        erase(&mut octets, b"");
        assert_eq!(&octets, b"a-\0\0-b-\0\0");
    }
}
