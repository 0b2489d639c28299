//! Transport certificates of our own: an anchor a role and run, P-256, whose key is dropped when the run ends.

use assay_runtime::identity::{Identity, Role};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};

use super::{Installed, Place};
use crate::software::{self, p256};
use assay_console::failure::{OrFail, Outcome};
use assay_console::files;
use assay_operator::installation::Installation;

/// Makes certificates for identities that have none yet: all places are looked at before anything is written.
pub(super) fn make(
    installation: &Installation,
    identities: &[Identity],
    days: u32,
) -> Outcome<Vec<Installed>> {
    files::make_dir(&installation.transport())?;
    for identity in identities {
        Place::of(installation, identity)?;
    }
    let mut made = Vec::new();
    for role in Role::ALL {
        let of_role: Vec<_> = identities
            .iter()
            .filter(|identity| identity.role() == role)
            .collect();
        if of_role.is_empty() {
            continue;
        }
        let what = format!("cannot make the {role} certificates");
        let anchor = Anchor::new(role, days).or_fail(&what)?;
        let anchor_pem = anchor.certificate.to_pem().or_fail(&what)?;
        for identity in of_role {
            let place = Place::of(installation, identity)?;
            let key = p256().or_fail(&what)?;
            let certificate = anchor.certify(identity, &key, days).or_fail(&what)?;
            let pem = certificate.to_pem().or_fail(&what)?;
            let key_pem = zeroize::Zeroizing::new(key.private_key_to_pem_pkcs8().or_fail(&what)?);
            place.write(&pem, &key_pem, &anchor_pem)?;
            made.push(place.installed(identity, &certificate)?);
        }
    }
    Ok(made)
}

impl Place {
    pub(super) fn installed(&self, identity: &Identity, certificate: &X509) -> Outcome<Installed> {
        let der = certificate
            .to_der()
            .or_fail("a certificate is unreadable")?;
        Ok(Installed {
            identity: identity.to_string(),
            certificate: self.certificate.display().to_string(),
            private_key: self.private_key.display().to_string(),
            trust_anchors: self.anchors.display().to_string(),
            not_after: certificate.not_after().to_string(),
            sha256: hex::encode(openssl::sha::sha256(&der)),
        })
    }
}

/// Signs the certificates of one role in one run.
struct Anchor {
    key: PKey<Private>,
    certificate: X509,
}

impl Anchor {
    fn new(role: Role, days: u32) -> Result<Self, ErrorStack> {
        let key = p256()?;
        let name = format!("Assay transport anchor, {role}s");
        let mut builder = software::certificate(&name, &key, days)?;
        builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().build()?)?;
        let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(identifier)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self {
            key,
            certificate: builder.build(),
        })
    }

    fn certify(
        &self,
        identity: &Identity,
        key: &PKey<Private>,
        days: u32,
    ) -> Result<X509, ErrorStack> {
        let name = format!("{} {}", identity.role(), identity.name());
        let mut builder = software::certificate(&name, key, days)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
        let mut usage = ExtendedKeyUsage::new();
        match identity.role() {
            Role::Signer => usage.server_auth(),
            Role::Frontend | Role::Operator | Role::Approver | Role::Auditor => usage.client_auth(),
        };
        builder.append_extension(usage.build()?)?;
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let extensions = [
            SubjectAlternativeName::new()
                .uri(&identity.to_string())
                .build(&context)?,
            SubjectKeyIdentifier::new().build(&context)?,
            AuthorityKeyIdentifier::new().keyid(true).build(&context)?,
        ];
        for extension in extensions {
            builder.append_extension(extension)?;
        }
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(builder.build())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::transport::{default_identities, identity};

    fn installation() -> (tempfile::TempDir, Installation) {
        let dir = tempfile::tempdir().unwrap();
        let installation = Installation::at(dir.path());
        (dir, installation)
    }

    fn frontend(name: &str) -> Identity {
        Identity::new(Role::Frontend, name).unwrap()
    }

    #[test]
    fn each_role_has_an_anchor_of_its_own() {
        let (_dir, installation) = installation();
        make(&installation, &default_identities().unwrap(), 90).unwrap();
        for (role, other) in [
            ("frontend", "operators"),
            ("operator", "frontends"),
            ("signer", "operators"),
        ] {
            let certificate = X509::from_pem(
                &files::read(&installation.path(format!("transport/{role}.pem"))).unwrap(),
            )
            .unwrap();
            let verified_by = |bundle: &str| {
                let pem =
                    files::read(&installation.path(format!("transport/anchors-{bundle}.pem")))
                        .unwrap();
                X509::stack_from_pem(&pem)
                    .unwrap()
                    .iter()
                    .any(|anchor| certificate.verify(&anchor.public_key().unwrap()).unwrap())
            };
            assert!(verified_by(&format!("{role}s")));
            assert!(!verified_by(other));
        }
    }

    #[test]
    fn a_further_identity_brings_its_anchor_and_keeps_the_first() {
        let (_dir, installation) = installation();
        make(&installation, &[frontend("dmz1")], 90).unwrap();
        let first = files::read(&installation.path("transport/frontend.pem")).unwrap();
        make(&installation, &[frontend("dmz2")], 90).unwrap();
        assert_eq!(
            files::read(&installation.path("transport/frontend.pem")).unwrap(),
            first
        );
        let second = identity::read(&installation.path("transport/frontend-dmz2.pem")).unwrap();
        assert_eq!(second, frontend("dmz2"));
        let bundle = files::read(&installation.path("transport/anchors-frontends.pem")).unwrap();
        assert_eq!(X509::stack_from_pem(&bundle).unwrap().len(), 2);
    }

    #[test]
    fn an_identity_is_not_made_twice() {
        let (_dir, installation) = installation();
        make(&installation, &[frontend("dmz1")], 90).unwrap();
        let failure = make(&installation, &[frontend("dmz1")], 90).unwrap_err();
        assert!(
            failure.to_string().contains("is there already"),
            "{failure}"
        );
    }

    #[test]
    fn keys_are_for_their_owner_alone_and_no_anchor_key_is_left() {
        let (_dir, installation) = installation();
        make(&installation, &default_identities().unwrap(), 90).unwrap();
        let mut keys = 0;
        for entry in std::fs::read_dir(installation.transport()).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            if text.contains("PRIVATE KEY") {
                keys += 1;
                let mode = std::fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{}", path.display());
            }
        }
        assert_eq!(keys, Role::ALL.len());
    }
}
