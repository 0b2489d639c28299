//! The powers that the attacker obtained, by the word of OpenSSL and GnuTLS: neither of our parsers is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assay_hsm::{Digest, KeyRole};
use assay_ocsp::{ResponseData, Status};
use assay_scep::{
    MessageSigner, SignerCertificate, next_ca_certificates, parse_next_ca_certificates,
};
use openssl::asn1::Asn1Time;
use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::ocsp::{OcspCertId, OcspCertStatus, OcspFlag, OcspResponse};
use openssl::pkcs7::Pkcs7;
use openssl::pkey::{PKey, Private};
use openssl::sha::{sha1, sha256};
use openssl::sign::{Signer, Verifier};
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{ReasonCode, X509, X509Crl, X509StoreContext};

use crate::attacker::HONEST;
use crate::gnutls;
use crate::scene::{Gain, Loot, Scene, Structure};
use crate::support::der::{self, AKI, BC, EKU, Extension, extension, oid, sequence, tlv};
use crate::support::shape::{self, Role, identity};

/// A certificate, and a key that may be the one in it.
pub(crate) struct Holder {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// The powers that a verifier of the CA would accept of a holder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Powers {
    /// Certificates below its own.
    pub(crate) issues: bool,
    /// CRLs of the CA.
    pub(crate) revokes: bool,
    /// OCSP responses of the CA.
    pub(crate) answers: bool,
}

impl Powers {
    pub(crate) const NONE: Self = Self {
        issues: false,
        revokes: false,
        answers: false,
    };
}

