//! Frames between parent and worker: a big-endian u32 length, then postcard.

use std::fmt;
use std::ops::Range;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use assay_pkcs11::TokenIdentity;

use crate::{Digest, KeyRole, KeyTransport, LogKey, RaKeys, SignatureAlgorithm};

/// Largest frame, in octets without its length. The largest thing signed is a CRL.
pub(crate) const MAX_FRAME: usize = 1 << 20;

/// Octets of a frame's length.
const PREFIX: usize = 4;

/// Octets read at once: many frames of an enrolment.
const READ: usize = 16 << 10;

/// First frame to a worker, answered by `Result<Ready, StartError>`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) module: String,
    pub(crate) threads: usize,
    pub(crate) keys: Vec<KeySetup>,
    /// Origin of the only log whose checkpoints log-sign signs.
    pub(crate) log_origin: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeySetup {
    pub(crate) role: KeyRole,
    pub(crate) uri: String,
    pub(crate) certificate: Option<Vec<u8>>,
}

/// A worker's answer to its setup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) token: TokenIdentity,
    pub(crate) ca_signature: SignatureAlgorithm,
    pub(crate) ocsp_signature: Option<SignatureAlgorithm>,
    pub(crate) key_transports: Vec<KeyTransport>,
    pub(crate) log_key: Option<LogKey>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Request<'a> {
    pub(crate) id: u64,
    /// Ties the worker's log lines to the frontend's.
    pub(crate) request_id: &'a str,
    #[serde(borrow)]
    pub(crate) operation: Operation<'a>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Operation<'a> {
    Decrypt {
        ra: RaKeys,
        transport: KeyTransport,
        #[serde(borrow)]
        ciphertext: Octets<'a>,
    },
    SignReply {
        ra: RaKeys,
        digest: Digest,
        #[serde(borrow)]
        signed_attributes: Octets<'a>,
    },
    SignTbs {
        #[serde(borrow)]
        tbs: Octets<'a>,
    },
    SignCheckpoint {
        #[serde(borrow)]
        text: Octets<'a>,
    },
    SignOcsp {
        #[serde(borrow)]
        response_data: Octets<'a>,
    },
    Probe,
}

impl Operation<'_> {
    /// For logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Decrypt { .. } => "decrypt",
            Self::SignReply { .. } => "sign-reply",
            Self::SignTbs { .. } => "sign-tbs",
            Self::SignCheckpoint { .. } => "sign-checkpoint",
            Self::SignOcsp { .. } => "sign-ocsp",
            Self::Probe => "probe",
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Answer<'a> {
    pub(crate) id: u64,
    /// Signatures of the CA key since the worker started, this one included.
    pub(crate) ca_signatures: u64,
    #[serde(borrow)]
    pub(crate) outcome: Outcome<'a>,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Outcome<'a> {
    Plaintext(#[serde(borrow)] Octets<'a>),
    BadCiphertext,
    Signature(#[serde(borrow)] Octets<'a>),
    Probed(Usage),
    /// Permanent: asked again, the answer is the same.
    Refused(&'a str),
    /// The library or token is of no more use to this process.
    Broken(&'a str),
}

/// What a worker counts of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) operations: Vec<(KeyRole, u64)>,
    pub(crate) cpu_nanoseconds: u64,
}

/// Octets that postcard moves as one block rather than one by one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Octets<'a>(pub(crate) &'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Octets<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = Octets<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octets")
            }

            fn visit_borrowed_bytes<E>(self, octets: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Octets(octets))
            }
        }
        deserializer.deserialize_bytes(Borrowed)
    }
}

/// The peer broke the framing; the connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum WireError {
    #[error("a frame between parent and worker exceeds {MAX_FRAME} octets")]
    TooLarge,
    #[error("a frame between parent and worker is malformed")]
    Malformed,
}

/// Appends a message as one frame.
pub(crate) fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), WireError> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    let mut written =
        postcard::to_extend(message, std::mem::take(out)).map_err(|_| WireError::Malformed)?;
    let length = written.len() - start - PREFIX;
    let prefix = written.get_mut(start..start + PREFIX);
    match (u32::try_from(length), prefix) {
        (Ok(prefix_value), Some(prefix)) if length <= MAX_FRAME => {
            prefix.copy_from_slice(&prefix_value.to_be_bytes());
            *out = written;
            Ok(())
        }
        _ => {
            written.truncate(start);
            *out = written;
            Err(WireError::TooLarge)
        }
    }
}

