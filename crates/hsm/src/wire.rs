//! Frames between the HSM service and its clients: a big-endian u32 length, then postcard.
//!
//! The client begins with [`Hello`], the service answers with a [`Greeting`]. From then on a frame of the client is an id
//! of 8 bytes, big-endian, and a [`Message`]; a frame of the service is an [`Answer`] with the id of what it answers.
//!
//! A TBSCertList that does not fit into one frame comes in parts: [`Message::CrlPart`] frames, which have no answer, and then
//! the request [`Operation::SignCrl`] with the last part, all of them with one id. One list at a time comes over a connection;
//! requests of other ids may lie between its parts.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use assay_shape::Form;
use assay_types::MAX_TBS_CERT_LIST;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Digest, KeyAlgorithm, KeyRole, KeyTransport, RaKeys, SignatureAlgorithm};

/// The version of the protocol. A client of another one is turned away with a reason.
pub const PROTOCOL: u32 = 4;

/// Largest frame, in octets without its length. The leaf hashes of a checkpoint are the largest thing that has to fit into one.
pub const MAX_FRAME: usize = 1 << 20;

/// Bytes of a TBSCertList in one frame.
pub const MAX_CRL_PART: usize = MAX_FRAME - REQUEST_OVERHEAD;

/// How long a TBSCertList may take from its first part to its last one.
pub const CRL_STREAM: Duration = Duration::from_secs(30);

/// Operations that a client sends ahead of each session of the service, so that none idles for a round trip. A client
/// that sends more than this and one probe without waiting for answers is cut off.
pub const AHEAD: usize = 2;

/// Octets of a frame's length.
const PREFIX: usize = 4;
/// Octets of a request's id.
const ID: usize = 8;

/// Octets read at once: many frames of an enrolment.
const READ: usize = 16 << 10;

/// Longest name of a program and longest request id, in characters. Both are quoted in the service's log.
pub const MAX_LABEL: usize = 64;

/// Octets of a [`Request`] beside its payload: names, numbers and lengths.
const REQUEST_OVERHEAD: usize = 256;

/// SHA-256 of a certificate, DER.
pub type Fingerprint = [u8; 32];

/// First frame of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`]. It comes first in every version.
    pub protocol: u32,
    /// Who asks, for the log: at most [`MAX_LABEL`] printable ASCII characters.
    pub program: String,
}

impl Hello {
    /// Reads a first frame, of which only the version has to be understood.
    ///
    /// # Errors
    /// [`WireError::Version`] for a client of another version, [`WireError::Malformed`].
    pub fn read(frame: &[u8]) -> Result<Self, WireError> {
        let protocol = postcard::take_from_bytes::<u32>(frame).map_err(|_| WireError::Malformed)?;
        match protocol.0 {
            PROTOCOL => {
                let hello: Self = decode(frame)?;
                check_label(&hello.program)?;
                Ok(hello)
            }
            theirs => Err(WireError::Version { theirs }),
        }
    }
}

/// The service's answer to [`Hello`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Greeting {
    /// The client may ask.
    Welcome(Box<Welcome>),
    /// It may not, and the connection ends.
    Rejected {
        /// Why, in one line.
        reason: String,
    },
}

/// What the service has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Sessions: as many operations are done at once.
    pub threads: u32,
    /// How long one operation may take in the token before the service ends itself.
    pub operation_deadline: Duration,
    /// Label of the token.
    pub token_label: String,
    /// Serial number of the token.
    pub token_serial: String,
    /// Each CA whose keys it holds.
    pub cas: Vec<CaInfo>,
    /// The key of the log, where there is one.
    pub log: Option<LogInfo>,
    /// Its journal.
    pub journal: JournalInfo,
    /// The key under which the client authenticates its state, so that it is kept where the state is not.
    pub state_key: StateSecret,
    /// What an operator has to know as long as it is so, a line each.
    pub warnings: Vec<String>,
}

/// The keys of one CA, each proven to be its certificate's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaInfo {
    /// Of the CA, by which operations name it.
    pub certificate: Fingerprint,
    /// What its key signs with.
    pub signature: SignatureAlgorithm,
    /// Of the RA's key that decrypts.
    pub ra_decrypt: Fingerprint,
    /// Of the RA's key that signs.
    pub ra_sign: Fingerprint,
    /// Of the RA's key that does both.
    pub ra_single: Option<Fingerprint>,
    /// What every key of the RA that decrypts can undo.
    pub key_transports: Vec<KeyTransport>,
    /// The responder's certificate, and what its key signs with.
    pub ocsp: Option<(Fingerprint, SignatureAlgorithm)>,
    /// The forms that its certificates may have.
    pub forms: Vec<Form>,
}