pub(crate) struct Judge<'a> {
    scene: &'a Scene,
    loot: &'a Loot,
    dir: PathBuf,
    ca: X509,
    key: PKey<Private>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(scene: &'a Scene, loot: &'a Loot, dir: &Path) -> Self {
        let dir = dir.join("judge");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("ca.pem"), scene.ca().to_pem().unwrap()).unwrap();
        Self {
            scene,
            loot,
            dir,
            ca: scene.ca(),
            key: scene.key(),
        }
    }

    fn gains(&self, structure: Structure) -> impl Iterator<Item = &Gain> {
        let gains = self.loot.gains.iter();
        gains.filter(move |gain| gain.structure == structure)
    }

    /// A certificate that was signed.
    fn certificate(gain: &Gain) -> X509 {
        let der = der::signed(&gain.data, Scene::algorithm(), &gain.signature);
        X509::from_der(&der).unwrap_or_else(|error| panic!("{error}: {}", hex::encode(der)))
    }

    /// Everything that was signed is what the service is there to sign.
    pub(crate) fn acquits(&self, issued: &HashMap<Vec<u8>, Vec<u8>>) {
        self.certificates(issued);
        let lists: Vec<Vec<u8>> = self
            .gains(Structure::Crl)
            .map(|gain| der::signed(&gain.data, Scene::algorithm(), &gain.signature))
            .collect();
        assert_eq!(self.faults_of_lists(&lists), Vec::<String>::new());
        let shapes: BTreeMap<String, &Vec<u8>> =
            lists.iter().map(|list| (shape_of(list), list)).collect();
        for list in shapes.values() {
            assert_eq!(self.fault_by_gnutls(list), None);
        }
        println!("CRLs of {} shapes", shapes.len());
        for gain in self.gains(Structure::Status) {
            assert_eq!(
                self.fault_of_status(&gain.data, &gain.signature),
                None,
                "{gain:?}"
            );
        }
        for gain in self.gains(Structure::CertRep) {
            let fault = self.fault_of_reply(&gain.data, &gain.content, &gain.signature);
            assert_eq!(fault, None, "{gain:?}");
        }
        let honest = self.gains(Structure::NextCa).next().unwrap();
        for gain in self.gains(Structure::NextCa) {
            assert_eq!((&gain.data, &gain.content), (&honest.data, &honest.content));
            let accepted = self.announces(&gain.data, &gain.content, &gain.signature);
            assert_eq!(accepted.as_ref(), Some(&self.scene.next));
        }
        self.checkpoints();
    }

    fn certificates(&self, issued: &HashMap<Vec<u8>, Vec<u8>>) {
        let mut shapes: BTreeMap<String, Holder> = BTreeMap::new();
        let mut all = Vec::new();
        for gain in self.gains(Structure::Certificate) {
            assert_eq!(
                issued.get(&gain.data),
                Some(&gain.signature),
                "not in the journal: {gain:?}"
            );
            let certificate = Self::certificate(gain);
            assert_eq!(self.fault_of_certificate(&certificate), None, "{gain:?}");
            let holder = Holder {
                key: self.key_of(&certificate),
                certificate,
            };
            assert_eq!(self.powers_alone(&holder), Powers::NONE, "{gain:?}");
            all.push(holder.certificate.clone());
            let shape = extensions(&holder.certificate);
            let shape = shape
                .iter()
                .filter(|(name, _)| !name.contains("Alternative") && !name.contains("Subject Key"));
            let shape = shape
                .map(|(name, value)| format!("{name} {value}\n"))
                .collect();
            shapes.entry(shape).or_insert(holder);
        }
        assert!(!self.revokes(&all, &self.key));
        assert!(gnutls::are_leaves(&self.dir, &all));
        for holder in shapes.values() {
            assert_eq!(gnutls::powers(&self.dir, self, holder), Powers::NONE);
            assert!(!self.is_taken_for_the_ra(holder));
        }
        println!("certificates of {} shapes", shapes.len());
    }

    fn key_of(&self, certificate: &X509) -> PKey<Private> {
        let rsa = self.scene.rsa_key();
        let public = certificate.public_key();
        match public.is_ok_and(|public| public.public_eq(&rsa)) {
            true => rsa,
            false => self.key.clone(),
        }
    }

    /// Why a certificate is not one of the configured forms, by OpenSSL's reading.
    fn fault_of_certificate(&self, certificate: &X509) -> Option<String> {
        let is_ours = certificate
            .verify(&self.ca.public_key().unwrap())
            .unwrap_or(false);
        let serial = certificate.serial_number().to_bn().unwrap();
        let names = [
            &self.scene.ca,
            &self.scene.ra_decrypt,
            &self.scene.ra_sign,
            &self.scene.responder,
        ];
        let names = names.into_iter().chain(&self.scene.next);
        let names = names.map(|der| X509::from_der(der).unwrap());
        let is_reserved = names.into_iter().any(|own| {
            let same = certificate
                .subject_name()
                .try_cmp(own.subject_name())
                .unwrap();
            let key = certificate.public_key().ok();
            same.is_eq() || key.is_some_and(|key| key.public_eq(&own.public_key().unwrap()))
        });
        let is_issued_by_ca = certificate
            .issuer_name()
            .try_cmp(self.ca.subject_name())
            .unwrap()
            .is_eq();
        let extensions = extensions(certificate);
        let has = |name: &str| {
            let mut values = extensions.iter().filter(|(found, _)| found.contains(name));
            values.next().map(|(_, value)| value.as_str())
        };
        let form: (i64, &str, [(&str, &str); 2], &[&str]) = match has("Extended Key Usage") {
            Some("TLS Web Client Authentication") => (
                90,
                "example.com",
                [
                    ("X509v3 Key Usage: critical", "Digital Signature"),
                    (
                        "X509v3 Extended Key Usage:",
                        "TLS Web Client Authentication",
                    ),
                ],
                &[],
            ),
            Some("TLS Web Server Authentication") => (
                30,
                "example.org",
                [
                    (
                        "X509v3 Key Usage: critical",
                        "Digital Signature, Key Agreement",
                    ),
                    (
                        "X509v3 Extended Key Usage:",
                        "TLS Web Server Authentication",
                    ),
                ],
                &[
                    "X509v3 Certificate Policies:",
                    "X509v3 CRL Distribution Points:",
                    "Authority Information Access:",
                ],
            ),
            other => return Some(format!("extendedKeyUsage {other:?}")),
        };
        let (days, domain, usages, pointers) = form;
        let mut wanted: BTreeSet<&str> = usages
            .iter()
            .map(|(name, _)| *name)
            .chain(pointers.iter().copied())
            .collect();
        wanted.extend([
            "X509v3 Subject Key Identifier:",
            "X509v3 Authority Key Identifier:",
        ]);
        let optional = [
            "X509v3 Basic Constraints: critical",
            "X509v3 Subject Alternative Name:",
        ];
        let found: BTreeSet<&str> = extensions
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !optional.contains(name))
            .collect();
        let values_fit = usages
            .iter()
            .all(|pair| has(pair.0.trim_end_matches(" critical")) == Some(pair.1));
        let names_fit = has("Subject Alternative Name")
            .unwrap_or_default()
            .split(", ")
            .all(|name| {
                // A DNS name with a letter in another case is the same name (RFC 1034 section 3.1).
                let host = name.strip_prefix("DNS:").map(str::to_ascii_lowercase);
                name.is_empty()
                    || host
                        .is_some_and(|host| host == domain || host.ends_with(&format!(".{domain}")))
            });
        let urls_fit = pointers.iter().all(|name| {
            let urls = has(name).unwrap_or_default().matches("http://").count();
            urls == has(name)
                .unwrap_or_default()
                .matches("http://pki.example.com/")
                .count()
        });
        let (before, after) = (certificate.not_before(), certificate.not_after());
        let validity = before.diff(after).unwrap();
        let ahead = Asn1Time::days_from_now(0).unwrap().diff(before).unwrap();
        let faults = [
            (is_ours, "its signature"),
            (is_issued_by_ca, "its issuer"),
            (!is_reserved, "a name or key of the service"),
            (certificate.version() == 2, "its version"),
            (
                !serial.is_negative() && (64..=159).contains(&serial.num_bits()),
                "its serial number",
            ),
            (
                has("Basic Constraints").is_none_or(|value| value == "CA:FALSE"),
                "basicConstraints",
            ),
            (found == wanted, "its extensions"),
            (values_fit, "its usages"),
            (names_fit, "its names"),
            (urls_fit, "its URLs"),
            (
                validity.days >= 0 && i64::from(validity.days) <= days,
                "its lifetime",
            ),
            (ahead.days == 0 && ahead.secs <= 300, "notBefore"),
            (
                certificate.authority_key_id().map(|id| id.as_slice())
                    == self.ca.subject_key_id().map(|id| id.as_slice()),
                "authorityKeyIdentifier",
            ),
        ];
        faults
            .into_iter()
            .find(|(holds, _)| !holds)
            .map(|(_, fault)| format!("{fault}: {extensions:?}"))
    }

    /// The CA alone, and no time: what is not valid now may be so later.
    fn store(&self) -> X509Store {
        let mut store = X509StoreBuilder::new().unwrap();
        store.add_cert(self.ca.clone()).unwrap();
        store.set_flags(X509VerifyFlags::NO_CHECK_TIME).unwrap();
        store.build()
    }

    /// A leaf certificate that the holder issues.
    pub(crate) fn issued_by(&self, holder: &Holder) -> X509 {
        let algorithm = algorithm(&holder.key);
        let issuer = holder.certificate.subject_name().to_der().unwrap();
        let extensions = vec![
            der::key_usage(0x80, 7),
            extension(EKU, false, sequence(&[&oid("1.3.6.1.5.5.7.3.2")])),
        ];
        let spki = self.key.public_key_to_der().unwrap();
        let tbs =
            der::certificate(&issuer, &der::name("victim"), &spki, &algorithm, extensions).der();
        X509::from_der(&der::signed(&tbs, &algorithm, &sign(&holder.key, &tbs))).unwrap()
    }

    /// A CRL of the CA by this key, on which nothing is listed.
    pub(crate) fn list_by(&self, issuer: &[u8], key: &PKey<Private>) -> X509Crl {
        let bits = spki_bits(key);
        let list = der::List {
            algorithm: algorithm(key),
            issuer: issuer.to_vec(),
            issuer_key: sha1(&bits).to_vec(),
            number: 60_000,
            this_update: der::now(),
            next_update: der::now() + der::DAY,
            entries: Vec::new(),
            further: Vec::new(),
        };
        let tbs = list.der();
        X509Crl::from_der(&der::signed(&tbs, &algorithm(key), &sign(key, &tbs))).unwrap()
    }

    /// `good` by the holder for the certificate that is revoked.
    pub(crate) fn response_by(&self, holder: &Holder) -> Vec<u8> {
        let gain = self.gains(Structure::Status).next().unwrap();
        let data = ResponseData::from_der(&gain.data).unwrap();
        let mut id = data.cert_id.clone();
        id.serial = self.loot.revoked[0][2..].to_vec();
        let data = ResponseData {
            responder: sha1(&spki_bits(&holder.key)).to_vec(),
            cert_id: id,
            status: Status::Good,
            ..data
        };
        let data = data.to_der().unwrap();
        let certificates = tlv(0xa0, &sequence(&[&holder.certificate.to_der().unwrap()]));
        response(
            &data,
            &algorithm(&holder.key),
            &sign(&holder.key, &data),
            &certificates,
        )
    }

    /// The powers of one holder, for which no process is started; CRLs are left to [`Self::revokes`].
    fn powers_alone(&self, holder: &Holder) -> Powers {
        let mut untrusted = Stack::new().unwrap();
        untrusted.push(holder.certificate.clone()).unwrap();
        let leaf = self.issued_by(holder);
        let mut context = X509StoreContext::new().unwrap();
        let issues = context.init(&self.store(), &leaf, &untrusted, |context| {
            context.verify_cert()
        });
        let response = OcspResponse::from_der(&self.response_by(holder))
            .unwrap()
            .basic()
            .unwrap();
        let answers = response.verify(&untrusted, &self.store(), OcspFlag::empty());
        Powers {
            issues: issues.unwrap(),
            revokes: false,
            answers: answers.is_ok(),
        }
    }

    /// Whether a CRL of the CA by this key takes the place of the CA's own, where the verifier has these certificates.
    fn revokes(&self, certificates: &[X509], key: &PKey<Private>) -> bool {
        let list = self.list_by(&self.scene.ca_name(), key);
        let victim = Self::certificate(self.gains(Structure::Certificate).next().unwrap());
        let bundle: Vec<Vec<u8>> = certificates
            .iter()
            .map(|one| one.to_pem().unwrap())
            .collect();
        let file = |name: &str, bytes: &[u8]| {
            let path = self.dir.join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let said = Command::new("openssl")
            .args([
                "verify",
                "-no_check_time",
                "-crl_check",
                "-extended_crl",
                "-CAfile",
            ])
            .arg(self.dir.join("ca.pem"))
            .arg("-untrusted")
            .arg(file("bundle.pem", &bundle.concat()))
            .arg("-CRLfile")
            .arg(file("list.pem", &list.to_pem().unwrap()))
            .arg(file("victim.pem", &victim.to_pem().unwrap()))
            .output()
            .unwrap();
        said.status.success()
    }

    /// Whether our client takes an announcement of a foreign root from the holder.
    fn is_taken_for_the_ra(&self, holder: &Holder) -> bool {
        let ra = SignerCertificate::parse(&self.scene.ra_sign).unwrap();
        parse_next_ca_certificates(&announcement(holder), &ra).is_ok()
    }

    /// The certificates of a next CA that our client takes from a message that the RA's key signed.
    fn announces(
        &self,
        attributes: &[u8],
        content: &[u8],
        signature: &[u8],
    ) -> Option<Vec<Vec<u8>>> {
        let ra = SignerCertificate::parse(&self.scene.ra_sign).unwrap();
        parse_next_ca_certificates(&self.message(attributes, content, signature), &ra).ok()
    }

    /// SignedData of the RA.
    fn message(&self, attributes: &[u8], content: &[u8], signature: &[u8]) -> Vec<u8> {
        let ra = X509::from_der(&self.scene.ra_sign).unwrap();
        let digest = sequence(&[&oid("2.16.840.1.101.3.4.2.1")]);
        let serial = tlv(2, &ra.serial_number().to_bn().unwrap().to_vec());
        let mut implicit = attributes.to_vec();
        implicit[0] = 0xa0;
        let info = sequence(&[
            &[2, 1, 1],
            &sequence(&[&ra.issuer_name().to_der().unwrap(), &serial]),
            &digest,
            &implicit,
            &sequence(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]),
            &tlv(4, signature),
        ]);
        let encapsulated = match content {
            [] => sequence(&[&oid("1.2.840.113549.1.7.1")]),
            content => sequence(&[&oid("1.2.840.113549.1.7.1"), &tlv(0xa0, &tlv(4, content))]),
        };
        let signed = sequence(&[
            &[2, 1, 1],
            &tlv(0x31, &digest),
            &encapsulated,
            &tlv(0xa0, &self.scene.ra_sign),
            &tlv(0x31, &info),
        ]);
        sequence(&[&oid("1.2.840.113549.1.7.2"), &tlv(0xa0, &signed)])
    }

    fn fault_of_reply(
        &self,
        attributes: &[u8],
        content: &[u8],
        signature: &[u8],
    ) -> Option<String> {
        if self.announces(attributes, content, signature).is_some() {
            return Some("our client takes it for an announcement".to_owned());
        }
        let is_certificate = X509::from_der(content).is_ok() || X509Crl::from_der(content).is_ok();
        let kind = Pkcs7::from_der(content)
            .ok()
            .map(|info| info.type_().unwrap().nid());
        if is_certificate || kind.is_some_and(|kind| kind != Nid::PKCS7_ENVELOPED) {
            return Some(format!("its content is {kind:?}"));
        }
        let enveloped = oid("1.2.840.113549.1.7.3");
        let names_an_envelope = content
            .windows(enveloped.len())
            .take(16)
            .any(|window| window == enveloped);
        if !content.is_empty() && !names_an_envelope {
            return Some("its content is not an envelope".to_owned());
        }
        if content.is_empty() {
            // OpenSSL does not verify over an absent content.
            let ra = X509::from_der(&self.scene.ra_sign)
                .unwrap()
                .public_key()
                .unwrap();
            let mut verifier = Verifier::new(MessageDigest::sha256(), &ra).unwrap();
            let holds = verifier.verify_oneshot(signature, attributes).unwrap();
            return (!holds).then(|| "its signature".to_owned());
        }
        let mut message =
            CmsContentInfo::from_der(&self.message(attributes, content, signature)).unwrap();
        let mut output = Vec::new();
        let flags = CMSOptions::NO_SIGNER_CERT_VERIFY | CMSOptions::BINARY;
        match message.verify(None, None, None, Some(&mut output), flags) {
            Ok(()) if output == content => None,
            other => Some(format!("{other:?}")),
        }
    }

    /// Why one of these CRLs, in the order in which they were signed, takes a revocation back or is not whole.
    fn faults_of_lists(&self, lists: &[Vec<u8>]) -> Vec<String> {
        let key = self.ca.public_key().unwrap();
        let pem = |der: &Vec<u8>| X509Crl::from_der(der).unwrap().to_pem().unwrap();
        let path = self.dir.join("lists.pem");
        fs::write(&path, lists.iter().flat_map(pem).collect::<Vec<u8>>()).unwrap();
        let text = Command::new("openssl")
            .args(["storeutl", "-noout", "-text", "-crls"])
            .arg(&path)
            .output()
            .unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        let texts: Vec<&str> = text
            .split("Certificate Revocation List (CRL):")
            .skip(1)
            .collect();
        assert_eq!(texts.len(), lists.len());
        let known: BTreeSet<Vec<u8>> = self
            .gains(Structure::Certificate)
            .map(|gain| {
                Self::certificate(gain)
                    .serial_number()
                    .to_bn()
                    .unwrap()
                    .to_vec()
            })
            .collect();
        let final_one = &self.loot.revoked[0][2..];
        let mut first_date = None;
        let mut last_number = 0;
        let mut faults = Vec::new();
        for (der, text) in lists.iter().zip(texts) {
            let list = X509Crl::from_der(der).unwrap();
            let extensions = crl_extensions(text);
            let number = extensions
                .iter()
                .find(|(name, _)| name == "X509v3 CRL Number:");
            let number: u64 = number.map_or(0, |(_, number)| match number.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).unwrap_or(0),
                None => number.parse().unwrap_or(0),
            });
            let mut names: Vec<&str> = extensions.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            let entries: Vec<_> = list.get_revoked().into_iter().flatten().collect();
            let mut keeps = false;
            let mut are_issued = true;
            let mut removes = false;
            for entry in &entries {
                let serial = entry.serial_number().to_bn().unwrap().to_vec();
                are_issued &= known.contains(&serial);
                let reason = entry.extension::<ReasonCode>().unwrap();
                let reason = reason.map_or(0, |(_, code)| code.get_i64().unwrap());
                removes |= reason == 8;
                let date = entry.revocation_date().to_string();
                if serial == final_one {
                    let first = first_date.get_or_insert_with(|| date.clone());
                    keeps = reason == 1 && *first == date;
                }
            }
            let entry_extensions = text.matches("CRL entry extensions:").count();
            let reasons = text.matches("X509v3 CRL Reason Code:").count();
            let ahead = Asn1Time::days_from_now(0)
                .unwrap()
                .diff(list.last_update())
                .unwrap();
            let until = list
                .last_update()
                .diff(list.next_update().unwrap())
                .unwrap();
            let is_of_the_ca = list
                .issuer_name()
                .try_cmp(self.ca.subject_name())
                .unwrap()
                .is_eq();
            let checks = [
                (list.verify(&key).unwrap_or(false), "its signature"),
                (is_of_the_ca, "its issuer"),
                (
                    names == ["X509v3 Authority Key Identifier:", "X509v3 CRL Number:"],
                    "its extensions",
                ),
                (
                    number > last_number && number <= last_number + 1_000,
                    "its number",
                ),
                (keeps, "the final entry"),
                (are_issued, "an entry for a number that was never issued"),
                (!removes, "removeFromCRL"),
                (entry_extensions == reasons, "extensions of entries"),
                (ahead.days == 0 && ahead.secs <= 300, "thisUpdate"),
                (until.days <= 35, "nextUpdate"),
            ];
            last_number = number;
            let fault = checks.into_iter().find(|(holds, _)| !holds);
            faults.extend(fault.map(|(_, fault)| format!("{fault}: {text}")));
        }
        faults
    }

    fn fault_by_gnutls(&self, list: &[u8]) -> Option<String> {
        gnutls::fault_of_list(&self.dir, list, &self.loot.revoked[0][2..])
    }

    fn fault_of_status(&self, data: &[u8], signature: &[u8]) -> Option<String> {
        let responder = X509::from_der(&self.scene.responder).unwrap();
        let bytes = response(data, Scene::algorithm(), signature, &[]);
        let basic = OcspResponse::from_der(&bytes).ok()?.basic().unwrap();
        let mut certificates = Stack::new().unwrap();
        certificates.push(responder).unwrap();
        if let Err(error) = basic.verify(&certificates, &self.store(), OcspFlag::empty()) {
            return Some(error.to_string());
        }
        let mut known = 0;
        for gain in self
            .gains(Structure::Certificate)
            .filter(|gain| gain.kind == HONEST)
        {
            let certificate = Self::certificate(gain);
            let serial = tlv(2, &certificate.serial_number().to_bn().unwrap().to_vec());
            for digest in [MessageDigest::sha1(), MessageDigest::sha256()] {
                let id = OcspCertId::from_cert(digest, &certificate, &self.ca).unwrap();
                let Some(found) = basic.find_status(&id) else {
                    continue;
                };
                known += 1;
                let is_good = found.status == OcspCertStatus::GOOD;
                if is_good != self.loot.in_force.contains(&serial) {
                    return Some("another status than that of the CRL".to_owned());
                }
                if let Err(error) = found.check_validity(300, None) {
                    return Some(error.to_string());
                }
            }
        }
        (known != 1).then(|| format!("{known} statuses of certificates that were issued"))
    }

    /// Each checkpoint has the records of the one before, in order.
    fn checkpoints(&self) {
        let Some(first) = self.gains(Structure::Checkpoint).next() else {
            panic!("no checkpoint");
        };
        let key = PKey::public_key_from_der(&self.loot.log_key).unwrap();
        let mut leaves: Vec<[u8; 32]> = Vec::new();
        assert_eq!(first.kind, HONEST);
        for gain in self.gains(Structure::Checkpoint) {
            let mut verifier = Verifier::new_without_digest(&key).unwrap();
            assert!(
                verifier
                    .verify_oneshot(&gain.signature, &gain.data)
                    .unwrap()
            );
            let text = String::from_utf8(gain.data.clone()).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let size: usize = lines[1].parse().unwrap();
            if size > leaves.len() {
                leaves.extend(gain.content.as_chunks().0);
            }
            assert_eq!(
                (lines[0], size),
                (self.scene.origin.as_str(), leaves.len()),
                "{text}"
            );
            assert_eq!(
                lines[2],
                openssl::base64::encode_block(&root(&leaves)),
                "{text}"
            );
        }
    }

    /// The judges convict what is bad: certificates, a CRL, a status and a reply that the keys of the token signed for this test.
    pub(crate) fn convicts(&self, mut sign: impl FnMut(KeyRole, &[u8]) -> Vec<u8>) {
        let mut issue = |name: &str, mut extensions: Vec<Extension>| {
            // Without it OpenSSL takes a certificate of the CA's name for a root.
            let id = sequence(&[&tlv(0x80, &self.scene.ca_key_id())]);
            extensions.push(extension(AKI, false, id));
            let key = shape::ec_key();
            let spki = key.public_key_to_der().unwrap();
            let tbs = der::certificate(
                &self.scene.ca_name(),
                &der::name(name),
                &spki,
                Scene::algorithm(),
                extensions,
            )
            .der();
            let signature = sign(KeyRole::CaSign, &tbs);
            let der = der::signed(&tbs, Scene::algorithm(), &signature);
            let certificate = X509::from_der(&der).unwrap();
            Holder { certificate, key }
        };
        let ca_true = extension(BC, true, b"\x30\x03\x01\x01\xff".to_vec());
        let ca = issue("Rogue CA", vec![ca_true.clone(), der::key_usage(0x06, 1)]);
        let lister = issue("Test CA", vec![ca_true, der::key_usage(0x06, 1)]);
        let responder = issue(
            "Rogue OCSP",
            vec![
                der::key_usage(0x80, 7),
                der::ocsp_signing(),
                der::no_check(),
            ],
        );
        for holder in [&ca, &lister, &responder] {
            assert!(self.fault_of_certificate(&holder.certificate).is_some());
        }
        let expected = |issues, revokes, answers| Powers {
            issues,
            revokes,
            answers,
        };
        assert_eq!(self.powers_alone(&ca), expected(true, false, false));
        assert_eq!(self.powers_alone(&responder), expected(false, false, true));
        assert!(self.revokes(std::slice::from_ref(&lister.certificate), &lister.key));
        assert!(!self.revokes(std::slice::from_ref(&responder.certificate), &responder.key));
        assert_eq!(
            gnutls::powers(&self.dir, self, &ca),
            expected(true, true, false)
        );
        assert_eq!(
            gnutls::powers(&self.dir, self, &responder),
            expected(false, false, true)
        );
        assert!(!gnutls::are_leaves(
            &self.dir,
            std::slice::from_ref(&ca.certificate)
        ));
        // A leaf of 100 years, and one that begins in the future, are none of the forms.
        for (from, to) in [(0, 36_500), (1, 30)] {
            let mut parts = self.scene.device();
            parts.not_before = der::time(der::now() + der::DAY * from);
            parts.not_after = der::time(der::now() + der::DAY * to);
            let signature = sign(KeyRole::CaSign, &parts.der());
            let der = der::signed(&parts.der(), Scene::algorithm(), &signature);
            assert!(
                self.fault_of_certificate(&X509::from_der(&der).unwrap())
                    .is_some()
            );
        }

        // The last CRL once more, with a higher number and without its entries.
        let first = self.gains(Structure::Crl).next().unwrap();
        let first = der::signed(&first.data, Scene::algorithm(), &first.signature);
        let mut list = der::List {
            algorithm: Scene::algorithm().to_vec(),
            issuer: self.scene.ca_name(),
            issuer_key: self.scene.ca_key_id(),
            number: 0x101,
            this_update: der::now(),
            next_update: der::now() + der::DAY,
            entries: Vec::new(),
            further: Vec::new(),
        };
        // A signature that was altered, or is another key's, and a list that drops the final entry.
        assert_eq!(self.fault_by_gnutls(&first), None);
        let mut altered = first.clone();
        *altered.last_mut().unwrap() ^= 1;
        let others = self.list_by(&self.scene.ca_name(), &self.key);
        for bad in [&altered, &others.to_der().unwrap()] {
            let fault = self.fault_by_gnutls(bad).unwrap();
            assert!(fault.starts_with("its verdict"), "{fault}");
        }
        let mut convicted = |list: &der::List| {
            let signature = sign(KeyRole::CaSign, &list.der());
            let signed = der::signed(&list.der(), Scene::algorithm(), &signature);
            let fault = self.fault_by_gnutls(&signed);
            assert_eq!(fault.is_some(), list.entries.is_empty(), "{fault:?}");
            self.faults_of_lists(&[first.clone(), signed]).len() == 1
        };
        assert!(convicted(&list));
        list.entries
            .push((self.loot.revoked[0].clone(), der::now() - der::DAY, 1));
        assert!(convicted(&list));
        list.number = 1;
        assert!(convicted(&list));

        // `good` for the revoked certificate, and an announcement of a foreign root, each with the service's own key.
        let gain = self.gains(Structure::Status).next().unwrap();
        let mut data = ResponseData::from_der(&gain.data).unwrap();
        data.cert_id.serial = self.loot.revoked[0][2..].to_vec();
        let data = data.to_der().unwrap();
        assert!(
            self.fault_of_status(&data, &sign(KeyRole::OcspSign, &data))
                .is_some()
        );
        let foreign = identity("Foreign CA", Role::Ca, None).certificate;
        let honest = self.gains(Structure::NextCa).next().unwrap();
        let content = certs_only(&foreign);
        let mut attributes = honest.data.clone();
        let (from, to) = (sha256(&honest.content), sha256(&content));
        let at = attributes
            .windows(32)
            .position(|window| window == from)
            .unwrap();
        attributes[at..at + 32].copy_from_slice(&to);
        let signature = sign(KeyRole::RaSign, &attributes);
        assert_eq!(
            self.announces(&attributes, &content, &signature),
            Some(vec![foreign])
        );
        assert!(
            self.fault_of_reply(&attributes, &content, &signature)
                .is_some()
        );
        // A client that would take the holder of a leaf for its RA believes it.
        let mut rsa = self.scene.device();
        let key = self.scene.rsa_key();
        rsa.set_key(&key.public_key_to_der().unwrap());
        let signature = sign(KeyRole::CaSign, &rsa.der());
        let der = der::signed(&rsa.der(), Scene::algorithm(), &signature);
        let holder = Holder {
            certificate: X509::from_der(&der).unwrap(),
            key,
        };
        let pinned = SignerCertificate::parse(&der).unwrap();
        assert!(parse_next_ca_certificates(&announcement(&holder), &pinned).is_ok());
        assert!(!self.is_taken_for_the_ra(&holder));
    }
}

