//! Plays the signer: real proposals, CSRs, decisions and certificates, recorded as the signer records them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use assay_audit::{
    Answer, Context, Draft, Event, InventoryChange, Issuance, Moment, Request, Text,
};
use assay_decision::{Ca, Evidence, Permitted, Verdict, claims_sha256, facts};
use assay_journal::{Listed as OfJournal, Reason};
use assay_policy::{
    Bundle, ChallengeKind, ClaimedNames, Dn, Facts, Grant, InventoryEntry, PolicyFile, ProfileName,
    Proposal, PublicKeyFacts, Renewed, Semantics, Source, StringEncoding, SubjectAltName, decide,
    tbs,
};
use assay_scep::client::{assemble_csr, new_csr_info};
use assay_scep::{Csr, Limits};
use assay_types::{Digest, Hash, RevokedCertificates, Serial, Timestamp, TimestampMillis};
use assay_verify::layout::{EvidenceLine, InventoryLine, Place};
use der::asn1::{Any, BitString, OctetString};
use der::{Decode, Encode, Sequence};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sha::sha256;
use openssl::sign::Signer;
use x509_cert::ext::Extension;

use crate::export::Parts;
use crate::keeper::Step;
use crate::keys::{FIRST, NEXT, RENEWED, RSA_CA, STRANGER, keys};
use crate::scenes::asks;

/// 2026-11-22T00:00:00.123Z: every shipped profile is in force.
pub(crate) const NOW_MS: i64 = 1_795_305_600_123;

const DAY: Duration = Duration::from_secs(86_400);
const OPERATOR: &str = "assay://operator/olga";
const APPROVER: &str = "assay://approver/ada";

pub(crate) struct Maker {
    pub(crate) parts: Parts,
    /// The journal of an HSM service that signed all of this.
    pub(crate) history: Vec<(Timestamp, Step)>,
    /// By number, as [`keys`] has them.
    cas: Vec<Ca>,
    /// The CA that issues.
    present: usize,
    wall_ms: i64,
    mono: u64,
    boots: u64,
    machine: u8,
    /// When the machine was booted, by the clock that was right then.
    booted_ms: i64,
    drawn: u64,
    policy: Option<(u64, Bundle)>,
    policy_hash: Option<Hash>,
    predecessor: Option<Hash>,
    heads: BTreeMap<String, Hash>,
    issued: BTreeMap<String, Issued>,
    /// By key id.
    crls: BTreeMap<String, u64>,
    /// The entries of CRLs, by key id.
    listed: BTreeMap<String, BTreeMap<Serial, Listed>>,
    /// thisUpdate of the last CRL, by key id.
    last_update: BTreeMap<String, Timestamp>,
    /// What the token calls the key of each CA.
    key_ids: Vec<String>,
    /// What versions of the policy name from here on.
    pub(crate) hsm_configuration: Option<Hash>,
    /// The number of the next version is above it.
    pub(crate) floor: u64,
}

/// An entry of a CRL.
#[derive(Clone)]
struct Listed {
    revoked_at: Timestamp,
    reason: u8,
    not_after: Timestamp,
}

/// What a renewal is of.
#[derive(Clone)]
struct Issued {
    profile: String,
    subject: Dn,
    sans: Vec<SubjectAltName>,
    not_after: Timestamp,
    spki_sha256: Hash,
    ca: usize,
}

/// A certificate that is permitted and not signed yet.
pub(crate) struct Opened {
    request: Request,
    pub(crate) issuance: Issuance,
    pub(crate) tbs: Vec<u8>,
    /// The CA whose key signs it.
    pub(crate) signer: usize,
    pub(crate) renews: Option<(String, Option<Duration>)>,
    pub(crate) not_after: Timestamp,
    issued: Issued,
    policy_hash: Option<Hash>,
}

/// A certificate that the log has no record of.
pub(crate) struct Hidden {
    pub(crate) serial: String,
    pub(crate) tbs: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) der: Vec<u8>,
    pub(crate) not_after: Timestamp,
    issued: Issued,
}

/// A request on its way.
pub(crate) struct Asks {
    pub(crate) profile: &'static str,
    pub(crate) subject: String,
    pub(crate) sans: Vec<String>,
    pub(crate) grant: Option<Grant>,
    pub(crate) message_type: &'static str,
    /// Whether the CSR brings a challenge.
    pub(crate) secret: bool,
    pub(crate) new_key: bool,
    pub(crate) pending_id: Option<String>,
    pub(crate) queue: bool,
}

