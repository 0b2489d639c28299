//! The identity in a certificate on disk.

use std::path::Path;

use assay_runtime::identity::Identity;
use openssl::x509::X509;

use crate::record::read_certificate;
use assay_console::failure::{Failure, OrFail, Outcome};

/// Whose certificate the file holds.
pub(super) fn read(path: &Path) -> Outcome<Identity> {
    of(&read_certificate(path)?).map_err(|failure| failure.next(format!("see {}", path.display())))
}

pub(super) fn of(certificate: &X509) -> Outcome<Identity> {
    let der = certificate
        .to_der()
        .or_fail("a certificate is unreadable")?;
    Identity::from_certificate(&der)
        .or_fail("the certificate carries no identity")
        .map_err(|failure| failure.next("it needs exactly one URI SAN, assay://ROLE/NAME"))
}

/// An identity is made once; renewing it is the operator's decision, who moves the old files away.
pub(super) fn refuse_same(path: &Path, identity: &Identity) -> Outcome {
    if read(path)? != *identity {
        return Ok(());
    }
    Err(
        Failure::failed(format!("{identity} is there already: {}", path.display()))
            .next("nothing is overwritten: to renew, move the old certificate and key away first"),
    )
}
