//! Keys, certificates and messages for the tests, and OpenSSL's command line as an independent opinion.

use std::{
    convert::Infallible,
    fs,
    path::PathBuf,
    process::{Command, Output},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use assay_scep::{
    Decryptor, Digest, KeyTransport, Limits, MessageSigner, Request, client::PkiMessageBuilder,
};
use openssl::{
    encrypt::Decrypter,
    pkey::{PKey, Private},
    rsa::Padding,
    sign::{RsaPssSaltlen, Signer},
};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(crate) const TRANSACTION: &str = "5b1f9c6e7a0d4c33";
pub(crate) const NONCE: [u8; 16] = *b"sixteen octets!!";
pub(crate) const CHALLENGE: &str = "correct horse battery staple";

/// A key with its certificate, both made by OpenSSL's command line.
pub(crate) struct Identity {
    pub(crate) key: PKey<Private>,
    pub(crate) certificate: Vec<u8>,
    pub(crate) key_file: PathBuf,
    pub(crate) certificate_file: PathBuf,
    directory: TempDir,
}

impl Identity {
    pub(crate) fn new(name: &str, options: &[&str]) -> Self {
        Self::with_key(name, &["-newkey", "rsa:2048", "-nodes"], options)
    }

    pub(crate) fn with_key(name: &str, key_options: &[&str], options: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let (key_file, certificate_file) = (
            directory.path().join("key.pem"),
            directory.path().join("cert.der"),
        );
        let subject = format!("/O=Example/CN={name}");
        let mut command = Command::new("openssl");
        command.args([
            "req", "-x509", "-days", "1", "-outform", "DER", "-subj", &subject,
        ]);
        command.args(key_options).args(options);
        command
            .arg("-keyout")
            .arg(&key_file)
            .arg("-out")
            .arg(&certificate_file);
        run(&mut command);
        Identity {
            key: PKey::private_key_from_pem(&fs::read(&key_file).unwrap()).unwrap(),
            certificate: fs::read(&certificate_file).unwrap(),
            key_file,
            certificate_file,
            directory,
        }
    }

    /// A CSR for this key by `openssl req`.
    pub(crate) fn csr(&self, configuration: &str, options: &[&str]) -> Vec<u8> {
        let configuration_file = self.file("req.cnf", configuration.as_bytes());
        let mut command = Command::new("openssl");
        command
            .args(["req", "-new", "-outform", "DER"])
            .args(options);
        command
            .arg("-config")
            .arg(configuration_file)
            .arg("-key")
            .arg(&self.key_file);
        run(&mut command).stdout
    }

    /// A file of its own for each call, because tests that share a process share the identities too.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.path().join(format!("{number}-{name}"));
        fs::write(&path, content).unwrap();
        path
    }
}

pub(crate) const CSR_CONFIGURATION: &str = "\
[req]
prompt = no
string_mask = utf8only
distinguished_name = name
attributes = attributes
req_extensions = extensions
[name]
O = Example
CN = device-1
[attributes]
challengePassword = correct horse battery staple
[extensions]
subjectAltName = DNS:device-1.example.org
keyUsage = critical, digitalSignature
";

/// The device: a self-signed certificate.
pub(crate) fn device() -> &'static Identity {
    static DEVICE: OnceLock<Identity> = OnceLock::new();
    DEVICE.get_or_init(|| Identity::new("device-1", &[]))
}

/// The RA, for both of its roles.
pub(crate) fn ra() -> &'static Identity {
    static RA: OnceLock<Identity> = OnceLock::new();
    RA.get_or_init(|| {
        Identity::new(
            "RA",
            &[
                "-addext",
                "keyUsage=critical,digitalSignature,keyEncipherment",
            ],
        )
    })
}

pub(crate) fn csr() -> Vec<u8> {
    device().csr(CSR_CONFIGURATION, &["-sha256"])
}

pub(crate) fn builder() -> PkiMessageBuilder<'static> {
    PkiMessageBuilder::new(
        &device().certificate,
        &ra().certificate,
        TRANSACTION,
        &NONCE,
    )
}

/// A well-formed PKCSReq.
pub(crate) async fn message() -> Vec<u8> {
    builder().build(&csr(), device()).await.unwrap()
}

pub(crate) fn parse(bytes: &[u8]) -> Request {
    Request::parse(bytes, &Limits::default()).unwrap()
}

impl MessageSigner for Identity {
    type Error = Infallible;

    async fn sign(
        &self,
        digest: Digest,
        _content: &[u8],
        signed_attributes: &[u8],
    ) -> Result<Vec<u8>, Infallible> {
        let mut signer = Signer::new(digest.into(), &self.key).unwrap();
        Ok(signer.sign_oneshot_to_vec(signed_attributes).unwrap())
    }
}

/// Signs with RSASSA-PSS, SHA-256, a salt of 32 octets.
pub(crate) struct Pss<'a>(pub(crate) &'a Identity);

