//! What an RA has signed: CertReps and announcements of the next CA, as Assay sends them, and CertReps by hand.

use std::convert::Infallible;
use std::sync::{LazyLock, Mutex};

use assay_hsm::{CaKeys, Digest, OperationError, RaKeys, Token};
use assay_scep::client::PkiMessageBuilder;
use assay_scep::{
    Cipher, Limits, MessageSigner, Outcome, ReplyContext, Request, cert_rep, next_ca_certificates,
};
use openssl::hash::{MessageDigest, hash};
use openssl::sign::Signer;

use super::shape::{Identity, Role, oid, rsa_key, sequence, tlv, with_key};

/// Content, and the signed attributes over it.
#[derive(Clone)]
pub struct Message {
    pub content: Vec<u8>,
    pub attributes: Vec<u8>,
}

impl Message {
    /// Has it signed as a CertRep.
    pub async fn sign(
        &self,
        keys: &CaKeys,
        ra: RaKeys,
        digest: Digest,
    ) -> Result<Vec<u8>, OperationError> {
        keys.sign_cert_rep("reply", ra, digest, &self.content, &self.attributes)
            .await
    }
}

/// Has the RA sign a small reply.
pub async fn send(keys: &CaKeys) -> Result<Vec<u8>, OperationError> {
    let pending = by_hand(b"3", b"", Digest::Sha256);
    pending.sign(keys, RaKeys::Pair, Digest::Sha256).await
}

/// A CertRep of this pkiStatus over this content. `2`, a FAILURE, has no failInfo and is refused.
pub fn by_hand(status: &[u8], content: &[u8], digest: Digest) -> Message {
    let of_content = hash(MessageDigest::from(digest), content).unwrap();
    let mut attributes: Vec<Vec<u8>> = [
        ("1.2.840.113549.1.9.3", oid("1.2.840.113549.1.7.1")),
        ("1.2.840.113549.1.9.4", tlv(4, &of_content)),
        ("2.16.840.1.113733.1.9.7", tlv(0x13, b"5b1f9c6e7a0d4c33")),
        ("2.16.840.1.113733.1.9.2", tlv(0x13, b"3")),
        ("2.16.840.1.113733.1.9.3", tlv(0x13, status)),
        ("2.16.840.1.113733.1.9.6", tlv(4, &[7; 16])),
        ("2.16.840.1.113733.1.9.5", tlv(4, &[8; 16])),
    ]
    .into_iter()
    .map(|(kind, value)| sequence(&[&oid(kind), &tlv(0x31, &value)]))
    .collect();
    attributes.sort();
    Message {
        content: content.to_vec(),
        attributes: tlv(0x31, &attributes.concat()),
    }
}

/// Signs, and keeps what it signed.
struct Recorder<'a> {
    identity: &'a Identity,
    message: Mutex<Option<Message>>,
}

impl<'a> Recorder<'a> {
    fn new(identity: &'a Identity) -> Self {
        let message = Mutex::default();
        Self { identity, message }
    }

    fn message(self) -> Message {
        self.message.into_inner().unwrap().unwrap()
    }
}

impl MessageSigner for Recorder<'_> {
    type Error = Infallible;

    async fn sign(
        &self,
        digest: Digest,
        content: &[u8],
        attributes: &[u8],
    ) -> Result<Vec<u8>, Infallible> {
        *self.message.lock().unwrap() = Some(Message {
            content: content.to_vec(),
            attributes: attributes.to_vec(),
        });
        let mut signer = Signer::new(digest.into(), &self.identity.key).unwrap();
        Ok(signer.sign_oneshot_to_vec(attributes).unwrap())
    }
}

static IDENTITIES: LazyLock<[Identity; 2]> =
    LazyLock::new(|| ["device-1", "RA"].map(|name| with_key(rsa_key(), name, Role::Ra, None)));

/// A SUCCESS as Assay sends it.
pub async fn success(digest: Digest) -> Message {
    let [device, ra] = &*IDENTITIES;
    let nonce = [7; 16];
    let builder =
        PkiMessageBuilder::new(&device.certificate, &ra.certificate, "transaction", &nonce);
    let request = builder.build(b"a CSR", &Recorder::new(device)).await;
    let request = request.unwrap();
    let request = Request::parse(&request, &Limits::default()).unwrap();
    let context = ReplyContext {
        request: &request,
        ra_certificate: &ra.certificate,
        digest,
        cipher: Cipher::Aes256Cbc,
        password: None,
    };
    let outcome = Outcome::Success {
        certificates: vec![device.certificate.clone()],
    };
    let signer = Recorder::new(ra);
    cert_rep(&context, &outcome, &signer).await.unwrap();
    signer.message()
}

/// The announcement of these certificates as Assay sends it.
pub async fn next_ca(certificates: &[Vec<u8>]) -> Message {
    let [_, ra] = &*IDENTITIES;
    let signer = Recorder::new(ra);
    next_ca_certificates(certificates, &ra.certificate, &signer)
        .await
        .unwrap();
    signer.message()
}