/// The journal of the service, as it is at the time of the greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalInfo {
    /// Its random identity.
    pub identity: [u8; 32],
    /// Leaves of the last tree that was signed.
    pub log_size: u64,
    /// Root of that tree (RFC 6962, section 2.1).
    pub log_root: [u8; 32],
    /// The time of its newest entry, in seconds since the Unix epoch; after an accepted jump of the clock the accepted time.
    pub newest_entry: i64,
    /// The number of the last CRL of each CA, in the order of [`Welcome::cas`].
    pub crl_numbers: Vec<Option<u64>>,
    /// The newest certificates that the last tree may not have yet, newest first and at most [`MAX_UNLOGGED`]: serial number
    /// (content octets of the INTEGER) and SHA-256 of the TBSCertificate.
    pub unlogged: Vec<(Vec<u8>, [u8; 32])>,
}

/// Certificates of [`JournalInfo::unlogged`] at most.
pub const MAX_UNLOGGED: usize = 8192;

/// A secret of 32 bytes, which no text shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct StateSecret([u8; 32]);

impl StateSecret {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0)
    }
}

impl From<[u8; 32]> for StateSecret {
    fn from(octets: [u8; 32]) -> Self {
        Self(octets)
    }
}

impl fmt::Debug for StateSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StateSecret")
    }
}

/// The log whose checkpoints the service signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogInfo {
    /// Its name (C2SP tlog-checkpoint).
    pub origin: String,
    /// Its key.
    pub key: LogKey,
}

/// The public half of the log key, read from the token and proven to be the private key's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogKey {
    /// [`KeyAlgorithm::Ed25519`] or [`KeyAlgorithm::P256`].
    pub algorithm: KeyAlgorithm,
    /// DER of its SubjectPublicKeyInfo (RFC 5280, section 4.1).
    pub spki_der: Vec<u8>,
}

/// One operation that is asked for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Ties the service's log lines to the frontend's: at most [`MAX_LABEL`] printable ASCII characters.
    pub request_id: &'a str,
    /// What is to be done.
    #[serde(borrow)]
    pub operation: Operation<'a>,
}

/// A frame of a client.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Message<'a> {
    /// It asks for an operation.
    Request(#[serde(borrow)] Request<'a>),
    /// The next bytes of a TBSCertList, whose last ones are in the request.
    CrlPart(#[serde(borrow)] Octets<'a>),
}

impl Message<'_> {
    /// As a frame without its length and id, which [`frame_header`] makes.
    ///
    /// # Errors
    /// [`WireError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let payload = match self {
            Self::Request(request) => request.operation.payload(),
            Self::CrlPart(octets) => octets.0.len(),
        };
        let room = Vec::with_capacity(payload + REQUEST_OVERHEAD);
        let octets = postcard::to_extend(self, room).map_err(|_| WireError::Malformed)?;
        if octets.len() + ID > MAX_FRAME {
            return Err(WireError::TooLarge);
        }
        Ok(octets)
    }
}

impl Request<'_> {
    /// As the frames that it takes, each as [`Message::encode`] makes it: one, unless it has a long TBSCertList.
    ///
    /// # Errors
    /// [`WireError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<Vec<u8>>, WireError> {
        let Operation::SignCrl { ca, tbs } = self.operation else {
            return Ok(vec![Message::Request(*self).encode()?]);
        };
        if tbs.0.len() > MAX_TBS_CERT_LIST {
            return Err(WireError::TooLarge);
        }
        let mut parts = tbs.0.chunks(MAX_CRL_PART);
        let tbs = Octets(parts.next_back().unwrap_or_default());
        let operation = Operation::SignCrl { ca, tbs };
        let last = Message::Request(Request { operation, ..*self });
        let parts = parts.map(|part| Message::CrlPart(Octets(part)));
        parts
            .chain([last])
            .map(|message| message.encode())
            .collect()
    }
}