/// Decodes the payload of a frame.
pub(crate) fn decode<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<T, WireError> {
    match postcard::take_from_bytes(frame) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(WireError::Malformed),
    }
}

/// Cuts a stream of octets into frames. Knows no I/O; what was consumed is wiped, for frames
/// carry keys and PINs.
#[derive(Default)]
pub(crate) struct FrameBuffer {
    octets: Zeroizing<Vec<u8>>,
    /// Where the first frame not yet taken starts.
    start: usize,
    /// Where what was read ends.
    end: usize,
}

impl FrameBuffer {
    /// Room for the next read; tell with [`Self::filled`] how much came.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.octets.len() < self.end + READ {
            // Not `resize`: a Vec that grows leaves a copy behind that nobody wipes.
            let mut larger = Zeroizing::new(vec![0; (self.end + READ).next_power_of_two()]);
            for (to, from) in larger.iter_mut().zip(self.octets.iter().take(self.end)) {
                *to = *from;
            }
            self.octets = larger;
        }
        self.octets.get_mut(self.end..).unwrap_or_default()
    }

    pub(crate) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.octets.len());
    }

    /// A whole frame is there.
    pub(crate) fn is_complete(&self) -> Result<bool, WireError> {
        Ok(self.complete()?.is_some())
    }

    /// The next whole frame, or `None` until more was read.
    pub(crate) fn next_frame(&mut self) -> Result<Option<&[u8]>, WireError> {
        match self.complete()? {
            None => {
                self.recycle();
                Ok(None)
            }
            Some(frame) => {
                self.start = frame.end;
                Ok(self.octets.get(frame))
            }
        }
    }

    fn complete(&self) -> Result<Option<Range<usize>>, WireError> {
        let unread = self.octets.get(self.start..self.end).unwrap_or_default();
        let Some((prefix, payload)) = unread.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > MAX_FRAME {
            return Err(WireError::TooLarge);
        }
        let start = self.start + PREFIX;
        Ok((payload.len() >= length).then_some(start..start + length))
    }

    /// Moves what is left to the front and wipes the rest.
    pub(crate) fn recycle(&mut self) {
        if self.start == 0 {
            return;
        }
        self.octets.copy_within(self.start..self.end, 0);
        let left = self.end - self.start;
        if let Some(consumed) = self.octets.get_mut(left..self.end) {
            consumed.zeroize();
        }
        self.start = 0;
        self.end = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_survive_any_cut_of_the_stream(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 1..8),
            chunk in 1usize..9000,
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                encode(&Octets(message), &mut stream).unwrap();
            }
            let mut buffer = FrameBuffer::default();
            let mut received = Vec::new();
            for part in stream.chunks(chunk) {
                buffer.room()[..part.len()].copy_from_slice(part);
                buffer.filled(part.len());
                while let Some(frame) = buffer.next_frame().unwrap() {
                    received.push(decode::<Octets<'_>>(frame).unwrap().0.to_vec());
                }
            }
            prop_assert_eq!(received, messages);
        }
    }

    #[test]
    fn consumed_frames_are_wiped() {
        let mut buffer = FrameBuffer::default();
        let mut stream = Vec::new();
        encode(&Octets(b"secret"), &mut stream).unwrap();
        buffer.room()[..stream.len()].copy_from_slice(&stream);
        buffer.filled(stream.len());
        assert!(buffer.next_frame().unwrap().is_some());
        assert!(buffer.next_frame().unwrap().is_none());
        assert!(buffer.octets.iter().all(|octet| *octet == 0));
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_both_ways() {
        let large = vec![0; MAX_FRAME + 1];
        assert_eq!(
            encode(&Octets(&large), &mut Vec::new()),
            Err(WireError::TooLarge)
        );
        let mut buffer = FrameBuffer::default();
        buffer.room()[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        buffer.filled(4);
        assert_eq!(buffer.next_frame(), Err(WireError::TooLarge));
    }
}