/// A certs-only SignedData.
fn certs_only(certificate: &[u8]) -> Vec<u8> {
    let data = sequence(&[&oid("1.2.840.113549.1.7.1")]);
    let signed = sequence(&[
        &[2, 1, 1],
        &[0x31, 0],
        &data,
        &tlv(0xa0, certificate),
        &[0x31, 0],
    ]);
    sequence(&[&oid("1.2.840.113549.1.7.2"), &tlv(0xa0, &signed)])
}

/// The announcement of a foreign root by the holder of a certificate.
fn announcement(holder: &Holder) -> Vec<u8> {
    struct By<'a>(&'a PKey<Private>);

    impl MessageSigner for By<'_> {
        type Error = Infallible;

        async fn sign(
            &self,
            _: Digest,
            _: &[u8],
            attributes: &[u8],
        ) -> Result<Vec<u8>, Infallible> {
            Ok(sign(self.0, attributes))
        }
    }

    let foreign = identity("Foreign CA", Role::Ca, None).certificate;
    let certificate = holder.certificate.to_der().unwrap();
    let (list, signer) = ([foreign], By(&holder.key));
    let signed = next_ca_certificates(&list, &certificate, &signer);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| runtime.block_on(signed)).unwrap()
}

fn sign(key: &PKey<Private>, data: &[u8]) -> Vec<u8> {
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    signer.sign_oneshot_to_vec(data).unwrap()
}