/// Length and id of the frame of an encoded [`Message`].
pub fn frame_header(id: u64, request: &[u8]) -> [u8; PREFIX + ID] {
    let length = u32::try_from(request.len() + ID).unwrap_or(u32::MAX);
    let mut header = [0; PREFIX + ID];
    let (prefix, number) = header.split_at_mut(PREFIX);
    prefix.copy_from_slice(&length.to_be_bytes());
    number.copy_from_slice(&id.to_be_bytes());
    header
}

/// Reads a client's frame: its id and what it has.
///
/// # Errors
/// [`WireError::Malformed`].
pub fn read_message(frame: &[u8]) -> Result<(u64, Message<'_>), WireError> {
    let (id, message) = frame.split_first_chunk().ok_or(WireError::Malformed)?;
    let message: Message<'_> = decode(message)?;
    if let Message::Request(request) = &message {
        check_label(request.request_id)?;
    }
    Ok((u64::from_be_bytes(*id), message))
}

fn check_label(text: &str) -> Result<(), WireError> {
    let is_printable = |octet| matches!(octet, b' '..=b'~');
    match text.len() <= MAX_LABEL && text.bytes().all(is_printable) {
        true => Ok(()),
        false => Err(WireError::Malformed),
    }
}

/// What may be asked of the keys. `ca` is the fingerprint of the CA's certificate.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Operation<'a> {
    /// Decrypts a content-encryption key with the RA's key. The answer is always a key of the length asked for: where the
    /// ciphertext has none, one that depends on the ciphertext alone.
    UnwrapKey {
        /// The CA of the RA.
        ca: Fingerprint,
        /// Which of its keys.
        ra: RaKeys,
        /// How the key was encrypted.
        transport: KeyTransport,
        /// Octets of the key: 16, 24 or 32, the key lengths of the ciphers of RFC 8894, section 3.5.2, and RFC 3565.
        length: u8,
        /// The encrypted key.
        #[serde(borrow)]
        ciphertext: Octets<'a>,
    },
    /// Signs a CertRep (RFC 8894, section 3.3.2) with the RA's key, by RSASSA-PKCS1-v1_5.
    SignCertRep {
        /// The CA of the RA.
        ca: Fingerprint,
        /// Which of its keys.
        ra: RaKeys,
        /// The hash of messageDigest and of the signature.
        digest: Digest,
        /// What is signed: an EnvelopedData for a SUCCESS, nothing otherwise.
        #[serde(borrow)]
        content: Octets<'a>,
        /// DER, a SET OF (RFC 5652, section 5.4).
        #[serde(borrow)]
        signed_attributes: Octets<'a>,
    },
    /// Signs the announcement of the next CA (RFC 8894, section 4.7.1) with the RA's key, by RSASSA-PKCS1-v1_5 over SHA-256.
    SignNextCa {
        /// The present CA.
        ca: Fingerprint,
        /// Which of its RA's keys.
        ra: RaKeys,
        /// What is signed: a certs-only SignedData.
        #[serde(borrow)]
        content: Octets<'a>,
        /// DER, a SET OF (RFC 5652, section 5.4).
        #[serde(borrow)]
        signed_attributes: Octets<'a>,
    },
    /// Signs a certificate with the CA's key.
    SignCertificate {
        /// The issuer.
        ca: Fingerprint,
        /// DER of the TBSCertificate (RFC 5280, section 4.1).
        #[serde(borrow)]
        tbs: Octets<'a>,
    },
    /// Signs a CRL with the CA's key.
    SignCrl {
        /// The issuer.
        ca: Fingerprint,
        /// DER of the TBSCertList (RFC 5280, section 5.1); in a frame, what its parts before do not have.
        #[serde(borrow)]
        tbs: Octets<'a>,
    },
    /// Signs a status with the key of the CA's responder.
    SignOcsp {
        /// The CA that the responder answers for.
        ca: Fingerprint,
        /// DER of the ResponseData (RFC 6960, section 4.2.1).
        #[serde(borrow)]
        response_data: Octets<'a>,
    },
    /// Asks whether the journal has a certificate of the CA with this serial number, signed or not.
    IsJournalled {
        /// The CA.
        ca: Fingerprint,
        /// Content octets of the INTEGER.
        #[serde(borrow)]
        serial: Octets<'a>,
    },
    /// Signs a checkpoint (C2SP tlog-checkpoint) with the log's key. The service writes its text.
    SignCheckpoint {
        /// Leaves of the tree.
        size: u64,
        /// Root of the tree.
        root: [u8; 32],
        /// The leaf hashes since the checkpoint before, 32 octets each.
        #[serde(borrow)]
        leaves: Octets<'a>,
    },
    /// Finds the probe key, signs with it and verifies.
    Probe,
}

