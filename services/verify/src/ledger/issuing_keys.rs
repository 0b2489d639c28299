//! Which CA it was: the one that the version of the policy names, by the same key for all of a run.

use std::collections::{BTreeMap, HashMap, HashSet};

use assay_audit::{Event, Issuance, Text};
use assay_decision::Verdict;
use assay_types::{Hash, Timestamp, TimestampMillis};

use super::Seen;
use crate::Check;
use crate::entry::SLACK;
use crate::issuers::Issuers;
use crate::named::{Named, Next};

const CHECK: Check = Check::IssuingCas;
/// CAs that a signer has at a time.
const AT_A_TIME: usize = 2;

pub(super) struct IssuingKeys<'a> {
    issuers: &'a Issuers,
    lines: Vec<Line>,
    boot_id: Text,
    /// CKA_IDs of the CA keys of the run, with the SHA-256 of each key where a certificate tells it.
    run: BTreeMap<Text, Option<Hash>>,
    /// What the certificate of an open intent may be of, by serial: SHA-256 of CA certificates.
    open: HashMap<Text, Vec<Hash>>,
    /// CAs that have taken over, by the SHA-256 of their certificates.
    switched: HashSet<Hash>,
}

/// What a record says of a CA that takes over, by the SHA-256 of certificates.
struct Takeover {
    ca: Hash,
    predecessor: Hash,
}

/// One CA key over all runs.
#[derive(Debug)]
pub(super) struct Line {
    /// CKA_ID in its latest run.
    key_id: Text,
    /// SHA-256 of the key, where a certificate tells it.
    pub(super) key_sha256: Option<Hash>,
    /// Whether the present run used it.
    used: bool,
    /// Of its latest CRL; 0 before the first.
    pub(super) crl_number: u64,
    /// Of its latest CRL.
    pub(super) this_update: Timestamp,
}

impl<'a> IssuingKeys<'a> {
    pub(super) fn new(issuers: &'a Issuers) -> Self {
        Self {
            issuers,
            lines: Vec::new(),
            boot_id: Text::default(),
            run: BTreeMap::new(),
            open: HashMap::new(),
            switched: HashSet::new(),
        }
    }

    /// `named` are the CAs of the version in force.
    pub(super) fn take(&mut self, seen: &mut Seen<'_>, named: Option<&Named>) {
        let boot_id = &seen.entry.record.draft.context.boot_id;
        if *boot_id != self.boot_id {
            self.boot_id = boot_id.clone();
            self.run.clear();
            self.lines.iter_mut().for_each(|line| line.used = false);
        }
        if let Event::IntentOpened { issuance, .. } = seen.entry.event() {
            let cas = decided(seen, named);
            self.uses(seen, issuance, &cas);
            self.open.insert(issuance.serial.clone(), cas);
        } else if let Event::RequestIssued { issuance, .. } = seen.entry.event() {
            let cas = self.open.remove(&issuance.serial).unwrap_or_default();
            self.issued(seen, issuance, &cas);
        } else if let Event::IntentAbandoned { issuance, .. } = seen.entry.event() {
            let cas = self.open.remove(&issuance.serial).unwrap_or_default();
            self.uses(seen, issuance, &cas);
        } else if let Event::CaAnnounced {
            ca_sha256,
            predecessor_sha256,
            switch_at,
            answered_until,
        } = seen.entry.event()
        {
            let told = Takeover {
                ca: *ca_sha256,
                predecessor: *predecessor_sha256,
            };
            if let Some(next) = told.hold(seen, named) {
                let (at, end) = (next.switch_at, next.end);
                seen.hold(*switch_at == at, CHECK, "switch_at", at, switch_at);
                let right = *answered_until == end;
                seen.hold(right, CHECK, "answered_until", end, answered_until);
            }
        } else if let Event::CaSwitched {
            ca_sha256,
            predecessor_sha256,
        } = seen.entry.event()
        {
            let told = Takeover {
                ca: *ca_sha256,
                predecessor: *predecessor_sha256,
            };
            if let Some(next) = told.hold(seen, named) {
                let wall_ms = seen.entry.record.draft.moment.wall_ms;
                let earliest = TimestampMillis::from(next.switch_at);
                let right = wall_ms >= earliest - SLACK;
                seen.hold(
                    right,
                    CHECK,
                    "wall_ms",
                    format!("from {earliest} on"),
                    wall_ms,
                );
            }
            let first = self.switched.insert(told.ca);
            seen.hold(
                first,
                CHECK,
                "ca_sha256",
                "a CA that had not taken over",
                told.ca,
            );
        }
    }

