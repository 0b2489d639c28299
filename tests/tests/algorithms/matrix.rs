//! Digests, ciphers, key transports and signature schemes against the capabilities, and a certificate by each.

use anyhow::{Context, Result};
use assay_scep::{Cipher, Digest, KeyTransport};
use openssl::x509::X509;

use crate::{ENDED, Form, LEGACY, Scene, oaep};

const TRANSPORTS: [KeyTransport; 3] = [
    KeyTransport::Pkcs1v15,
    oaep(Digest::Sha1),
    oaep(Digest::Sha256),
];

const NARROW: &str = "[algorithms]\nmessage_digests = ['sha512']\ncontent_ciphers = ['aes256-cbc']\n\
                      key_transports = ['rsa-oaep']\n";

/// What a profile is to take.
struct Taken<'a> {
    profile: &'a str,
    digests: &'a [Digest],
    ciphers: &'a [Cipher],
    transports: &'a [KeyTransport],
}

impl Taken<'_> {
    /// Holds capabilities and refusals to it.
    async fn hold(&self, scene: &Scene) -> Result<()> {
        let Taken {
            profile,
            digests,
            ciphers,
            transports,
        } = self;
        let caps = scene.advertised(profile).await?;
        for digest in Digest::ALL {
            assert_eq!(
                caps.contains(&digest.as_str().replace("sha", "SHA-")),
                digests.contains(&digest),
                "{profile}: {caps:?}"
            );
        }
        // AES stands for AES-128-CBC; the longer keys have no keyword (RFC 8894 section 3.5.2).
        assert_eq!(
            caps.contains("AES"),
            ciphers.contains(&Cipher::Aes128Cbc),
            "{profile}"
        );
        assert_eq!(
            caps.contains("DES3"),
            ciphers.contains(&Cipher::DesEde3Cbc),
            "{profile}"
        );
        for (digest, cipher, transport, pss) in every_form() {
            let form = Form {
                digest,
                cipher,
                transport,
                pss,
                ..Form::default()
            };
            let wanted = digests.contains(&digest)
                && ciphers.contains(&cipher)
                && transports.contains(&transport);
            assert_eq!(
                scene.takes(profile, form).await?,
                wanted,
                "{profile}: {form:?}"
            );
        }
        Ok(())
    }
}

/// All digests with all ciphers and with all key transports, both signature schemes among them.
fn every_form() -> Vec<(Digest, Cipher, KeyTransport, bool)> {
    let mut forms = Vec::new();
    for (number, digest) in Digest::ALL.into_iter().enumerate() {
        for (other, cipher) in Cipher::ALL.into_iter().enumerate() {
            for transport in TRANSPORTS {
                forms.push((digest, cipher, transport, (number + other) % 2 == 1));
            }
        }
    }
    forms
}

#[tokio::test]
async fn what_is_advertised_is_taken_and_what_is_not_is_bad_alg() -> Result<()> {
    let profiles = [("legacy", LEGACY), ("ended", ENDED), ("narrow", NARROW)];
    let scene = Scene::set(&profiles).await?;
    let [_, sha2 @ ..] = &Digest::ALL;
    let [_, aes @ ..] = &Cipher::ALL;
    // SoftHSM's RSAES-OAEP has SHA-1 only.
    let [transports @ .., _] = &TRANSPORTS;
    let with = |profile, digests, ciphers, transports| Taken {
        profile,
        digests,
        ciphers,
        transports,
    };
    let narrow = (
        &[Digest::Sha512],
        &[Cipher::Aes256Cbc],
        &[oaep(Digest::Sha1)],
    );
    for taken in [
        with("devices", sha2, aes, transports),
        with("ended", sha2, aes, transports),
        with("legacy", &Digest::ALL, &Cipher::ALL, transports),
        with("narrow", narrow.0, narrow.1, narrow.2),
    ] {
        taken.hold(&scene).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_comes_of_each_algorithm_and_its_reply_opens() -> Result<()> {
    let scene = Scene::set(&[("legacy", LEGACY)]).await?;
    let usual = Form::default();
    let mut forms = vec![Form {
        transport: oaep(Digest::Sha1),
        ..usual
    }];
    forms.extend(Digest::ALL.map(|digest| Form {
        digest,
        csr_digest: digest,
        ..usual
    }));
    forms.extend(Digest::ALL.map(|digest| Form {
        digest,
        pss: true,
        ..usual
    }));
    forms.extend(Cipher::ALL.map(|cipher| Form { cipher, ..usual }));
    for (number, form) in forms.into_iter().enumerate() {
        let issued = scene
            .enrol("legacy", form, &format!("device-{number}"))
            .await;
        let issued = issued.with_context(|| format!("{form:?}"))?;
        assert_eq!(
            X509::from_der(issued.first().context("none")?)?
                .public_key()?
                .public_key_to_der()?,
            scene.device.spki()?
        );
    }
    Ok(())
}