impl Operation<'_> {
    /// For logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnwrapKey { .. } => "unwrap-key",
            Self::SignCertRep { .. } => "sign-cert-rep",
            Self::SignNextCa { .. } => "sign-next-ca",
            Self::SignCertificate { .. } => "sign-certificate",
            Self::SignCrl { .. } => "sign-crl",
            Self::SignOcsp { .. } => "sign-ocsp",
            Self::IsJournalled { .. } => "is-journalled",
            Self::SignCheckpoint { .. } => "sign-checkpoint",
            Self::Probe => "probe",
        }
    }

    /// The role whose key does the work, or is asked about.
    pub fn role(&self) -> KeyRole {
        match self {
            Self::UnwrapKey { ra, .. } => ra.decrypts(),
            Self::SignCertRep { ra, .. } | Self::SignNextCa { ra, .. } => ra.signs(),
            Self::SignCertificate { .. } | Self::SignCrl { .. } | Self::IsJournalled { .. } => {
                KeyRole::CaSign
            }
            Self::SignOcsp { .. } => KeyRole::OcspSign,
            Self::SignCheckpoint { .. } => KeyRole::LogSign,
            Self::Probe => KeyRole::Probe,
        }
    }

    /// The CA whose key does the work; `None` for the log's and the probe's.
    pub fn ca(&self) -> Option<Fingerprint> {
        match self {
            Self::UnwrapKey { ca, .. }
            | Self::SignCertRep { ca, .. }
            | Self::SignNextCa { ca, .. }
            | Self::SignCertificate { ca, .. }
            | Self::SignCrl { ca, .. }
            | Self::SignOcsp { ca, .. }
            | Self::IsJournalled { ca, .. } => Some(*ca),
            Self::SignCheckpoint { .. } | Self::Probe => None,
        }
    }

    fn payload(&self) -> usize {
        match self {
            Self::UnwrapKey { ciphertext, .. } => ciphertext.0.len(),
            Self::SignCertRep {
                content,
                signed_attributes,
                ..
            }
            | Self::SignNextCa {
                content,
                signed_attributes,
                ..
            } => content.0.len() + signed_attributes.0.len(),
            Self::SignCertificate { tbs, .. } | Self::SignCrl { tbs, .. } => tbs.0.len(),
            Self::SignOcsp { response_data, .. } => response_data.0.len(),
            Self::IsJournalled { serial, .. } => serial.0.len(),
            Self::SignCheckpoint { leaves, .. } => leaves.0.len(),
            Self::Probe => 0,
        }
    }
}

/// The result of one operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer<'a> {
    /// Of the request.
    pub id: u64,
    /// Signatures that the key of the operation's CA has made of certificates and CRLs on this connection, this one
    /// included.
    pub ca_signatures: u64,
    /// Its result.
    #[serde(borrow)]
    pub outcome: Outcome<'a>,
}

/// The result of one operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Outcome<'a> {
    /// A key of the length that was asked for.
    Key(#[serde(borrow)] Octets<'a>),
    /// A signature.
    Signature(#[serde(borrow)] Octets<'a>),
    /// A signed checkpoint.
    Checkpoint {
        /// The extension line of its text, without the newline: the head of the journal.
        extension: &'a str,
        /// Over the text: 64 octets for Ed25519, DER of an ECDSA signature over SHA-256 for P-256.
        #[serde(borrow)]
        signature: Octets<'a>,
    },
    /// Whether the journal has the certificate that was asked about.
    Journalled(bool),
    /// The token works.
    Probed(Usage),
    /// Permanent: asked again, the answer is the same.
    Refused(&'a str),
    /// Not at present: a ceiling, a suspension, a full disk or the clock, in one line.
    NotNow(&'a str),
    /// The library or token cannot serve this process any longer; the service ends itself after this answer.
    Broken(&'a str),
}

/// What the service counts of itself since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Operations by the role of the key.
    pub operations: Vec<(KeyRole, u64)>,
    /// Processor time, user and system.
    pub cpu_nanoseconds: u64,
}

/// Octets that postcard moves as one block rather than one by one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Octets<'a>(pub &'a [u8]);

impl fmt::Debug for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

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
pub enum WireError {
    /// Longer than [`MAX_FRAME`].
    #[error("a frame exceeds {MAX_FRAME} octets")]
    TooLarge,
    /// Not of this protocol.
    #[error("a frame is malformed")]
    Malformed,
    /// Of another version of it.
    #[error(
        "the client speaks version {theirs} of the protocol, the service version {PROTOCOL}: install both of one release"
    )]
    Version {
        /// The client's.
        theirs: u32,
    },
}

/// Appends a message as one frame.
///
/// # Errors
/// [`WireError::TooLarge`]; what stood in `out` before is left.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), WireError> {
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
///
/// # Errors
/// [`WireError::Malformed`].
pub fn decode<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<T, WireError> {
    match postcard::take_from_bytes(frame) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(WireError::Malformed),
    }
}