#[derive(Sequence)]
struct Signed {
    tbs_certificate: Any,
    signature_algorithm: Any,
    signature: BitString,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self::with(&[FIRST])
    }

    /// A log that can tell of these CAs.
    pub(crate) fn with(cas: &[usize]) -> Self {
        let ca = |ca| Ca::from_der(&keys().chain(ca)[0]).unwrap();
        Self {
            cas: [FIRST, NEXT, STRANGER, RENEWED, RSA_CA].map(ca).into(),
            present: FIRST,
            parts: Parts {
                issuers: cas.iter().map(|ca| keys().chain(*ca)).collect(),
                ..Parts::default()
            },
            history: Vec::new(),
            wall_ms: NOW_MS,
            mono: 0,
            boots: 0,
            machine: 0,
            booted_ms: NOW_MS,
            drawn: 0,
            policy: None,
            policy_hash: None,
            predecessor: None,
            heads: BTreeMap::new(),
            issued: BTreeMap::new(),
            crls: BTreeMap::new(),
            listed: BTreeMap::new(),
            last_update: BTreeMap::new(),
            // A renewed certificate is of the same key.
            key_ids: ["01", "02", "03", "01", "05"].map(str::to_owned).into(),
            hsm_configuration: None,
            floor: 0,
        }
    }

    /// From here on requests are answered under this CA.
    pub(crate) fn under(&mut self, ca: usize) {
        self.present = ca;
    }

    /// The token knows the key of a CA by another name.
    pub(crate) fn call_key(&mut self, ca: usize, key_id: &str) {
        let before = std::mem::replace(&mut self.key_ids[ca], key_id.to_owned());
        fn copy<T: Clone>(map: &mut BTreeMap<String, T>, from: &str, to: &str) {
            if let Some(value) = map.get(from).cloned() {
                map.entry(to.to_owned()).or_insert(value);
            }
        }
        copy(&mut self.crls, &before, key_id);
        copy(&mut self.listed, &before, key_id);
        copy(&mut self.last_update, &before, key_id);
    }

    pub(crate) fn record(&mut self, event: Event) -> u64 {
        self.record_under(self.policy_hash, event)
    }

    fn record_under(&mut self, policy_hash: Option<Hash>, event: Event) -> u64 {
        let sequence = self.parts.records.len() as u64 + 1;
        let record = Draft {
            context: Context {
                boot_id: format!("{:016x}", self.boots).as_str().into(),
                binary: "0.1.0".into(),
                config_hash: Hash::of(b"signer.toml"),
                policy_hash,
            },
            moment: Moment {
                wall_ms: self.wall(),
                monotonic_ms: self.mono,
            },
            event,
            attachment: None,
        }
        .at(sequence);
        self.parts.records.push(record.to_canonical().unwrap());
        self.pass(7);
        sequence
    }

    /// Time goes by.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.mono += ms;
        self.wall_ms += ms.cast_signed();
    }

    /// Time goes by, and the guarded wall clock does not show it.
    pub(crate) fn stand_still(&mut self, ms: u64) {
        self.mono += ms;
    }

    /// The wall clock is another, and nobody is told.
    pub(crate) fn set_clock(&mut self, delta_ms: i64) {
        self.wall_ms += delta_ms;
    }

    /// The signer takes another time for that of the boot.
    pub(crate) fn move_boot(&mut self, delta_ms: i64) {
        self.booted_ms += delta_ms;
    }

    /// To a record that was made earlier and is written now.
    pub(crate) fn go_back(&mut self, ms: u64) {
        self.mono -= ms;
        self.wall_ms -= ms.cast_signed();
    }

    pub(crate) fn start(&mut self) {
        self.mono = 0;
        self.machine += 1;
        self.booted_ms = self.wall_ms;
        self.start_again();
    }

    /// In the same boot of the machine.
    pub(crate) fn start_again(&mut self) {
        self.boots += 1;
        self.record(Event::ServiceStarted {
            schema: 3,
            kernel_boot: Some(Hash::of(&[self.machine])),
            booted_ms: Some(TimestampMillis::from_millis(self.booted_ms)),
        });
    }

    /// A state is recovered, by a process of its own.
    pub(crate) fn recover(&mut self, event: Event) {
        self.boots += 1;
        self.mono = 0;
        self.record(event);
    }

    /// A certificate whose record was lost is taken up.
    pub(crate) fn take_up(&mut self, serial: &str, der: Vec<u8>) {
        let hidden = self.known(serial, der);
        let sequence = self.record(Event::CertificateRecovered {
            serial: serial.into(),
            subject: hidden.issued.subject.to_string().into(),
            not_after: hidden.not_after,
            tbs_digest: Hash::of(&hidden.tbs),
            certificate_sha256: Some(Hash::of(&hidden.der)),
        });
        self.parts.certificates.insert(sequence, hidden.der);
    }

    pub(crate) fn stop(&mut self) {
        self.record(Event::ServiceStopped {
            cause: "signal".into(),
        });
    }

    pub(crate) fn step_clock(&mut self, delta_ms: i64) {
        self.wall_ms += delta_ms;
        self.record(Event::ClockStep { delta_ms });
    }

    /// A jump of the wall clock is accepted.
    pub(crate) fn accept_jump(&mut self, by_seconds: i64) {
        let from = self.now();
        let to = Timestamp::from_seconds(from.seconds() + by_seconds);
        self.wall_ms += by_seconds * 1_000;
        self.booted_ms = self.wall_ms - self.mono.cast_signed();
        self.record(Event::ClockAccepted {
            actor: OPERATOR.into(),
            from,
            to,
        });
    }

    /// The wall clock.
    pub(crate) fn wall(&self) -> TimestampMillis {
        TimestampMillis::from_millis(self.wall_ms)
    }

    /// The same in seconds.
    pub(crate) fn now(&self) -> Timestamp {
        self.wall().seconds()
    }

    /// A number that was not given before, as hex of 17 octets that make a serial number.
    fn draw(&mut self) -> String {
        self.drawn += 1;
        let hash = sha256(&self.drawn.to_be_bytes());
        hex::encode([&[0x4a], &hash[..16]].concat())
    }

    fn id(&mut self) -> String {
        self.draw()[2..18].to_owned()
    }

    /// Brings a version into force: written by ada, approved by ben and cyd.
    pub(crate) fn activate(&mut self, files: &[PolicyFile], resumes: &[&str]) -> u64 {
        self.activate_for(files, resumes, FIRST, &[])
    }

    /// The same, for this CA and with these settings.
    pub(crate) fn activate_for(
        &mut self,
        files: &[PolicyFile],
        resumes: &[&str],
        ca: usize,
        settings: &[(&str, String)],
    ) -> u64 {
        let bundle = Bundle::load(files).unwrap();
        let newest = self.policy.as_ref().map_or(0, |(number, _)| *number);
        let number = newest.max(self.floor) + 1;
        let name = |text: &str| ProfileName::parse(text).unwrap();
        let proposal = Proposal {
            number,
            predecessor: self.predecessor,
            files: bundle.file_hash(),
            model: bundle.model_hash(),
            semantics: Semantics::CURRENT,
            issuer: keys().ca_sha256(ca),
            hsm_configuration: self.hsm_configuration,
            not_before: self.now() - Duration::from_secs(60),
            expires: self.now() + 30 * DAY,
            ticket: "CHG-1".to_owned(),
            resumes: resumes.iter().map(|profile| name(profile)).collect(),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            inventories: self
                .heads
                .iter()
                .map(|(profile, head)| (name(profile), *head))
                .collect(),
        };
        let text = proposal.to_toml().into_bytes();
        let [author, approvers @ ..] = &keys().people[..3] else {
            unreachable!()
        };
        let put = &mut self.parts.policies;
        put.insert(Place::Author(number).to_string(), author.sign(&text));
        for (k, person) in (1..).zip(approvers) {
            put.insert(Place::Approval(number, k).to_string(), person.sign(&text));
        }
        for file in files {
            let profile = file.name.strip_suffix(".toml").unwrap().to_owned();
            let place = Place::Policy(number, profile).to_string();
            put.insert(place, file.content.clone());
        }
        put.insert(Place::Proposal(number).to_string(), text.clone());
        self.predecessor = Some(Hash::of(&text));
        self.policy_hash = Some(bundle.model_hash());
        let texts = |names: &[&str]| names.iter().map(|name| Text::from(*name)).collect();
        let sequence = self.record(Event::PolicyActivated {
            actor: APPROVER.into(),
            number,
            file_hash: bundle.file_hash(),
            model_hash: bundle.model_hash(),
            profiles: bundle.profiles().len() as u64,
            proposal_sha256: self.predecessor,
            author: Some(author.name.into()),
            approvers: texts(&[approvers[0].name, approvers[1].name]),
            resumed: texts(resumes),
        });
        self.policy = Some((number, bundle));
        sequence
    }

    pub(crate) fn stop_profile(&mut self, profile: &str) {
        self.record(Event::ProfileStopped {
            actor: OPERATOR.into(),
            profile: profile.into(),
            reason: "a key was found".into(),
        });
    }

    /// A one-time challenge; what it authorises.
    pub(crate) fn challenge(&mut self, profile: &str, subject: &str, sans: &[&str]) -> Grant {
        let (id, expires) = (self.id(), self.now() + Duration::from_secs(3_600));
        let texts: Vec<String> = sans.iter().map(ToString::to_string).collect();
        let subject = dn(subject);
        let text = subject.to_string();
        let claims = claims_sha256(ChallengeKind::OneTime, profile, &text, &texts).unwrap();
        self.record(Event::ChallengeIssued {
            actor: OPERATOR.into(),
            challenge_id: id.as_str().into(),
            challenge_kind: "one-time".into(),
            profile: profile.into(),
            subject: Some(text.as_str().into()),
            expires_at: Some(expires),
            claims_sha256: Some(claims),
        });
        let sans = names(&texts);
        let bound = ClaimedNames { subject, sans };
        Grant::one_time(id, profile.to_owned(), bound, expires.into())
    }

    pub(crate) fn revoke_challenge(&mut self, grant: &Grant) {
        let id = grant.source().challenge_id().unwrap();
        self.record(Event::ChallengeRevoked {
            actor: OPERATOR.into(),
            challenge_id: id.into(),
        });
    }

    /// A static challenge; its id.
    pub(crate) fn static_challenge(&mut self, profile: &str) -> String {
        let id = self.id();
        let claims = claims_sha256(ChallengeKind::Static, profile, "", &[]).unwrap();
        self.record(Event::ChallengeIssued {
            actor: OPERATOR.into(),
            challenge_id: id.as_str().into(),
            challenge_kind: "static".into(),
            profile: profile.into(),
            subject: None,
            expires_at: None,
            claims_sha256: Some(claims),
        });
        id
    }

    pub(crate) fn inventory(&mut self, profile: &str, change: InventoryChange, names: &[&str]) {
        let before = self.heads.get(profile).copied();
        let before = before.unwrap_or(Hash::ZERO);
        let at = self.now();
        let lines = self
            .parts
            .inventories
            .entry(profile.to_owned())
            .or_default();
        let listed: Vec<(&str, Option<&str>)> = names.iter().map(|name| (*name, None)).collect();
        let content = serde_json::json!({
            "at": at,
            "by": OPERATOR,
            "names": listed,
            "operation": change,
        })
        .to_string();
        let mut sequence = lines.len() as u64;
        let mut hash = before;
        if !names.is_empty() {
            sequence += 1;
            hash = Hash::of(&[before.as_bytes(), content.as_bytes()].concat());
            lines.push(InventoryLine {
                content,
                hash,
                sequence,
            });
            self.heads.insert(profile.to_owned(), hash);
        }
        self.record(Event::InventoryChanged {
            actor: OPERATOR.into(),
            profile: profile.into(),
            change,
            names: names.len() as u64,
            inventory_sequence: sequence,
            inventory_hash: hash,
        });
    }

    pub(crate) fn request(&mut self, profile: &str, message_type: &str) -> Request {
        let id = self.id();
        Request {
            peer: "assay://frontend/dmz1".into(),
            peer_certificate_sha256: None,
            request_id: Some(id.as_str().into()),
            request_digest: Hash::of(id.as_bytes()),
            transaction_id: Some(format!("tx-{id}").as_str().into()),
            message_type: Some(message_type.into()),
            profile: Some(profile.into()),
            challenge_id: None,
            reply_envelope: None,
            quirks: vec![],
        }
    }

    fn facts(&self, asks: &Asks) -> (Csr, Facts) {
        let key = match (asks.profile, asks.new_key) {
            ("smime", _) => &keys().person,
            (_, true) => &keys().new_device,
            (_, false) => &keys().device,
        };
        let challenge = asks.secret.then_some("correct-horse-battery-staple");
        let csr = csr(key, &asks.subject, &asks.sans, challenge);
        let facts = facts(
            &csr,
            asks.profile,
            self.wall().into(),
            Digest::Sha256,
            asks.grant.clone(),
        );
        (csr, facts)
    }

    fn keep(&mut self, sequence: u64, salt: [u8; 32], evidence: &Evidence) {
        let line = EvidenceLine {
            sequence,
            salt,
            content: evidence.to_canonical().unwrap(),
        };
        self.parts.evidence.insert(sequence, line);
    }

    fn asked(&mut self, asks: &Asks) -> Request {
        let mut request = self.request(asks.profile, asks.message_type);
        if asks.pending_id.is_none() || asks.queue {
            let source = asks.grant.as_ref().map(Grant::source);
            request.challenge_id = source.and_then(Source::challenge_id).map(Into::into);
        }
        request
    }

    /// A request that the policy refuses.
    pub(crate) fn refuse(&mut self, asks: &Asks) -> u64 {
        let (csr, facts) = self.facts(asks);
        let profile = self.policy.as_ref().unwrap().1.profile(asks.profile);
        let refusal = decide(profile.unwrap(), &facts).unwrap_err();
        let verdict = Verdict::Refusal {
            rule: refusal.rule.to_string(),
        };
        let (evidence, salt, hash) = self.seal(&csr, &facts, asks.pending_id.clone(), verdict);
        let request = self.asked(asks);
        let sequence = self.record(Event::RequestRefused {
            request,
            fail_info: 2,
            rule: refusal.rule.as_str().into(),
            detail: refusal.detail.as_str().into(),
            evidence: Some(hash),
        });
        self.keep(sequence, salt, &evidence);
        sequence
    }

    fn seal(
        &mut self,
        csr: &Csr,
        facts: &Facts,
        pending_id: Option<String>,
        verdict: Verdict,
    ) -> (Evidence, [u8; 32], Hash) {
        let salt = sha256(self.draw().as_bytes());
        let whole = Hash::of(csr.der());
        let evidence = Evidence::new(facts, csr.without_challenge(), whole, pending_id, verdict);
        let (_, hash) = evidence.seal(salt, Timestamp::default()).unwrap();
        (evidence, salt, hash)
    }

    /// A request that waits for operators; its id.
    pub(crate) fn queue(&mut self, asks: &Asks) -> String {
        let (csr, facts) = self.facts(asks);
        let id = self.id();
        let (evidence, salt, hash) = self.seal(&csr, &facts, Some(id.clone()), Verdict::Pending);
        let request = self.asked(asks);
        let sequence = self.record(Event::RequestPending {
            request,
            pending_id: id.as_str().into(),
            evidence: Some(hash),
        });
        self.keep(sequence, salt, &evidence);
        id
    }

    pub(crate) fn approve(&mut self, id: &str, operators: &[&str]) {
        for (approvals, name) in (1..).zip(operators) {
            self.record(Event::PendingApproved {
                actor: format!("assay://operator/{name}").as_str().into(),
                pending_id: id.into(),
                approvals,
                required: operators.len() as u64,
                note: "".into(),
            });
        }
    }

    /// Permits a request: the intent is durable.
    pub(crate) fn open(&mut self, asks: &Asks) -> Opened {
        self.open_as(asks, None)
    }

    /// The same, with evidence that names another CA than the certificate does.
    pub(crate) fn open_as(&mut self, asks: &Asks, named: Option<usize>) -> Opened {
        let (csr, facts) = self.facts(asks);
        let profile = self.policy.as_ref().unwrap().1.profile(asks.profile);
        let profile = profile.unwrap().clone();
        let permit = decide(&profile, &facts).unwrap();
        let (subject, sans) = (permit.subject().clone(), permit.sans().to_vec());
        let ca = &self.cas[self.present];
        let (from, until) = profile.validity(facts.now, &ca.issuer);
        let ca_sha256 = named.map_or(ca.sha256, |ca| self.cas[ca].sha256);
        let issuer = ca.issuer.clone();
        let serial = hex::decode(self.draw()).unwrap();
        let tbs = tbs(&profile, permit, &issuer, &serial, from, until).unwrap();
        let verdict = Verdict::Permit(Permitted::new(&tbs, ca_sha256));
        let (evidence, salt, hash) = self.seal(&csr, &facts, asks.pending_id.clone(), verdict);
        let request = self.asked(asks);
        let issuance = Issuance {
            serial: hex::encode(&serial).as_str().into(),
            tbs_digest: tbs.digest(),
            key_id: self.key_ids[self.present].as_str().into(),
            token_serial: "7a6f".into(),
        };
        let sequence = self.record(Event::IntentOpened {
            request: request.clone(),
            issuance: issuance.clone(),
            evidence: Some(hash),
        });
        self.keep(sequence, salt, &evidence);
        let source = asks.grant.as_ref().map(Grant::source);
        let renews = source.and_then(Source::renewed).map(|renewed| {
            let grace = (asks.profile == "devices").then_some(7 * DAY);
            (renewed.serial.clone(), grace)
        });
        Opened {
            request,
            issuance,
            tbs: tbs.der().to_vec(),
            signer: self.present,
            renews,
            not_after: until.into(),
            issued: Issued {
                profile: asks.profile.to_owned(),
                subject,
                sans,
                not_after: until.into(),
                spki_sha256: PublicKeyFacts::from_spki(csr.spki_der()).spki_sha256(),
                ca: self.present,
            },
            policy_hash: self.policy_hash,
        }
    }

    /// The signature of the CA, and the certificate.
    fn signed(&self, signer: usize, tbs: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let signature = keys().ca_signature(signer, tbs);
        let algorithm = &self.cas[signer].issuer.signature_algorithm_der;
        let certificate = Signed {
            tbs_certificate: Any::from_der(tbs).unwrap(),
            signature_algorithm: Any::from_der(algorithm).unwrap(),
            signature: BitString::from_bytes(&signature).unwrap(),
        };
        (signature, certificate.to_der().unwrap())
    }

    /// A certificate that was signed for a log of which nothing is left.
    pub(crate) fn hidden(&self) -> Hidden {
        let mut lost = Self::with(&[self.present]);
        lost.under(self.present);
        lost.wall_ms = self.wall_ms;
        // Serial numbers that this log does not draw.
        lost.drawn = 1 << 32;
        lost.start();
        lost.activate_for(&files("CHG-0"), &[], self.present, &[]);
        let (subject, san) = ("CN=device-1,O=Example", "dns:a.example.com");
        let by = lost.challenge("devices", subject, &[san]);
        let opened = lost.open(&asks("devices", subject, &[san], by));
        let (signature, der) = lost.signed(opened.signer, &opened.tbs);
        Hidden {
            serial: opened.issuance.serial.as_str().to_owned(),
            tbs: opened.tbs,
            signature,
            der,
            not_after: opened.not_after,
            issued: opened.issued,
        }
    }

    /// The same of a certificate that the log has.
    pub(crate) fn known(&self, serial: &str, der: Vec<u8>) -> Hidden {
        let signed = Signed::from_der(&der).unwrap();
        let issued = self.issued[serial].clone();
        Hidden {
            serial: serial.to_owned(),
            tbs: signed.tbs_certificate.to_der().unwrap(),
            signature: signed.signature.raw_bytes().to_vec(),
            der,
            not_after: issued.not_after,
            issued,
        }
    }

    /// The service signs a certificate.
    fn signs(&mut self, ca: usize, hidden: &Hidden) {
        let serial: Serial = hidden.serial.parse().unwrap();
        let now = self.now();
        let asked = Step::Certificate {
            ca,
            serial: serial.clone(),
            not_after: hidden.not_after,
            tbs: hidden.tbs.clone(),
        };
        let signature = hidden.signature.clone();
        self.history.push((now, asked));
        self.history.push((now, Step::Signed { serial, signature }));
    }

    /// Takes it up, without its revocation.
    pub(crate) fn import(&mut self, hidden: &Hidden) -> u64 {
        self.signs(hidden.issued.ca, hidden);
        let serial = hidden.serial.as_str();
        let sequence = self.record(Event::CertificateImported {
            actor: OPERATOR.into(),
            serial: serial.into(),
            subject: hidden.issued.subject.to_string().into(),
            not_after: hidden.not_after,
            tbs_digest: Hash::of(&hidden.tbs),
            certificate_sha256: Hash::of(&hidden.der),
        });
        let certificates = &mut self.parts.certificates;
        certificates.insert(sequence, hidden.der.clone());
        self.issued.insert(serial.to_owned(), hidden.issued.clone());
        sequence
    }

    /// Signs what was permitted; its serial.
    pub(crate) fn finish(&mut self, opened: Opened, recovered: bool) -> String {
        let (signature, certificate) = self.signed(opened.signer, &opened.tbs);
        let hidden = Hidden {
            serial: opened.issuance.serial.as_str().to_owned(),
            tbs: opened.tbs.clone(),
            signature,
            der: certificate.clone(),
            not_after: opened.not_after,
            issued: opened.issued.clone(),
        };
        self.signs(opened.signer, &hidden);
        let serial = opened.issuance.serial.as_str().to_owned();
        let renewal_of = opened.renews.as_ref().map(|(old, _)| old.as_str().into());
        let event = Event::RequestIssued {
            request: opened.request,
            issuance: opened.issuance,
            certificate_sha256: Hash::of(&certificate),
            renewal_of,
            recovered,
        };
        let issued_at = self.now();
        let sequence = self.record_under(opened.policy_hash, event);
        self.parts.certificates.insert(sequence, certificate);
        if let Some((old, grace)) = opened.renews {
            let event = Event::CertificateSuperseded {
                serial: old.as_str().into(),
                successor: serial.as_str().into(),
                revoke_at: grace.map(|grace| issued_at + grace),
            };
            self.record_under(opened.policy_hash, event);
        }
        self.issued.insert(serial.clone(), opened.issued);
        serial
    }

    pub(crate) fn issue(&mut self, asks: &Asks) -> String {
        let opened = self.open(asks);
        self.finish(opened, false)
    }

    pub(crate) fn abandon(&mut self, opened: Opened) {
        let serial = opened.issuance.serial.as_str().to_owned();
        let event = Event::IntentAbandoned {
            request: opened.request,
            issuance: opened.issuance,
            listed_until: Some(opened.not_after),
            detail: "the token was away too long".into(),
        };
        self.listed(&serial, opened.issued.ca, opened.not_after, 0);
        let asked = Step::Certificate {
            ca: opened.signer,
            serial: serial.parse().unwrap(),
            not_after: opened.not_after,
            tbs: opened.tbs,
        };
        self.history.push((self.now(), asked));
        self.record_under(opened.policy_hash, event);
    }

    /// What a certificate authorises when it signs a request.
    pub(crate) fn renewal(&self, serial: &str) -> Grant {
        self.renewal_of(serial, None)
    }

    /// The same of one that was renewed before.
    pub(crate) fn renewal_after(&self, serial: &str, successor: &str) -> Grant {
        self.renewal_of(serial, Some(successor))
    }

    fn renewal_of(&self, serial: &str, successor: Option<&str>) -> Grant {
        let old = self.issued[serial].clone();
        let renewed = Renewed {
            serial: serial.to_owned(),
            spki_sha256: old.spki_sha256,
            successor: successor.map(str::to_owned),
        };
        let names = ClaimedNames {
            subject: old.subject,
            sans: old.sans,
        };
        Grant::renewal(renewed, old.profile, names, old.not_after.into(), None)
    }

    /// From now on CRLs of this CA list it.
    fn listed(&mut self, serial: &str, ca: usize, not_after: Timestamp, reason: u8) {
        let revoked_at = self.now();
        let list = self.listed.entry(self.key_ids[ca].clone()).or_default();
        let listed = list.entry(serial.parse().unwrap()).or_insert(Listed {
            revoked_at,
            reason,
            not_after,
        });
        listed.reason = reason;
    }

    fn revoke_for(&mut self, serial: &str, actor: &str, reason: (&str, u8), of: Option<&str>) {
        let (ca, not_after) = (self.issued[serial].ca, self.issued[serial].not_after);
        self.listed(serial, ca, not_after, reason.1);
        self.record(Event::CertificateRevoked {
            actor: actor.into(),
            serial: serial.into(),
            reason: reason.0.into(),
            successor_of: of.map(Into::into),
        });
    }

    pub(crate) fn revoke(&mut self, serial: &str) {
        self.revoke_for(serial, OPERATOR, ("key-compromise", 1), None);
    }

    /// Revokes a certificate as one of the successors of another.
    pub(crate) fn revoke_successor(&mut self, serial: &str, of: &str) {
        self.revoke_for(serial, OPERATOR, ("key-compromise", 1), Some(of));
    }

    pub(crate) fn revoke_by_schedule(&mut self, serial: &str) {
        self.revoke_for(serial, "assay://signer/schedule", ("superseded", 4), None);
    }

    pub(crate) fn hold(&mut self, serial: &str) {
        let (ca, not_after) = (self.issued[serial].ca, self.issued[serial].not_after);
        self.listed(serial, ca, not_after, 6);
        self.record(Event::CertificateHeld {
            actor: OPERATOR.into(),
            serial: serial.into(),
            successor_of: None,
        });
    }

    pub(crate) fn hold_and_release(&mut self, serial: &str) {
        self.hold(serial);
        self.pass(2_000);
        self.release(serial);
        self.pass(2_000);
    }

    pub(crate) fn release(&mut self, serial: &str) {
        let key_id = &self.key_ids[self.issued[serial].ca];
        let list = self.listed.get_mut(key_id).unwrap();
        list.remove(&serial.parse().unwrap());
        self.record(Event::CertificateReleased {
            actor: OPERATOR.into(),
            serial: serial.into(),
        });
    }

    pub(crate) fn crl(&mut self) {
        self.crl_of(self.present);
    }

    pub(crate) fn crl_of(&mut self, ca: usize) {
        let key_id = self.key_ids[ca].clone();
        let number = self.crls.get(&key_id).copied().unwrap_or_default() + 1;
        self.crl_as(&key_id, number);
        self.crls.insert(key_id, number);
    }

    pub(crate) fn crl_as(&mut self, key_id: &str, number: u64) {
        let covers = self.parts.records.len() as u64;
        self.crl_that_covers(key_id, number, covers);
    }

    /// A CRL whose entries are those of now, and which says up to which record it has the changes.
    pub(crate) fn crl_that_covers(&mut self, key_id: &str, number: u64, covers: u64) {
        let this_update = self.now();
        let before = self.last_update.insert(key_id.to_owned(), this_update);
        let listed = self.listed.entry(key_id.to_owned()).or_default();
        listed.retain(|_, it| before.is_none_or(|before| it.not_after >= before));
        let mut list = RevokedCertificates::default();
        let mut of_journal = Vec::new();
        for (serial, it) in &*listed {
            list.push(serial, it.revoked_at, it.reason);
            of_journal.push(OfJournal {
                serial: serial.clone(),
                reason: Reason::from_code(it.reason).unwrap(),
                date: it.revoked_at,
            });
        }
        let entries = listed.len() as u64;
        let tbs_digest = Hash::of(format!("list {number} of {key_id}").as_bytes());
        let ca = self.key_ids.iter().position(|it| it == key_id);
        let crl = Step::Crl {
            ca: ca.unwrap_or(FIRST),
            number,
            digest: tbs_digest,
            listed: of_journal,
        };
        self.history.push((this_update, crl));
        self.record(Event::CrlIssued {
            number,
            crl_sha256: Hash::of(b"a list"),
            tbs_digest,
            this_update,
            next_update: this_update + 7 * DAY,
            entries,
            entries_sha256: list.digest(),
            covers,
            key_id: key_id.into(),
            token_serial: "7a6f".into(),
        });
        let size = self.parts.records.len() as u64;
        self.history.push((self.now(), Step::Checkpoint(size)));
    }

    pub(crate) fn replay(&mut self, profile: &str, serial: &str) {
        let request = self.request(profile, "19");
        self.record(Event::RequestReplayed {
            request,
            answer: Answer::SameCertificate,
            serial: serial.into(),
        });
    }

    pub(crate) fn deny(&mut self, id: &str) {
        self.record(Event::PendingDenied {
            actor: OPERATOR.into(),
            pending_id: id.into(),
            note: "".into(),
        });
    }

    pub(crate) fn count(&mut self, ca_signatures: u64, last: bool) {
        self.count_by(0, ca_signatures, last);
    }

    /// The count of one run.
    pub(crate) fn count_by(&mut self, run: u64, ca_signatures: u64, last: bool) {
        self.record(Event::HsmCounted {
            run,
            pid: 4_711,
            ca_signatures,
            last,
        });
    }

    pub(crate) fn shared(id: &str, profile: &str, name: &str) -> Grant {
        let entry = InventoryEntry {
            name: name.to_owned(),
            spki_sha256: None,
            already_issued: false,
        };
        Grant::shared(id.to_owned(), profile.to_owned(), Some(entry))
    }
}

