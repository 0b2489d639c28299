//! Every algorithm at the real processes: what a profile advertises it takes, and nothing else; who needs an exception
//! is known by name, and is refused once it has ended.

mod exceptions;
mod matrix;
mod strongswan;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use assay_scep::client::{CertRep, PkiMessageBuilder, assemble_csr, new_csr_info};
use assay_scep::{Cipher, Digest, FailInfo, KeyTransport, Limits, MessageSigner, Nonce, PkiStatus};
use assay_tests::device::{Anchors, Device};
use assay_tests::http;
use assay_tests::installation::Installation;
use assay_tests::wait;
use der::Encode;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer};
use serde_json::Value;
use x509_cert::name::Name;

const LEGACY: &str = "[quirks]\nallow_sha1 = true\nallow_3des = true\nchain_in_reply = true\nnot_before_skew = '9h'\n";
const ENDED: &str = "version = 2\n[quirks]\nallow_sha1 = { value = true, until = 2025-06-01T00:00:00Z }\n\
                     allow_3des = { value = true, until = 2025-06-01T00:00:00Z }\n";
const fn oaep(digest: Digest) -> KeyTransport {
    KeyTransport::Oaep {
        digest,
        mgf: digest,
    }
}

/// In which algorithms a device speaks.
#[derive(Clone, Copy, Debug)]
struct Form {
    digest: Digest,
    csr_digest: Digest,
    pss: bool,
    cipher: Cipher,
    transport: KeyTransport,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            digest: Digest::Sha256,
            csr_digest: Digest::Sha256,
            pss: false,
            cipher: Cipher::Aes128Cbc,
            transport: KeyTransport::Pkcs1v15,
        }
    }
}

struct Scene {
    installation: Installation,
    anchors: Anchors,
    device: Device,
    key: PKey<Private>,
}

impl Scene {
    async fn set(profiles: &[(&str, &str)]) -> Result<Self> {
        let installation = Installation::start().await?;
        for (name, changes) in profiles {
            installation.add_profile(name, "devices", changes).await?;
        }
        let device = Device::new()?;
        Ok(Self {
            anchors: Anchors::of(&installation)?,
            key: PKey::private_key_from_pem(&device.private_key_pem()?)?,
            device,
            installation,
        })
    }

    async fn send(
        &self,
        profile: &str,
        form: Form,
        name: &str,
        challenge: &str,
    ) -> Result<CertRep> {
        let subject: Name = format!("CN={name},O=Example").parse()?;
        let info = new_csr_info(
            &subject.to_der()?,
            &self.device.spki()?,
            Some(challenge),
            &[],
        );
        let signature = signature(&self.key, form.csr_digest, false, &info)?;
        let csr = assemble_csr(&info, form.csr_digest, &signature);
        let nonce = Nonce::random()?.as_bytes().to_vec();
        let transaction_id = hex::encode(&nonce);
        let (own, ra) = (self.device.certificate(), &self.anchors.ra_enc);
        let mut builder = PkiMessageBuilder::new(own, ra, &transaction_id, &nonce);
        builder.digest = form.digest;
        builder.cipher = form.cipher;
        builder.key_transport = form.transport;
        builder.signature_algorithm = form.pss.then(|| pss_algorithm(form.digest)).transpose()?;
        let signer = Hand(&self.key, form.pss);
        let message = builder.build(&csr, &signer).await?;
        let response = http::post(&self.installation.url_of(profile)?, &message).await?;
        ensure!(response.status == 200, "HTTP {}", response.status);
        let reply = CertRep::parse(&response.body, &Limits::default())?;
        reply.verify(&self.anchors.ra_sign)?;
        Ok(reply)
    }

    /// Whether the algorithms are taken: an unknown challenge is found out only after them.
    async fn takes(&self, profile: &str, form: Form) -> Result<bool> {
        let reply = self
            .send(profile, form, "nobody", "no challenge of ours")
            .await?;
        match reply.fail_info() {
            Some(FailInfo::BadAlg) => Ok(false),
            Some(FailInfo::BadRequest) => Ok(true),
            other => anyhow::bail!("{form:?}: {:?} {other:?}", reply.status()),
        }
    }

    async fn enrol(&self, profile: &str, form: Form, name: &str) -> Result<Vec<Vec<u8>>> {
        let subject = format!("CN={name},O=Example");
        let challenge = self.installation.challenge_of(profile, &subject).await?;
        let reply = self.send(profile, form, name, &challenge).await?;
        ensure!(
            reply.status() == PkiStatus::Success,
            "{form:?}: {:?}",
            reply.fail_info_text()
        );
        Ok(reply
            .open(&self.device, self.device.certificate())
            .await??)
    }

    /// The keywords of a profile, once the frontend knows it.
    async fn advertised(&self, profile: &str) -> Result<BTreeSet<String>> {
        let url = format!("{}?operation=GetCACaps", self.installation.url_of(profile)?);
        wait::until("the profile's capabilities", wait::REACTION, async || {
            let response = http::get(&url).await?;
            Ok((response.status == 200)
                .then(|| response.text().lines().map(str::to_owned).collect()))
        })
        .await
    }

    /// What `assay legacy list` tells: exception, device, whether it is allowed, until when.
    async fn legacy(&self) -> Result<Vec<(String, String, bool, String)>> {
        let list = ["legacy", "list", "--profile", "legacy", "--json"];
        let printed = self.installation.assay(&list).await?.succeeded()?.text();
        let rows: Vec<Value> = serde_json::from_str(&printed)?;
        let text = |row: &Value, key| row[key].as_str().unwrap_or_default().to_owned();
        let rows = rows.iter().map(|row| {
            let allowed = row["allowed"] == true;
            (
                text(row, "quirk"),
                text(row, "device"),
                allowed,
                text(row, "until"),
            )
        });
        Ok(rows.collect())
    }
}

/// The device's hand: RSASSA-PKCS1-v1_5, or RSASSA-PSS.
struct Hand<'a>(&'a PKey<Private>, bool);

impl MessageSigner for Hand<'_> {
    type Error = ErrorStack;

    async fn sign(
        &self,
        digest: Digest,
        _content: &[u8],
        signed_attributes: &[u8],
    ) -> Result<Vec<u8>, ErrorStack> {
        let Self(key, pss) = self;
        signature(key, digest, *pss, signed_attributes)
    }
}

fn signature(
    key: &PKey<Private>,
    digest: Digest,
    pss: bool,
    octets: &[u8],
) -> Result<Vec<u8>, ErrorStack> {
    let digest = digest.into();
    let mut signer = Signer::new(digest, key)?;
    if pss {
        signer.set_rsa_padding(Padding::PKCS1_PSS)?;
        signer.set_rsa_mgf1_md(digest)?;
        signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
    }
    signer.sign_oneshot_to_vec(octets)
}

/// RSASSA-PSS with MGF1 over the same hash and a salt of its length (RFC 4055 section 3.1).
fn pss_algorithm(digest: Digest) -> Result<Vec<u8>> {
    let (sha2, salt) = match digest {
        // The defaults (RFC 8017 A.2.3).
        Digest::Sha1 => return Ok(hex::decode("300d06092a864886f70d01010a3000")?),
        Digest::Sha256 => ("01", "20"),
        Digest::Sha384 => ("02", "30"),
        Digest::Sha512 => ("03", "40"),
    };
    Ok(hex::decode(format!(
        "304106092a864886f70d01010a3034a00f300d06096086480165030402{sha2}0500\
         a11c301a06092a864886f70d010108300d06096086480165030402{sha2}0500a2030201{salt}"
    ))?)
}