/// Cuts a stream of octets into frames. Knows no I/O; what was consumed is wiped, for frames
/// carry keys.
#[derive(Default)]
pub struct FrameBuffer {
    octets: Zeroizing<Vec<u8>>,
    /// Where the first frame not yet taken starts.
    start: usize,
    /// Where what was read ends.
    end: usize,
}

impl FrameBuffer {
    /// Room for the next read; tell with [`Self::filled`] how much came.
    pub fn room(&mut self) -> &mut [u8] {
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

    /// This number of bytes of the room was filled.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.octets.len());
    }

    /// A whole frame is there.
    ///
    /// # Errors
    /// [`WireError::TooLarge`].
    pub fn is_complete(&self) -> Result<bool, WireError> {
        Ok(self.complete()?.is_some())
    }

    /// The next whole frame, or `None` until more was read.
    ///
    /// # Errors
    /// [`WireError::TooLarge`].
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, WireError> {
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
    pub fn recycle(&mut self) {
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
    fn what_the_log_quotes_is_short_and_printable() {
        let longest = "a".repeat(MAX_LABEL);
        for (text, wanted) in [
            ("", true),
            ("request 1~", true),
            (longest.as_str(), true),
            (&format!("{longest}a"), false),
            ("a\nb", false),
            ("\u{7f}", false),
            ("\u{e4}", false),
        ] {
            let hello = Hello {
                protocol: PROTOCOL,
                program: text.to_owned(),
            };
            let frame = postcard::to_allocvec(&hello).unwrap();
            assert_eq!(Hello::read(&frame).is_ok(), wanted, "{text:?}");
            let request = Request {
                request_id: text,
                operation: Operation::Probe,
            };
            let request = request.encode().unwrap().concat();
            let frame = [&[0; ID], request.as_slice()].concat();
            assert_eq!(read_message(&frame).is_ok(), wanted, "{text:?}");
        }
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

    #[test]
    fn a_list_of_any_length_up_to_the_limit_comes_over_in_frames() {
        for length in [
            0,
            1,
            MAX_CRL_PART,
            MAX_CRL_PART + 1,
            3 * MAX_CRL_PART,
            MAX_TBS_CERT_LIST,
        ] {
            let tbs: Vec<u8> = (0..=250).cycle().take(length).collect();
            let request = Request {
                request_id: &"r".repeat(MAX_LABEL),
                operation: Operation::SignCrl {
                    ca: [7; 32],
                    tbs: Octets(&tbs),
                },
            };
            let frames = request.encode().unwrap();
            assert_eq!(frames.len(), length.div_ceil(MAX_CRL_PART).max(1));
            let mut read = Vec::new();
            for (place, frame) in frames.iter().enumerate() {
                let frame = [&[0; ID], frame.as_slice()].concat();
                let (_, message) = read_message(&frame).unwrap();
                let is_last = place + 1 == frames.len();
                read.extend_from_slice(if is_last {
                    let Message::Request(Request {
                        operation: Operation::SignCrl { ca, tbs },
                        ..
                    }) = message
                    else {
                        panic!("{message:?}");
                    };
                    assert_eq!(ca, [7; 32]);
                    tbs.0
                } else {
                    let Message::CrlPart(octets) = message else {
                        panic!("{message:?}");
                    };
                    octets.0
                });
            }
            assert!(read == tbs, "{length}");
        }
        let longer = vec![0; MAX_TBS_CERT_LIST + 1];
        let request = Request {
            request_id: "",
            operation: Operation::SignCrl {
                ca: [0; 32],
                tbs: Octets(&longer),
            },
        };
        assert_eq!(request.encode(), Err(WireError::TooLarge));
    }
}
