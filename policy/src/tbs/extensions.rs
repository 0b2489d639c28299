//! The extensions of a certificate, in the order of issue.

use const_oid::db::rfc5280::{ID_AD_CA_ISSUERS, ID_AD_OCSP};
use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::{Ia5String, OctetString};
use der::flagset::FlagSet;
use der::{Decode, Encode};
use spki::SubjectPublicKeyInfoRef;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::PolicyInformation;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    CertificatePolicies, CrlDistributionPoints, ExtendedKeyUsage, KeyUsage,
    SubjectAltName as SanExtension, SubjectKeyIdentifier,
};

use super::{Issuer, TbsError};
use crate::profile::{CA, CertificateRules, MAX_KEY_IDENTIFIER, Profile};
use crate::san::SubjectAltName;

const CRITICAL: bool = true;
const NOT_CRITICAL: bool = false;

pub(super) fn build(
    profile: &Profile,
    issuer: &Issuer,
    subject_is_empty: bool,
    sans: &[SubjectAltName],
    spki_der: &[u8],
) -> Result<Vec<Extension>, TbsError> {
    let rules = &profile.certificate;
    let key_usage = FlagSet::new(profile.key_usage()).map_err(|_| der::ErrorKind::Failed.into());
    let key_usage: der::Result<_> = key_usage;
    let mut extensions = vec![
        // RFC 5280 section 4.2.1.9 lets an end entity leave it out; we state that it is no CA.
        extension(
            CRITICAL,
            &BasicConstraints {
                ca: false,
                path_len_constraint: None,
            },
        )?,
        extension(CRITICAL, &KeyUsage(key_usage?))?,
    ];
    if !rules.extended_key_usage.is_empty() {
        extensions.push(extension(
            NOT_CRITICAL,
            &ExtendedKeyUsage(rules.extended_key_usage.clone()),
        )?);
    }
    // Section 4.2.1.2 method (1): SHA-1 of the BIT STRING's value.
    let ski = SubjectKeyIdentifier::try_from(SubjectPublicKeyInfoRef::from_der(spki_der)?)?;
    extensions.push(extension(NOT_CRITICAL, &ski)?);
    let aki = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(issuer.key_identifier.as_slice())?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    };
    extensions.push(extension(NOT_CRITICAL, &aki)?);
    if !sans.is_empty() {
        extensions.push(Extension {
            extn_id: SanExtension::OID,
            // Section 4.2.1.6: critical where there is no other name.
            critical: subject_is_empty,
            extn_value: OctetString::new(SubjectAltName::list_to_der(sans)?)?,
        });
    }
    push_references(rules, issuer, &mut extensions)?;
    Ok(extensions)
}

/// Where to find out more: policies, CRL, issuer, OCSP.
fn push_references(
    rules: &CertificateRules,
    issuer: &Issuer,
    extensions: &mut Vec<Extension>,
) -> Result<(), TbsError> {
    if !rules.policies.is_empty() {
        let policies = rules.policies.iter().map(|oid| PolicyInformation {
            policy_identifier: *oid,
            policy_qualifiers: None,
        });
        extensions.push(extension(
            NOT_CRITICAL,
            &CertificatePolicies(policies.collect()),
        )?);
    }
    if !rules.crl_distribution_points.is_empty() {
        // One distribution point, several locations of the same CRL (section 4.2.1.13).
        let locations = rules
            .crl_distribution_points
            .iter()
            .map(|url| uri(&of_ca(url, issuer)?))
            .collect::<Result<_, _>>()?;
        let point = DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(locations)),
            reasons: None,
            crl_issuer: None,
        };
        extensions.push(extension(
            NOT_CRITICAL,
            &CrlDistributionPoints(vec![point]),
        )?);
    }
    let issuers = rules
        .ca_issuers
        .iter()
        .map(|url| access_description(ID_AD_CA_ISSUERS, &of_ca(url, issuer)?));
    let responders = rules
        .ocsp
        .iter()
        .map(|url| access_description(ID_AD_OCSP, url));
    let access = issuers.chain(responders).collect::<Result<Vec<_>, _>>()?;
    if !access.is_empty() {
        extensions.push(extension(NOT_CRITICAL, &AuthorityInfoAccessSyntax(access))?);
    }
    Ok(())
}

fn access_description(
    access_method: ObjectIdentifier,
    url: &str,
) -> Result<AccessDescription, TbsError> {
    Ok(AccessDescription {
        access_method,
        access_location: uri(url)?,
    })
}

/// The URL of this CA: its key identifier in the place of `{ca}`.
fn of_ca(url: &str, issuer: &Issuer) -> Result<String, TbsError> {
    let octets = issuer.key_identifier.len();
    if url.contains(CA) && !(1..=MAX_KEY_IDENTIFIER).contains(&octets) {
        return Err(TbsError::KeyIdentifier { octets });
    }
    Ok(url.replace(CA, &hex::encode(&issuer.key_identifier)))
}

fn uri(url: &str) -> Result<GeneralName, TbsError> {
    Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(url)?))
}

fn extension<T: AssociatedOid + Encode>(critical: bool, value: &T) -> Result<Extension, TbsError> {
    Ok(Extension {
        extn_id: T::OID,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}