impl Pss<'_> {
    /// AlgorithmIdentifier of RFC 4055 §3.1: hash and MGF1 with SHA-256, saltLength 32.
    pub(crate) fn algorithm() -> Vec<u8> {
        hex::decode(
            "304106092a864886f70d01010a3034a00f300d06096086480165030402010500\
             a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120",
        )
        .unwrap()
    }
}

impl MessageSigner for Pss<'_> {
    type Error = Infallible;

    async fn sign(
        &self,
        digest: Digest,
        _content: &[u8],
        signed_attributes: &[u8],
    ) -> Result<Vec<u8>, Infallible> {
        let mut signer = Signer::new(digest.into(), &self.0.key).unwrap();
        signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        signer.set_rsa_mgf1_md(digest.into()).unwrap();
        signer
            .set_rsa_pss_saltlen(RsaPssSaltlen::custom(32))
            .unwrap();
        Ok(signer.sign_oneshot_to_vec(signed_attributes).unwrap())
    }
}

impl Decryptor for Identity {
    type Error = Infallible;

    async fn decrypt(
        &self,
        transport: KeyTransport,
        _length: usize,
        encrypted: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Infallible> {
        let mut decrypter = Decrypter::new(&self.key).unwrap();
        match transport {
            KeyTransport::Pkcs1v15 => decrypter.set_rsa_padding(Padding::PKCS1).unwrap(),
            KeyTransport::Oaep { digest, mgf } => {
                decrypter.set_rsa_padding(Padding::PKCS1_OAEP).unwrap();
                decrypter.set_rsa_oaep_md(digest.into()).unwrap();
                decrypter.set_rsa_mgf1_md(mgf.into()).unwrap();
            }
        }
        let mut plaintext = Zeroizing::new(vec![0; self.key.size()]);
        Ok(decrypter
            .decrypt(encrypted, &mut plaintext)
            .ok()
            .map(|length| {
                plaintext.truncate(length);
                plaintext
            }))
    }
}

/// Runs OpenSSL's command line, which is to succeed.
pub(crate) fn openssl(arguments: &[&str]) -> Vec<u8> {
    run(Command::new("openssl").args(arguments)).stdout
}

pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A TLV, by the shortest road: independent of the crate's writer.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    match content.len() {
        length @ 0..0x80 => element.push(u8::try_from(length).unwrap()),
        length @ 0x80..0x100 => element.extend([0x81, u8::try_from(length).unwrap()]),
        length @ 0x100..0x1_0000 => {
            element.extend([&[0x82], &u16::try_from(length).unwrap().to_be_bytes()[..]].concat());
        }
        length => {
            element.extend([&[0x84], &u32::try_from(length).unwrap().to_be_bytes()[..]].concat());
        }
    }
    element.extend_from_slice(content);
    element
}

/// An element's tag, content and whole length. Definite lengths only.
pub(crate) fn split(bytes: &[u8]) -> (u8, &[u8], usize) {
    let (header, length) = match bytes[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            (
                2 + count,
                bytes[2..2 + count]
                    .iter()
                    .fold(0, |sum, digit| sum << 8 | usize::from(*digit)),
            )
        }
    };
    (bytes[0], &bytes[header..header + length], header + length)
}

/// The elements of a constructed content, whole.
pub(crate) fn elements(mut content: &[u8]) -> Vec<Vec<u8>> {
    let mut elements = Vec::new();
    while !content.is_empty() {
        let (_, _, length) = split(content);
        elements.push(content[..length].to_vec());
        content = &content[length..];
    }
    elements
}

/// Rewrites the element at `path` (indices into constructed contents).
pub(crate) fn edit(der: &[u8], path: &[usize], change: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let Some((first, rest)) = path.split_first() else {
        return change(der);
    };
    let (tag, content, _) = split(der);
    let mut children = elements(content);
    children[*first] = edit(&children[*first], rest, change);
    tlv(tag, &children.concat())
}

/// Where things are in a pkiMessage of ours: ContentInfo, `[0]`, SignedData.
pub(crate) mod path {
    pub(crate) const E_CONTENT: [usize; 5] = [1, 0, 2, 1, 0];
    pub(crate) const CERTIFICATES: [usize; 3] = [1, 0, 3];
    pub(crate) const SIGNERS: [usize; 3] = [1, 0, 4];
    pub(crate) const SIGNER_IDENTIFIER: [usize; 5] = [1, 0, 4, 0, 1];
    pub(crate) const DIGEST_ALGORITHM: [usize; 5] = [1, 0, 4, 0, 2];
    pub(crate) const SIGNED_ATTRIBUTES: [usize; 5] = [1, 0, 4, 0, 3];
    pub(crate) const SIGNATURE_ALGORITHM: [usize; 5] = [1, 0, 4, 0, 4];
    pub(crate) const SIGNATURE: [usize; 5] = [1, 0, 4, 0, 5];
}