    /// After an accepted jump of the clock the next CRL may be older than the last one.
    pub(super) fn forget_times(&mut self) {
        for line in &mut self.lines {
            line.this_update = Timestamp::MIN;
        }
    }

    /// The numbers of a CA's CRLs continue after this one.
    pub(super) fn recovered(&mut self, key_id: &Text, key_sha256: Hash, number: u64) {
        let found = self.lines.iter_mut().find(|line| {
            line.key_sha256 == Some(key_sha256)
                || (line.key_sha256.is_none() && line.key_id == *key_id)
        });
        match found {
            Some(line) => line.crl_number = line.crl_number.max(number),
            None => self.lines.push(Line {
                key_id: key_id.clone(),
                key_sha256: Some(key_sha256),
                used: false,
                crl_number: number,
                this_update: Timestamp::default(),
            }),
        }
    }

    /// The CA key of a CRL with this number.
    pub(super) fn of_crl(
        &mut self,
        seen: &mut Seen<'_>,
        key_id: &Text,
        number: u64,
    ) -> Option<&mut Line> {
        if !self.in_run(seen, key_id, None) {
            return None;
        }
        let at = self.find(key_id, None, Some(number));
        if at.is_none() {
            let wanted = "the key of a CA of the export";
            seen.missing(Check::Intents, "key_id", wanted, key_id);
        }
        self.lines.get_mut(at?)
    }

    /// SHA-256 of the CA key of this CKA_ID, where a certificate tells it.
    pub(super) fn key_of(&self, key_id: &Text) -> Option<Hash> {
        let mut lines = self.lines.iter().rev();
        lines.find(|line| line.key_id == *key_id)?.key_sha256
    }

    /// Whether a certificate has told which CKA_ID this CA key has.
    pub(super) fn is_known(&self, key: &Hash) -> bool {
        let mut lines = self.lines.iter();
        lines.any(|line| line.key_sha256 == Some(*key))
    }

    /// CA keys of the last run: each may have signed a CRL whose record is yet to come.
    pub(super) fn in_last_run(&self) -> u64 {
        self.run.len().max(1) as u64
    }

    fn issued(&mut self, seen: &mut Seen<'_>, issuance: &Issuance, cas: &[Hash]) {
        let Some(certified) = &seen.entry.certificate else {
            return self.uses(seen, issuance, cas);
        };
        let of = certified.issuers.clone();
        if !cas.is_empty() && !of.is_empty() {
            let right = of.iter().any(|ca| cas.contains(ca));
            let wanted = list(cas.iter().copied());
            seen.hold(right, CHECK, "issuer", wanted, list(of.iter().copied()));
        }
        self.uses(seen, issuance, &of);
    }

    /// A CA key is used in a run; `cas` are certificates that it may be of.
    fn uses(&mut self, seen: &mut Seen<'_>, issuance: &Issuance, cas: &[Hash]) {
        let mut keys = cas.iter().map(|ca| self.issuers.of_sha256(ca));
        let first = keys.next().flatten().map(|issuer| issuer.key_sha256);
        let same = keys.all(|issuer| issuer.map(|issuer| issuer.key_sha256) == first);
        let key = first.filter(|_| same);
        let key_id = &issuance.key_id;
        if !self.in_run(seen, key_id, key) || key.is_none() {
            return;
        }
        match self
            .find(key_id, key, None)
            .and_then(|at| self.lines.get_mut(at))
        {
            Some(line) => line.key_sha256 = key,
            None => {
                let wanted = "the key of a CA of the export";
                seen.missing(Check::Intents, "key_id", wanted, key_id);
            }
        }
    }

