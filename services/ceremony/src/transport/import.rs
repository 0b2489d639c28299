//! A transport certificate of another PKI: taken as it is, once it is known to be fit.

use std::path::Path;

use assay_runtime::identity::Role;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509PurposeId};
use zeroize::Zeroizing;

use super::{Installed, Place, identity};
use crate::signature::chain_fault;
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_operator::installation::Installation;

/// Checks chain, purpose, key and identity, then copies the files to where the configuration looks for them.
pub(super) fn import(
    installation: &Installation,
    certificate: &Path,
    key: &Path,
    anchors: &Path,
) -> Outcome<Installed> {
    let chain_pem = files::read(certificate)?;
    let chain = X509::stack_from_pem(&chain_pem).or_fail(format!(
        "{} holds no PEM certificate",
        certificate.display()
    ))?;
    let Some((leaf, above)) = chain.split_first() else {
        return Err(
            Failure::usage(format!("{} holds no certificate", certificate.display()))
                .next("give the certificate first, its intermediates after it"),
        );
    };
    let key_pem = Zeroizing::new(files::read(key)?);
    check_key(leaf, &key_pem, key)?;
    let anchors_pem = files::read(anchors)?;
    let identity = identity::of(leaf)?;
    check_chain(leaf, above, &anchors_pem, identity.role()).map_err(|failure| {
        failure.next(format!(
            "{} must verify {} for its role",
            anchors.display(),
            certificate.display()
        ))
    })?;
    files::make_dir(&installation.transport())?;
    let place = Place::of(installation, &identity)?;
    place.write(&chain_pem, &key_pem, &anchors_pem)?;
    place.installed(&identity, leaf)
}

fn check_key(leaf: &X509, key_pem: &[u8], path: &Path) -> Outcome {
    let key = PKey::private_key_from_pem(key_pem).or_fail(format!(
        "{} holds no unencrypted PEM private key",
        path.display()
    ))?;
    let certified = leaf
        .public_key()
        .or_fail("the certificate's key is unreadable")?;
    if certified.public_eq(&key) {
        return Ok(());
    }
    Err(
        Failure::failed(format!("{} is not the certificate's key", path.display()))
            .next("give the private key that the certificate was issued for"),
    )
}

fn check_chain(leaf: &X509, above: &[X509], anchors_pem: &[u8], role: Role) -> Outcome {
    let anchors =
        X509::stack_from_pem(anchors_pem).or_fail("the anchors are not PEM certificates")?;
    let purpose = match role {
        Role::Signer => X509PurposeId::SSL_SERVER,
        Role::Frontend | Role::Operator | Role::Approver | Role::Auditor => {
            X509PurposeId::SSL_CLIENT
        }
    };
    let fault = chain_fault(leaf, above, &anchors, Some(purpose))
        .or_fail("cannot verify the certificate")?;
    fault.map_or(Ok(()), |fault| {
        Err(Failure::failed("the certificate does not verify").because(fault))
    })
}

#[cfg(test)]
mod tests {
    use assay_runtime::identity::Identity;

    use super::*;
    use crate::transport::make;

    fn made_elsewhere() -> (tempfile::TempDir, Installation) {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = Installation::at(dir.path());
        let identities = [
            Identity::new(Role::Frontend, "dmz7").unwrap(),
            Identity::new(Role::Operator, "ann").unwrap(),
        ];
        make::make(&elsewhere, &identities, 1).unwrap();
        (dir, elsewhere)
    }

    fn import_from(
        elsewhere: &Installation,
        certificate: &str,
        key: &str,
        anchors: &str,
    ) -> Outcome<Installed> {
        let here = tempfile::tempdir().unwrap();
        let transport = elsewhere.transport();
        import(
            &Installation::at(here.path()),
            &transport.join(certificate),
            &transport.join(key),
            &transport.join(anchors),
        )
    }

    #[test]
    fn a_fit_certificate_is_taken() {
        let (_dir, elsewhere) = made_elsewhere();
        let taken = import_from(
            &elsewhere,
            "frontend.pem",
            "frontend.key",
            "anchors-frontends.pem",
        )
        .unwrap();
        assert_eq!(taken.identity, "assay://frontend/dmz7");
        assert!(taken.certificate.ends_with("transport/frontend.pem"));
    }

    #[test]
    fn another_key_is_refused() {
        let (_dir, elsewhere) = made_elsewhere();
        let failure = import_from(
            &elsewhere,
            "frontend.pem",
            "operator.key",
            "anchors-frontends.pem",
        )
        .unwrap_err();
        assert!(
            failure.to_string().contains("not the certificate's key"),
            "{failure}"
        );
    }

    #[test]
    fn another_anchor_is_refused() {
        let (_dir, elsewhere) = made_elsewhere();
        let failure = import_from(
            &elsewhere,
            "frontend.pem",
            "frontend.key",
            "anchors-operators.pem",
        )
        .unwrap_err();
        assert!(failure.to_string().contains("does not verify"), "{failure}");
    }
}
