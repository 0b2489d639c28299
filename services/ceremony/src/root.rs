//! The root at work, on a token of its own: it signs issuing CAs and nothing else.

use assay_pkcs11::{KeyAlgorithm, KeyRole};
use assay_policy::Dn;

use super::certificate::{self, Issuer, Kind, Template};
use super::certify::sign;
use super::keys::{self, Key};
use super::record::Record;
use super::token::OpenToken;
use super::transcript::KeyEntry;
use assay_console::failure::{Failure, Outcome};

/// Its certificate among those of the generation that it was made with.
pub(super) const FILE: &str = "root.pem";

pub(super) struct Root {
    token: OpenToken,
    key: Key,
    issuer: Issuer,
}

impl Root {
    /// Makes the key and the certificate.
    pub(super) fn make(
        token: OpenToken,
        algorithm: KeyAlgorithm,
        subject: &Dn,
        days: u32,
        record: &mut Record<'_>,
    ) -> Outcome<Self> {
        let key = keys::generate(&token, KeyRole::RootSign, algorithm, record)?;
        let subject_der = certificate::name(subject)?;
        let issuer = Issuer::itself(&subject_der, &key.spki_der, days)?;
        let template = Template {
            kind: Kind::Root,
            subject_der: &subject_der,
            spki_der: &key.spki_der,
            issuer: &issuer,
            days,
        };
        let der = sign(&token, &key, KeyRole::RootSign, &template)?;
        record.add_certificate(FILE, &der)?;
        Ok(Self { token, key, issuer })
    }

    /// Takes up the key that an earlier ceremony made, if it is the one under this certificate.
    pub(super) fn again(token: OpenToken, entry: &KeyEntry, issuer: Issuer) -> Outcome<Self> {
        let key = keys::read(&token, entry)?;
        if key.spki_der == issuer.spki_der {
            return Ok(Self { token, key, issuer });
        }
        Err(
            Failure::failed("the root token's key is not that of certificates/root.pem")
                .next("give with --root-token the token that the first ceremony made the root on"),
        )
    }

    pub(super) fn certify(&self, ca: &Key, subject_der: &[u8], days: u32) -> Outcome<Vec<u8>> {
        let template = Template {
            kind: Kind::IssuingCa,
            subject_der,
            spki_der: &ca.spki_der,
            issuer: &self.issuer,
            days,
        };
        sign(&self.token, &self.key, KeyRole::RootSign, &template)
    }
}
