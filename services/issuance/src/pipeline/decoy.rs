//! The CSR that stands in for one that could not be read, so that a request without one costs as much as one with it.

use assay_scep::{Csr, CsrError, Curve, Limits, SignerCertificate};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509ReqBuilder;

use crate::random::Random;

/// What most devices have.
const KEY_BITS: u32 = 2_048;

/// Well-formed, well-signed CSRs, one of RSA and one of each curve, whose keys were thrown away when they were made.
pub(crate) struct Decoy {
    der: Vec<u8>,
    of_curves: Vec<(Curve, Csr)>,
}

/// The decoys could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoDecoy {
    #[error(transparent)]
    OpenSsl(#[from] ErrorStack),
    #[error(transparent)]
    Csr(#[from] CsrError),
}

impl Decoy {
    pub(crate) fn new(random: &dyn Random) -> Result<Self, NoDecoy> {
        let der = csr(&random.rsa_key(KEY_BITS)?)?;
        let mut of_curves = Vec::with_capacity(Curve::ALL.len());
        for curve in Curve::ALL {
            let group = EcGroup::from_curve_name(curve.into())?;
            let der = csr(&PKey::from_ec_key(EcKey::generate(&group)?)?)?;
            of_curves.push((curve, Csr::parse(&der, &Limits::default())?));
        }
        Ok(Self { der, of_curves })
    }

    /// The CSR in `content`, if its key signed it and is `bound_to`'s where that is said. `curves` are those of the
    /// profile.
    ///
    /// The tick hides the time of a failure as long as the work is done by then. Under load it may not be, and how many
    /// ticks pass would tell what failed; so none of the checks is skipped for the failure of another. Signatures of
    /// another kind of key cost otherwise, so that a failure costs one of each kind that the profile takes.
    pub(super) fn prove(
        &self,
        content: Option<&[u8]>,
        bound_to: Option<&SignerCertificate>,
        curves: &[Curve],
        limits: &Limits,
    ) -> Option<Csr> {
        let sent = content.and_then(|content| Csr::parse(content, limits).ok());
        let was_sent = sent.is_some();
        let csr = sent.or_else(|| Csr::parse(&self.der, limits).ok())?;
        let proves_possession = csr.verify_proof_of_possession().is_ok();
        let is_of_signer = bound_to.is_none_or(|signer| csr.has_key_of(signer));
        if was_sent & proves_possession & is_of_signer {
            return Some(csr);
        }
        self.verify_other_kinds(&csr, curves, limits);
        None
    }

    fn verify_other_kinds(&self, verified: &Csr, curves: &[Curve], limits: &Limits) {
        let of_curves = self
            .of_curves
            .iter()
            .filter(|(curve, _)| curves.contains(curve) && verified.curve() != Some(*curve));
        for (_, decoy) in of_curves {
            std::hint::black_box(decoy.verify_proof_of_possession().is_ok());
        }
        if verified.curve().is_some()
            && let Ok(decoy) = Csr::parse(&self.der, limits)
        {
            std::hint::black_box(decoy.verify_proof_of_possession().is_ok());
        }
    }
}

fn csr(key: &PKey<Private>) -> Result<Vec<u8>, ErrorStack> {
    let mut builder = X509ReqBuilder::new()?;
    builder.set_pubkey(key)?;
    builder.sign(key, MessageDigest::sha256())?;
    builder.build().to_der()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OpenSslRandom;

    /// A decoy that did not parse or verify would cost less than what it stands in for.
    #[test]
    fn the_decoy_is_a_csr_that_verifies_and_never_comes_out() {
        let decoy = Decoy::new(&OpenSslRandom).unwrap();
        let limits = Limits::default();
        let csr = Csr::parse(&decoy.der, &limits).unwrap();
        csr.verify_proof_of_possession().unwrap();

        let request = openssl::x509::X509Req::from_der(&decoy.der).unwrap();
        let signer = certificate_over(&request.public_key().unwrap());
        assert!(csr.has_key_of(&signer));
        for content in [None, Some(&b"no CSR"[..])] {
            assert!(
                decoy
                    .prove(content, Some(&signer), &Curve::ALL, &limits)
                    .is_none()
            );
        }
        assert!(
            decoy
                .prove(Some(&decoy.der), Some(&signer), &[], &limits)
                .is_some()
        );
    }

    /// Else a failure in a profile of some curve would cost less than one of each kind.
    #[test]
    fn there_is_a_decoy_of_each_curve_that_verifies() {
        let decoy = Decoy::new(&OpenSslRandom).unwrap();
        let curves: Vec<_> = decoy.of_curves.iter().map(|(curve, _)| *curve).collect();
        assert_eq!(curves, Curve::ALL);
        for (curve, csr) in &decoy.of_curves {
            assert_eq!(csr.curve(), Some(*curve));
            csr.verify_proof_of_possession().unwrap();
        }
    }

    fn certificate_over(key: &openssl::pkey::PKeyRef<openssl::pkey::Public>) -> SignerCertificate {
        let issuer = OpenSslRandom.rsa_key(KEY_BITS).unwrap();
        let mut builder = openssl::x509::X509Builder::new().unwrap();
        builder.set_pubkey(key).unwrap();
        builder.sign(&issuer, MessageDigest::sha256()).unwrap();
        SignerCertificate::parse(&builder.build().to_der().unwrap()).unwrap()
    }
}
