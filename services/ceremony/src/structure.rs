//! The structures that the keys of a ceremony may sign. This program built them too; they are parsed all the same before
//! a key signs them.

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_pkcs11::KeyRole;
use der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::request::CertReqInfo;
use x509_cert::{TbsCertificate, Version};

use crate::certificate::Issuer;
use crate::signature;

/// Accepts a TBSCertificate of this issuer: under a root-sign key of a CA, under a ca-sign key of anyone else.
pub(crate) fn check_certificate(tbs: &[u8], role: KeyRole, issuer: &Issuer) -> Outcome {
    let refuse = |reason: &str| {
        Err(Failure::failed(format!("the {role} key does not sign this")).because(reason))
    };
    let certificate: TbsCertificate = decode_exactly(tbs)?;
    if certificate.version() != Version::V3 {
        return refuse("the certificate is not of version 3");
    }
    if !is(certificate.issuer(), &issuer.subject_der) {
        return refuse("the issuer is not the subject of the signing certificate");
    }
    if *certificate.signature() != signature::algorithm(&issuer.spki_der)? {
        return refuse("the signature algorithm is not that of the signing key");
    }
    let what = "an extension is unreadable or there twice";
    let constraints = certificate
        .get_extension::<BasicConstraints>()
        .or_fail(what)?;
    let usage = certificate.get_extension::<KeyUsage>().or_fail(what)?;
    let is_ca = constraints.is_some_and(|(_, constraints)| constraints.ca);
    let (signs_certificates, signs_lists) = usage.map_or((false, false), |(_, usage)| {
        (usage.key_cert_sign(), usage.crl_sign())
    });
    match role {
        KeyRole::RootSign if is_ca && signs_certificates => Ok(()),
        KeyRole::RootSign => refuse("it is not a CA certificate with keyCertSign"),
        KeyRole::CaSign if is_ca => refuse("basicConstraints makes the subject a CA"),
        KeyRole::CaSign if signs_certificates || signs_lists => {
            refuse("keyUsage allows keyCertSign or cRLSign")
        }
        KeyRole::CaSign => Ok(()),
        KeyRole::RaDecrypt
        | KeyRole::RaSign
        | KeyRole::RaSingle
        | KeyRole::LogSign
        | KeyRole::OcspSign
        | KeyRole::Probe => refuse("keys of this role sign no certificates"),
    }
}

/// Accepts a CertificationRequestInfo for this very key.
pub(crate) fn check_request(info: &[u8], spki_der: &[u8]) -> Outcome {
    let request: CertReqInfo = decode_exactly(info)?;
    if is(&request.public_key, spki_der) {
        return Ok(());
    }
    Err(Failure::failed(
        "the request does not hold the public half of the signing key",
    ))
}

/// Decodes, and refuses what does not encode back to the same bytes: what was understood is then all that is signed.
fn decode_exactly<'a, T: Decode<'a> + Encode>(der: &'a [u8]) -> Outcome<T> {
    T::from_der(der)
        .ok()
        .filter(|value| is(value, der))
        .ok_or_else(|| {
            Failure::failed("the structure is not a DER TBSCertificate or CertificationRequestInfo")
        })
}

fn is(value: &impl Encode, der: &[u8]) -> bool {
    value.to_der().is_ok_and(|encoded| encoded == der)
}

#[cfg(test)]
mod tests {
    use assay_policy::Dn;
    use der::asn1::SetOfVec;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use spki::SubjectPublicKeyInfoOwned;
    use x509_cert::name::Name;
    use x509_cert::request;

    use super::*;
    use crate::certificate::{Kind, Template, name};

    const KINDS: [Kind; 6] = [
        Kind::Root,
        Kind::IssuingCa,
        Kind::RaEncryption,
        Kind::RaSignature,
        Kind::RaSingle,
        Kind::OcspResponder,
    ];
    /// keyUsage as an OCTET STRING holds it: keyCertSign and cRLSign, and digitalSignature.
    const SIGNS_CERTIFICATES: [u8; 6] = [0x04, 0x04, 0x03, 0x02, 0x01, 0x06];
    const SIGNS_DATA: [u8; 6] = [0x04, 0x04, 0x03, 0x02, 0x07, 0x80];