/// AlgorithmIdentifier of [`sign`].
fn algorithm(key: &PKey<Private>) -> Vec<u8> {
    let kind = match key.rsa() {
        Ok(_) => assay_hsm::KeyAlgorithm::Rsa(2_048),
        Err(_) => assay_hsm::KeyAlgorithm::P256,
    };
    der::signature_algorithm(kind).to_vec()
}

/// The BIT STRING of a SubjectPublicKeyInfo.
fn spki_bits(key: &PKey<Private>) -> Vec<u8> {
    let spki = key.public_key_to_der().unwrap();
    let spki = spki::SubjectPublicKeyInfoRef::try_from(spki.as_slice()).unwrap();
    spki.subject_public_key.raw_bytes().to_vec()
}

/// An OCSPResponse of `successful`.
fn response(data: &[u8], algorithm: &[u8], signature: &[u8], certificates: &[u8]) -> Vec<u8> {
    let signature = tlv(3, &[&[0], signature].concat());
    let basic = sequence(&[data, algorithm, &signature, certificates]);
    let bytes = sequence(&[&oid("1.3.6.1.5.5.7.48.1.1"), &tlv(4, &basic)]);
    sequence(&[&[10, 1, 0], &tlv(0xa0, &bytes)])
}

/// The tags of a DER structure with its object identifiers and the lengths of its numbers, and no other value.
fn shape_of(mut der: &[u8]) -> String {
    let mut shape = String::new();
    while let [tag, first, rest @ ..] = der {
        let (length, rest) = match first {
            0x81.. => rest.split_at(usize::from(first & 0x7f)),
            _ => (std::slice::from_ref(first), rest),
        };
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let (content, rest) = rest.split_at(length);
        der = rest;
        shape += &match tag {
            6 => format!("{tag:02x} {} ", hex::encode(content)),
            2 => format!("{tag:02x} {length} "),
            tag if tag & 0x20 != 0 => format!("{tag:02x} {{ {}}} ", shape_of(content)),
            tag => format!("{tag:02x} "),
        };
    }
    shape
}

/// Names of the extensions of a certificate, with OpenSSL's text of their values.
fn extensions(certificate: &X509) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(&certificate.to_text().unwrap()).into_owned();
    let (_, list) = text.split_once("X509v3 extensions:\n").unwrap_or_default();
    listed(list)
}

/// The same of a CRL's text.
fn crl_extensions(text: &str) -> Vec<(String, String)> {
    let (_, list) = text.split_once("CRL extensions:\n").unwrap_or_default();
    listed(list)
}

fn listed(list: &str) -> Vec<(String, String)> {
    let mut extensions: Vec<(String, String)> = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty()) {
        match line.len() - line.trim_start().len() {
            0..12 => break,
            12 => extensions.push((line.trim().to_owned(), String::new())),
            _ => {
                if let Some((_, value)) = extensions.last_mut() {
                    value.push_str(line.trim());
                }
            }
        }
    }
    extensions
}

/// The Merkle tree hash of these leaf hashes (RFC 6962, section 2.1).
fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => sha256(b""),
        [one] => *one,
        leaves => {
            let middle = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(middle);
            sha256(&[&[1][..], &root(left), &root(right)].concat())
        }
    }
}
