//! Whether everything that a policy profile could issue fits a form, so that no request is granted that the service
//! would refuse to sign.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use assay_types::Curve;
use const_oid::ObjectIdentifier;

use crate::form::{Forms, LeafForm, Misfit, RsaSizes};
use crate::key::KeyKind;
use crate::san::{San, SanKind, ends_below, uri_host};

/// Everything that a policy profile could issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Every extended key usage of a certificate.
    pub extended_key_usage: BTreeSet<ObjectIdentifier>,
    /// `1 << n` for bit n of the key usage.
    pub key_usage: u16,
    /// From issue to notAfter.
    pub validity: Duration,
    /// From notBefore to issue at most, exceptions for slow clocks included.
    pub backdate: Duration,
    /// Rules for subject alternative names.
    pub sans: Vec<NameDemand>,
    /// Sizes of RSA keys; none if absent.
    pub rsa: Option<RsaSizes>,
    /// Curves of EC keys.
    pub curves: Vec<Curve>,
    /// URLs as the policy file has them, with `{ca}`.
    pub crl_distribution_points: Vec<String>,
    /// URLs of the issuer's certificate, in the same way.
    pub ca_issuers: Vec<String>,
    /// URLs of OCSP responders.
    pub ocsp: Vec<String>,
    /// Certificate policies in order.
    pub policies: Vec<ObjectIdentifier>,
}

/// Subject alternative names of one rule of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameDemand {
    /// Their type.
    pub kind: SanKind,
    /// The known parts of their values.
    pub value: NameValue,
}

/// The parts of a value that a profile fixes before there is a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameValue {
    /// A literal; of another otherName its type as a dotted OID.
    Exactly(String),
    /// A value joined of parts: the literals at its beginning and end, either of which may be empty. A name that a
    /// challenge or an inventory gives has neither.
    Between {
        /// The beginning.
        prefix: String,
        /// The end.
        suffix: String,
    },
}

/// No form covers a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Uncovered {
    /// Each form with the first thing that does not fit it.
    pub misfits: Vec<(String, Misfit)>,
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_misfits(&self.misfits, f)
    }
}

/// One line; a service without forms says so.
pub(crate) fn write_misfits(
    misfits: &[(String, Misfit)],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if misfits.is_empty() {
        return f.write_str("the HSM service's configuration has no form for it");
    }
    f.write_str("it fits no form of the HSM service's configuration")?;
    for (index, (name, misfit)) in misfits.iter().enumerate() {
        let separator = if index == 0 { ": " } else { "; " };
        write!(f, "{separator}form `{name}`: {misfit}")?;
    }
    Ok(())
}

impl Forms {
    /// The first form that covers everything that `demand` could ask for.
    ///
    /// # Errors
    /// [`Uncovered`], which names the first thing that does not fit each form.
    pub fn covers(&self, demand: &Demand) -> Result<&LeafForm, Uncovered> {
        let mut misfits = Vec::new();
        for form in self.iter() {
            match form.covers(demand) {
                Ok(()) => return Ok(form),
                Err(misfit) => misfits.push((form.name().to_owned(), misfit)),
            }
        }
        Err(Uncovered { misfits })
    }
}

impl LeafForm {
    /// Whether everything that `demand` could ask for fits this form.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn covers(&self, demand: &Demand) -> Result<(), Misfit> {
        let form = &self.form;
        if demand.extended_key_usage != self.purposes {
            return Err(Misfit::ExtendedKeyUsage);
        }
        if demand.key_usage != self.usages {
            return Err(Misfit::KeyUsage);
        }
        if demand.validity > form.lifetime_max {
            return Err(Misfit::LifetimeMax(form.lifetime_max));
        }
        if demand.validity < form.lifetime_min {
            return Err(Misfit::LifetimeMin(form.lifetime_min));
        }
        if demand.backdate > form.backdate_max {
            return Err(Misfit::Backdate(form.backdate_max));
        }
        demand
            .sans
            .iter()
            .try_for_each(|name| self.covers_name(name))?;
        if let Some(RsaSizes { min_bits, max_bits }) = demand.rsa {
            self.fits_key(KeyKind::Rsa { bits: min_bits })?;
            self.fits_key(KeyKind::Rsa { bits: max_bits })?;
        }
        for curve in &demand.curves {
            self.fits_key(KeyKind::Ec(*curve))?;
        }
        if demand.crl_distribution_points != form.crl_distribution_points {
            return Err(Misfit::CrlDistributionPoints);
        }
        if (&demand.ca_issuers, &demand.ocsp) != (&form.ca_issuers, &form.ocsp) {
            return Err(Misfit::AuthorityInfoAccess);
        }
        if demand.policies != self.policies {
            return Err(Misfit::CertificatePolicies);
        }
        Ok(())
    }

    fn covers_name(&self, name: &NameDemand) -> Result<(), Misfit> {
        let kind = name.kind;
        let (prefix, suffix) = match &name.value {
            NameValue::Exactly(text) => {
                let text = text.clone();
                return self.fits_san(&San { kind, text });
            }
            NameValue::Between { prefix, suffix } => (prefix, suffix),
        };
        if !self.form.sans.contains(&kind) {
            return Err(Misfit::SanType(kind));
        }
        let subtrees = self.subtrees(kind);
        let is_within = subtrees
            .iter()
            .any(|subtree| lies_within(kind, prefix, suffix, subtree));
        if subtrees.is_empty() || is_within {
            Ok(())
        } else {
            Err(Misfit::Subtree(kind))
        }
    }
}

/// Whether every well-formed name of this type with this beginning and end lies within the subtree.
fn lies_within(kind: SanKind, prefix: &str, suffix: &str, subtree: &str) -> bool {
    // At least one character comes before the suffix, as labels do before a dot.
    let ends_in = |end: &str| ends_below(&format!("x{end}"), subtree);
    match kind {
        SanKind::Dns => ends_in(suffix),
        SanKind::Upn => match suffix.rsplit_once('@') {
            Some((_, realm)) => crate::san::is_below(realm, subtree),
            None => ends_in(suffix),
        },
        // The host has ended where the beginning has.
        SanKind::Uri => {
            let authority = prefix.split_once("://").map(|(_, rest)| rest);
            authority.is_some_and(|rest| rest.contains('/'))
                && uri_host(prefix).is_some_and(|host| crate::san::is_below(host, subtree))
        }
        SanKind::Other | SanKind::Ip | SanKind::Email | SanKind::MicrosoftSid => false,
    }
}