/// The shipped files of these tests: a one-time challenge with renewals that revoke, a static one with an inventory, and
/// one with four eyes.
pub(crate) fn files(ticket: &str) -> Vec<PolicyFile> {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy");
    let read = |path: &str| std::fs::read_to_string(policies.join(path)).unwrap();
    let changed = |text: String, from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "`{from}` must occur once");
        text.replace(from, to).into_bytes()
    };
    let devices = changed(
        read("demo/devices.toml"),
        "supersede = \"keep\"",
        "supersede = \"revoke\"\nrevoke_after = \"7d\"",
    );
    let fleet = changed(read("demo/fleet.toml"), "DEMO-2", ticket);
    [
        ("devices.toml", devices),
        ("fleet.toml", fleet),
        ("smime.toml", read("examples/smime.toml").into_bytes()),
    ]
    .into_iter()
    .map(|(name, content)| PolicyFile {
        name: name.to_owned(),
        content,
    })
    .collect()
}

pub(crate) fn dn(text: &str) -> Dn {
    Dn::parse_rfc4514(text).unwrap()
}

fn names(texts: &[String]) -> Vec<SubjectAltName> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn csr(key: &PKey<Private>, subject: &str, sans: &[String], challenge: Option<&str>) -> Csr {
    let subject = dn(subject).to_der(StringEncoding::Utf8).unwrap();
    let extensions = if sans.is_empty() {
        Vec::new()
    } else {
        let value = SubjectAltName::list_to_der(&names(sans)).unwrap();
        let extension = Extension {
            extn_id: "2.5.29.17".parse().unwrap(),
            critical: false,
            extn_value: OctetString::new(value).unwrap(),
        };
        vec![extension.to_der().unwrap()]
    };
    let spki = key.public_key_to_der().unwrap();
    let info = new_csr_info(&subject, &spki, challenge, &extensions);
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    let signature = signer.sign_oneshot_to_vec(&info).unwrap();
    let der = assemble_csr(&info, Digest::Sha256, &signature);
    Csr::parse(&der, &Limits::default()).unwrap()
}
