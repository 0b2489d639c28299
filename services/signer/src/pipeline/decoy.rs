//! The CSR that stands in for one that could not be read, so that a request without one costs as much as one with it.

use assay_scep::{Csr, Limits, SignerCertificate};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::X509ReqBuilder;

/// What most devices have.
const KEY_BITS: u32 = 2_048;

/// A well-formed, well-signed CSR whose key was thrown away when it was made.
pub(crate) struct Decoy {
    der: Vec<u8>,
}

impl Decoy {
    pub(crate) fn new() -> Result<Self, ErrorStack> {
        let key = PKey::from_rsa(Rsa::generate(KEY_BITS)?)?;
        let mut builder = X509ReqBuilder::new()?;
        builder.set_pubkey(&key)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self {
            der: builder.build().to_der()?,
        })
    }

    /// The CSR in `content`, if its key signed it and is `bound_to`'s where that is said.
    ///
    /// The tick hides the time of a failure as long as the work is done by then. Under load it may not be, and how many
    /// ticks pass would tell what failed; so none of the checks is skipped for the failure of another.
    pub(super) fn prove(
        &self,
        content: Option<&[u8]>,
        bound_to: Option<&SignerCertificate>,
        limits: &Limits,
    ) -> Option<Csr> {
        let sent = content.and_then(|content| Csr::parse(content, limits).ok());
        let was_sent = sent.is_some();
        let csr = sent.or_else(|| Csr::parse(&self.der, limits).ok())?;
        let proves_possession = csr.verify_proof_of_possession().is_ok();
        let is_of_signer = bound_to.is_none_or(|signer| csr.has_key_of(signer));
        (was_sent & proves_possession & is_of_signer).then_some(csr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A decoy that did not parse or verify would cost less than what it stands in for.
    #[test]
    fn the_decoy_is_a_csr_that_verifies_and_never_comes_out() {
        let decoy = Decoy::new().unwrap();
        let limits = Limits::default();
        let csr = Csr::parse(&decoy.der, &limits).unwrap();
        csr.verify_proof_of_possession().unwrap();

        let request = openssl::x509::X509Req::from_der(&decoy.der).unwrap();
        let signer = certificate_over(&request.public_key().unwrap());
        assert!(csr.has_key_of(&signer));
        for content in [None, Some(&b"no CSR"[..])] {
            assert!(decoy.prove(content, Some(&signer), &limits).is_none());
        }
        assert!(
            decoy
                .prove(Some(&decoy.der), Some(&signer), &limits)
                .is_some()
        );
    }

    fn certificate_over(key: &openssl::pkey::PKeyRef<openssl::pkey::Public>) -> SignerCertificate {
        let issuer = PKey::from_rsa(Rsa::generate(KEY_BITS).unwrap()).unwrap();
        let mut builder = openssl::x509::X509Builder::new().unwrap();
        builder.set_pubkey(key).unwrap();
        builder.sign(&issuer, MessageDigest::sha256()).unwrap();
        SignerCertificate::parse(&builder.build().to_der().unwrap()).unwrap()
    }
}