    /// Each CA has one key id in a run, and a key id is of one CA.
    fn in_run(&mut self, seen: &mut Seen<'_>, key_id: &Text, key: Option<Hash>) -> bool {
        let most = self.issuers.keys().clamp(1, AT_A_TIME);
        let bound = self.run.get(key_id).copied();
        let other = self
            .run
            .iter()
            .any(|(id, of)| id != key_id && of.is_some() && *of == key);
        let right = match bound {
            None => self.run.len() < most && !other,
            Some(bound) => !other && (bound.is_none() || key.is_none() || bound == key),
        };
        let known: Vec<&str> = self.run.keys().map(Text::as_str).collect();
        let wanted = if known.is_empty() {
            "the key of a CA".to_owned()
        } else {
            format!("{}, each for one CA", known.join(" or "))
        };
        seen.hold(right, Check::Intents, "key_id", wanted, key_id);
        if right {
            let bound = self.run.entry(key_id.clone()).or_default();
            *bound = bound.or(key);
        }
        right
    }

    /// Where the key stands among all; `crl` is the number of a CRL that it signed. From one run to the next a key may have
    /// moved to a token that knows it by another id: it is then told by its certificates, or by the number of its CRL.
    fn find(&mut self, key_id: &Text, key: Option<Hash>, crl: Option<u64>) -> Option<usize> {
        let room = self.lines.len() < self.issuers.keys().max(1);
        let fits = |line: &Line| key.is_none() || line.key_sha256.is_none_or(|it| Some(it) == key);
        let free = |line: &Line| !line.used && fits(line);
        let known = |line: &Line| line.key_id == *key_id && fits(line);
        let told = |line: &Line| free(line) && key.is_some() && line.key_sha256 == key;
        let next = |line: &Line| {
            let next = line.crl_number.saturating_add(1);
            free(line) && next > 1 && crl == Some(next)
        };
        let lines = &self.lines;
        let found = lines
            .iter()
            .position(known)
            .or_else(|| lines.iter().position(told))
            .or_else(|| lines.iter().position(next))
            .or_else(|| lines.iter().position(|line| !room && free(line)));
        let at = match found {
            Some(at) => at,
            None if room => {
                self.lines.push(Line {
                    key_id: key_id.clone(),
                    key_sha256: key,
                    used: false,
                    crl_number: 0,
                    this_update: Timestamp::default(),
                });
                self.lines.len() - 1
            }
            None => return None,
        };
        let line = self.lines.get_mut(at)?;
        line.used = true;
        line.key_id = key_id.clone();
        Some(at)
    }
}

impl Takeover {
    /// The version in force names both CAs, the one to take over from the other.
    fn hold(&self, seen: &mut Seen<'_>, named: Option<&Named>) -> Option<Next> {
        let both = named.and_then(|named| Some((named.issuer, named.next?)));
        let Some((issuer, next)) = both else {
            let wanted = "none, as no version in force lets a CA take over";
            let kinds = ["policy.activated"];
            seen.hold_or_lacks(false, CHECK, "ca_sha256", &kinds, wanted, self.ca);
            return None;
        };
        seen.hold(
            self.ca == next.issuer,
            CHECK,
            "ca_sha256",
            next.issuer,
            self.ca,
        );
        let right = self.predecessor == issuer;
        seen.hold(right, CHECK, "predecessor_sha256", issuer, self.predecessor);
        Some(next)
    }
}

/// The CA that an intent was decided under, held to the version in force; those of the version where no evidence tells.
fn decided(seen: &mut Seen<'_>, named: Option<&Named>) -> Vec<Hash> {
    let all: Vec<Hash> = named.map(|named| named.all().collect()).unwrap_or_default();
    let Some(evidence) = seen.entry.evidence() else {
        return all;
    };
    let Verdict::Permit(permitted) = &evidence.verdict else {
        return all;
    };
    let ca = permitted.issuer_sha256;
    let Some(named) = named else {
        return vec![ca];
    };
    let member = "issuer_sha256";
    seen.hold(all.contains(&ca), CHECK, member, list(all.into_iter()), ca);
    if let Some(next) = named.next.filter(|_| ca == named.issuer) {
        let decided = evidence.decided_ms.seconds();
        let right = decided < next.end + SLACK;
        let wanted = format!("before {}, when the next CA is the only one", next.end);
        seen.hold(right, CHECK, "decided_ms", wanted, decided);
    }
    vec![ca]
}

fn list(hashes: impl Iterator<Item = Hash>) -> String {
    let hashes: Vec<String> = hashes.map(|hash| hash.to_string()).collect();
    hashes.join(" or ")
}