    fn spki(curve: Nid) -> Vec<u8> {
        let group = EcGroup::from_curve_name(curve).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        key.public_key_to_der().unwrap()
    }

    fn issuer(subject: &str, curve: Nid) -> Issuer {
        let subject = name(&Dn::parse_rfc4514(subject).unwrap()).unwrap();
        Issuer::itself(&subject, &spki(curve), 10).unwrap()
    }

    fn tbs(kind: Kind, issuer: &Issuer) -> Vec<u8> {
        let template = Template {
            kind,
            subject_der: &issuer.subject_der,
            spki_der: &issuer.spki_der,
            issuer,
            days: 1,
        };
        template.tbs().unwrap()
    }

    fn with_usage(tbs: &[u8], old: [u8; 6], new: [u8; 6]) -> Vec<u8> {
        let place = tbs.windows(old.len()).position(|part| part == old);
        let place = place.expect("no such keyUsage");
        let mut changed = tbs.to_vec();
        changed[place..place + new.len()].copy_from_slice(&new);
        changed
    }

    #[test]
    fn a_root_signs_cas_only_and_a_ca_anything_but() {
        let issuer = issuer("CN=Issuer", Nid::X9_62_PRIME256V1);
        for kind in KINDS {
            let tbs = tbs(kind, &issuer);
            let is_ca = matches!(kind, Kind::Root | Kind::IssuingCa);
            for role in KeyRole::ALL {
                let signed = check_certificate(&tbs, role, &issuer).is_ok();
                let wanted =
                    (role == KeyRole::RootSign && is_ca) || (role == KeyRole::CaSign && !is_ca);
                assert_eq!(signed, wanted, "{kind:?} under {role}");
            }
        }
        let root = tbs(Kind::Root, &issuer);
        let root = with_usage(&root, SIGNS_CERTIFICATES, SIGNS_DATA);
        check_certificate(&root, KeyRole::RootSign, &issuer).unwrap_err();
        let ra = tbs(Kind::RaSignature, &issuer);
        let ra = with_usage(&ra, SIGNS_DATA, SIGNS_CERTIFICATES);
        check_certificate(&ra, KeyRole::CaSign, &issuer).unwrap_err();
    }

    #[test]
    fn a_key_signs_for_its_own_issuer_and_what_is_understood_whole() {
        let own = issuer("CN=Issuer", Nid::X9_62_PRIME256V1);
        let good = tbs(Kind::RaSignature, &own);
        check_certificate(&good, KeyRole::CaSign, &own).unwrap();
        let other_name = issuer("CN=Other", Nid::X9_62_PRIME256V1);
        let other_algorithm = issuer("CN=Issuer", Nid::SECP384R1);
        for other in [other_name, other_algorithm] {
            check_certificate(&good, KeyRole::CaSign, &other).unwrap_err();
        }
        let trailing = [good.as_slice(), &[0]].concat();
        for wrong in [trailing.as_slice(), &[]] {
            check_certificate(wrong, KeyRole::CaSign, &own).unwrap_err();
        }
    }

    #[test]
    fn a_request_is_signed_for_its_own_key_only() {
        let own = issuer("CN=Issuer", Nid::X9_62_PRIME256V1);
        let info = CertReqInfo {
            version: request::Version::V1,
            subject: Name::from_der(&own.subject_der).unwrap(),
            public_key: SubjectPublicKeyInfoOwned::from_der(&own.spki_der).unwrap(),
            attributes: SetOfVec::new(),
        };
        let info = info.to_der().unwrap();
        check_request(&info, &own.spki_der).unwrap();
        check_request(&info, &spki(Nid::X9_62_PRIME256V1)).unwrap_err();
        let certificate = tbs(Kind::Root, &own);
        for wrong in [certificate.as_slice(), &[]] {
            check_request(wrong, &own.spki_der).unwrap_err();
        }
    }
}
