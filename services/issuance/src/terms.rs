//! What this signer holds a version of the policy to: who must have signed it, and what it must say of the signer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use assay_policy::{Approvers, Proposal};
use assay_types::Hash;

use crate::settings::{LimitsConfig, RolloverSettings};

/// Settings of a proposal that approve the next CA.
const NEXT_ISSUER: &str = "rollover.issuer";
const SWITCH_AT: &str = "rollover.switch_at";
const OVERLAP: &str = "rollover.overlap";

/// Read from the configuration; the same for the whole run.
#[derive(Debug)]
pub struct Terms {
    pub(crate) approvers: Approvers,
    /// SHA-256 of the CA's DER certificate.
    issuer: Hash,
    /// Settings that bear on what is issued, by name.
    settings: BTreeMap<String, String>,
}

impl Terms {
    /// `ca` is the DER certificate of the CA.
    pub fn new(
        approvers: Approvers,
        ca: &[u8],
        rollover: Option<&RolloverSettings>,
        limits: &LimitsConfig,
    ) -> Self {
        Self {
            approvers,
            issuer: Hash::of(ca),
            settings: bearing(limits)
                .into_iter()
                .chain(rollover.into_iter().flat_map(next_ca))
                .collect(),
        }
    }

    /// Who may propose and approve.
    pub fn approvers(&self) -> &Approvers {
        &self.approvers
    }

    /// SHA-256 of the CA's DER certificate.
    pub fn issuer(&self) -> &Hash {
        &self.issuer
    }

    /// Settings that bear on what is issued, by name.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Whether a version that was activated before stands under these terms, and if so whether it approves the next CA. It
    /// may say nothing of a next CA, or, before the time that it says has come, something else: that CA is then not taken up
    /// until another version approves it. Past that time what it says stands, until the rollover is finished and the CA
    /// that it let take over is the only one.
    ///
    /// # Errors
    /// All that it says of another signer, a line each.
    pub(crate) fn stands(
        &self,
        proposal: &Proposal,
        now: SystemTime,
    ) -> Result<Approval, Vec<String>> {
        let differences = self.differences(proposal);
        if differences.is_empty() {
            return Ok(self.approval());
        }
        let mut said = proposal.clone();
        if has_switched(proposal, now) {
            let next = proposal.settings.get(NEXT_ISSUER);
            let finished = next == Some(&self.issuer.to_string());
            if !finished || self.approval() == Approval::OfBoth {
                return Err(differences);
            }
            said.issuer = self.issuer;
        }
        let mut own = self.settings.clone();
        for settings in [&mut said.settings, &mut own] {
            settings.retain(|name, _| !is_rollover(name));
        }
        let differences = compare(&self.issuer, &own, &said);
        if differences.is_empty() {
            Ok(Approval::OfTheFirst)
        } else {
            Err(differences)
        }
    }

    /// What a version approves that does not differ.
    pub fn approval(&self) -> Approval {
        if self.settings.contains_key(NEXT_ISSUER) {
            Approval::OfBoth
        } else {
            Approval::OfTheFirst
        }
    }

    /// All that a proposal says of another signer than this one, a line each.
    pub fn differences(&self, proposal: &Proposal) -> Vec<String> {
        compare(&self.issuer, &self.settings, proposal)
    }
}

fn compare(issuer: &Hash, settings: &BTreeMap<String, String>, proposal: &Proposal) -> Vec<String> {
    let mut lines = Vec::new();
    if proposal.issuer != *issuer {
        lines.push(format!(
            "issuer: it is for the CA certificate {}, this signer's is {issuer}",
            proposal.issuer
        ));
    }
    let names = proposal.settings.keys().chain(settings.keys());
    for name in names.collect::<BTreeSet<_>>() {
        let (approved, own) = (proposal.settings.get(name), settings.get(name));
        if approved != own {
            let text = |value: Option<&String>| value.cloned().unwrap_or("nothing".to_owned());
            lines.push(format!(
                "settings.{name}: it says {}, signer.toml says {}",
                text(approved),
                text(own)
            ));
        }
    }
    lines
}

/// What a version of the policy approves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// The CA of `[certificates]` alone.
    OfTheFirst,
    /// The one of `[rollover]` as well, and when it takes over.
    OfBoth,
}

/// Whether the CA that a version lets take over has done so.
fn has_switched(proposal: &Proposal, now: SystemTime) -> bool {
    let switch_at = proposal.settings.get(SWITCH_AT);
    switch_at
        .and_then(|at| humantime::parse_rfc3339(at).ok())
        .is_some_and(|at| at <= now)
}

fn is_rollover(name: &str) -> bool {
    [NEXT_ISSUER, SWITCH_AT, OVERLAP].contains(&name)
}

/// Which CA issues is approved with the profiles, the next one as well as the first.
fn next_ca(rollover: &RolloverSettings) -> [(String, String); 3] {
    let issuer = Hash::of(&rollover.next.certificates.ca).to_string();
    let switch_at = humantime::format_rfc3339_seconds(rollover.switch_at).to_string();
    let overlap = assay_types::duration::text(rollover.overlap);
    [
        (NEXT_ISSUER, issuer),
        (SWITCH_AT, switch_at),
        (OVERLAP, overlap),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// The settings that change what is issued to whom, and so are approved with the profiles:
///
/// - `limits.retransmit_window`: within it an equal CSR of the same key gets the certificate issued before, and no
///   authorisation is looked at again.
/// - `limits.intent_ttl`: how long after its decision a certificate may still be signed.
///
/// The rest of signer.toml says how the service runs: how many requests at a time, by which library, at which addresses,
/// how often a CRL is made. The issuing CA is approved by its certificate, whose key the token proves at start; the RA
/// certificates and the chain go into replies, never into a certificate; the approvers themselves are what approvals are
/// checked by.
fn bearing(limits: &LimitsConfig) -> BTreeMap<String, String> {
    [
        ("limits.retransmit_window", limits.retransmit_window),
        ("limits.intent_ttl", limits.intent_ttl),
    ]
    .into_iter()
    .map(|(name, value)| {
        let text = assay_types::duration::text(value);
        (name.to_owned(), text)
    })
    .collect()
}
