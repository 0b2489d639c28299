//! Which version of the policy is in force, and which profiles are stopped.

use std::collections::{BTreeSet, HashMap};

use assay_audit::{Event, RequestClass, Text};
use assay_types::{Hash, Timestamp, TimestampMillis};

use super::Seen;
use super::names::Names;
use crate::Check;
use crate::entry::SLACK;
use crate::layout::Place;
use crate::named::Named;
use crate::report::{Finding, Findings};
use crate::versions::{Version, Versions};

#[derive(Default)]
pub(crate) struct Followed {
    last: Option<Last>,
    /// Model hash of every version that came into force, with the wall time at which the next one did.
    replaced: HashMap<Hash, Option<TimestampMillis>>,
    told: BTreeSet<u64>,
    stopped: BTreeSet<Text>,
    /// The highest number that was ever approved, by what a recovery says.
    floor: u64,
    /// The run, and the version that it has in force: none before the first, or where it was started without.
    run: Option<(Text, Option<Hash>)>,
}

struct Last {
    number: u64,
    sha256: Option<Hash>,
    model: Hash,
    expires: Timestamp,
}

impl Followed {
    pub(super) fn take(&mut self, seen: &mut Seen<'_>, versions: &Versions, names: &Names<'_>) {
        if let Event::PolicyActivated { .. } = seen.entry.event() {
            self.activated(seen, versions, names);
        } else if let Event::StateRecovered { policy_floor, .. } = seen.entry.event() {
            self.floor = *policy_floor;
            let told = self.told.iter().filter_map(|number| versions.get(*number));
            let profiles = told.flat_map(|version| version.bundle.profiles().keys());
            self.stopped
                .extend(profiles.map(|name| Text::from(name.as_str())));
        }
        self.in_run(seen);
        self.in_force(seen, versions);
        if let Event::ProfileStopped { profile, .. } = seen.entry.event() {
            let new = self.stopped.insert(profile.clone());
            seen.hold(new, Check::Stops, "profile", "one that issues", profile);
        }
        if let Event::IntentOpened { request, .. } = seen.entry.event() {
            let profile = request.profile.clone().unwrap_or_default();
            let stopped = self.stopped.contains(&profile);
            let got = format!("`{profile}`, which was stopped");
            seen.hold(!stopped, Check::Stops, "profile", "one that issues", got);
        }
    }

    /// The CAs of the version in force.
    pub(super) fn named<'v>(&self, versions: &'v Versions) -> Option<&'v Named> {
        let version = versions.get(self.last.as_ref()?.number)?;
        Some(&version.named)
    }

    pub(super) fn finish(&self, versions: &Versions, findings: &mut Findings) {
        for number in versions.numbers() {
            let got = "no policy.activated record of this number";
            findings.made(Check::Versions);
            if !self.told.contains(&number) {
                let (check, at) = (Check::Versions, &Place::Proposal(number));
                let wanted = "a version that came into force";
                let finding = Finding::new(check, at, "number", wanted, got);
                findings.bad(finding.lacks(&["policy.activated"]));
            }
        }
    }

    fn activated(&mut self, seen: &mut Seen<'_>, versions: &Versions, names: &Names<'_>) {
        let Event::PolicyActivated {
            number,
            model_hash,
            proposal_sha256,
            ..
        } = *seen.entry.event()
        else {
            return;
        };
        let check = Check::Versions;
        let last = self.last.as_ref().map_or(0, |last| last.number);
        let next = last.max(self.floor).saturating_add(1);
        if number > next {
            seen.hold_or_lacks(false, check, "number", &["policy.activated"], next, number);
        } else {
            seen.same(check, "number", &next, &number);
        }
        self.told.insert(number);
        let mut expires = Timestamp::MIN;
        match versions.get(number) {
            None => {
                let wanted = format!("a version {number} in the export, whole and right");
                seen.hold(false, check, "number", wanted, "none");
            }
            Some(version) => {
                expires = version.proposal.expires;
                self.same_as_recorded(seen, version);
                self.approved(seen, version);
                for (profile, head) in &version.proposal.inventories {
                    if !names.had(profile.as_str(), head) {
                        let wanted = format!("a head that the inventory of {profile} had");
                        let kinds = ["inventory.changed"];
                        seen.lacks(check, "proposal_sha256", &kinds, wanted, head);
                    }
                }
            }
        }
        self.resumed(seen, versions.get(number));
        let wall_ms = seen.entry.wall_ms();
        if let Some(last) = &self.last {
            self.replaced.insert(last.model, Some(wall_ms));
        }
        self.replaced.insert(model_hash, None);
        self.last = Some(Last {
            number,
            sha256: proposal_sha256,
            model: model_hash,
            expires,
        });
    }

    fn same_as_recorded(&self, seen: &mut Seen<'_>, version: &Version) {
        let Event::PolicyActivated {
            file_hash,
            model_hash,
            profiles,
            proposal_sha256,
            ..
        } = seen.entry.event()
        else {
            return;
        };
        let check = Check::Versions;
        let bundle = &version.bundle;
        seen.same(check, "file_hash", &bundle.file_hash(), file_hash);
        seen.same(check, "model_hash", &bundle.model_hash(), model_hash);
        seen.same(
            check,
            "profiles",
            &(bundle.profiles().len() as u64),
            profiles,
        );
        let shown = |hash: Option<Hash>| hash.map_or("none".to_owned(), |hash| hash.to_string());
        seen.same(
            check,
            "proposal_sha256",
            &shown(Some(version.sha256)),
            &shown(*proposal_sha256),
        );
        let predecessor = self.last.as_ref().and_then(|last| last.sha256);
        seen.same(
            check,
            "predecessor of the proposal",
            &shown(predecessor),
            &shown(version.proposal.predecessor),
        );
    }

    fn approved(&self, seen: &mut Seen<'_>, version: &Version) {
        let Event::PolicyActivated {
            author, approvers, ..
        } = seen.entry.event()
        else {
            return;
        };
        let check = Check::Approvals;
        let (proposal, now) = (&version.proposal, seen.entry.wall());
        seen.hold(
            proposal.not_before <= now + SLACK && now < proposal.expires + SLACK,
            check,
            "wall_ms",
            format_args!("from {} until {}", proposal.not_before, proposal.expires),
            now,
        );
        let Some(approved) = &version.approved else {
            return;
        };
        let texts = |people: &[String]| -> Vec<Text> {
            people.iter().map(|name| name.as_str().into()).collect()
        };
        let wanted = Text::from(approved.author());
        let got = author.clone().unwrap_or_default();
        seen.same(check, "author", &wanted, &got);
        let wanted = list(&texts(approved.approvers()));
        seen.same(check, "approvers", &wanted, &list(approvers));
    }

    fn resumed(&mut self, seen: &mut Seen<'_>, version: Option<&Version>) {
        let Event::PolicyActivated { resumed, .. } = seen.entry.event() else {
            return;
        };
        let check = Check::Stops;
        for profile in resumed {
            if !self.stopped.remove(profile) {
                let of = format!("of {profile}");
                seen.absent(check, "resumed", &["profile.stopped"], of);
            }
        }
        if let Some(version) = version {
            let asked: BTreeSet<Text> = version
                .proposal
                .resumes
                .iter()
                .map(|name| name.as_str().into())
                .collect();
            let wanted: Vec<Text> = asked.into_iter().collect();
            seen.same(check, "resumed", &list(&wanted), &list(resumed));
        }
    }

    /// A run keeps the version that it started with until the next one comes into force.
    fn in_run(&mut self, seen: &mut Seen<'_>) {
        let context = &seen.entry.record.draft.context;
        let named = context.policy_hash;
        let sets = matches!(
            seen.entry.event(),
            Event::ServiceStarted { .. } | Event::PolicyActivated { .. }
        );
        let known = self
            .run
            .as_ref()
            .filter(|(boot, _)| *boot == context.boot_id);
        if sets || known.is_none() {
            self.run = Some((context.boot_id.clone(), named));
            return;
        }
        // Other than these, a record is made under the version of its time.
        let free = closes(seen.entry.event())
            || matches!(
                seen.entry.event(),
                Event::RequestMalformed { .. }
                    | Event::RequestsCounted {
                        class: RequestClass::Unverified,
                        ..
                    }
            );
        let Some((_, wanted)) = known.filter(|_| !free) else {
            return;
        };
        let late = named.and_then(|named| self.replaced.get(&named).copied().flatten());
        let late = late.is_some_and(|at| happened(seen) <= at + SLACK);
        let shown = |hash: &Option<Hash>| hash.map_or("none".to_owned(), |it| it.to_string());
        let (right, got) = (named == *wanted || late, shown(&named));
        let wanted = shown(wanted);
        seen.hold(right, Check::InForce, "policy_hash", wanted, got);
    }

    /// A permit is recorded under the newest version only; other records may come a little after the next one.
    fn in_force(&self, seen: &mut Seen<'_>, versions: &Versions) {
        let check = Check::InForce;
        let draft = &seen.entry.record.draft;
        let permits = matches!(draft.event, Event::IntentOpened { .. });
        let Some(named) = draft.context.policy_hash else {
            let needs = permits || closes(&draft.event);
            seen.hold(!needs, check, "policy_hash", "the version in force", "none");
            return;
        };
        if !self.replaced.contains_key(&named) {
            let finding = not_told(seen, versions, &named);
            seen.findings.made(check);
            seen.findings.bad(finding);
        } else if permits || matches!(draft.event, Event::PolicyActivated { .. }) {
            let wanted = self.last.as_ref().map(|last| last.model.to_string());
            let wanted = wanted.unwrap_or_else(|| "no version".to_owned());
            seen.same(check, "policy_hash", &wanted, &named.to_string());
        } else {
            let late = match self.replaced.get(&named) {
                None => false,
                // A certificate is finished under the version that permitted it.
                Some(Some(_)) if closes(&draft.event) => true,
                Some(Some(at)) => happened(seen) <= *at + SLACK,
                Some(None) => true,
            };
            let wanted = "a version that was in force";
            seen.hold(late, check, "policy_hash", wanted, named);
        }
        if permits {
            let expires = self
                .last
                .as_ref()
                .map_or(Timestamp::MIN, |last| last.expires);
            seen.hold(
                seen.entry.wall() < expires + SLACK,
                check,
                "wall_ms",
                format_args!("before {expires}, when the version expired"),
                seen.entry.wall(),
            );
        }
        profile(seen, versions, &named);
    }
}

/// The record names a version that no record brought into force.
fn not_told(seen: &Seen<'_>, versions: &Versions, named: &Hash) -> Finding {
    let of = match versions.of_model(named) {
        Some(version) => format!("of version {} before it", version.number),
        None => format!("of the policy {named} before it"),
    };
    let (check, at) = (Check::InForce, seen.entry.sequence());
    Finding::absent(check, at, "policy_hash", &["policy.activated"], of)
}

/// The profile of a request is one of the version that its record names, unless it was refused for that.
fn profile(seen: &mut Seen<'_>, versions: &Versions, named: &Hash) {
    let named_profile = if let Event::RequestsCounted { profile, .. } = seen.entry.event() {
        profile.as_ref()
    } else {
        let request = seen.entry.request();
        request.and_then(|request| request.profile.as_ref())
    };
    let Some(profile) = named_profile else {
        return;
    };
    if matches!(seen.entry.event(), Event::RequestMalformed { .. }) {
        return;
    }
    let Some(version) = versions.of_model(named) else {
        return;
    };
    let known = version.bundle.profile(profile.as_str()).is_some();
    let wanted = format!("a profile of version {}", version.number);
    seen.hold(known, Check::InForce, "profile", wanted, profile);
}

/// When the record's event was over; a count is written some time after its last request.
fn happened(seen: &Seen<'_>) -> TimestampMillis {
    if let Event::RequestsCounted { to_ms, .. } = seen.entry.event() {
        *to_ms
    } else {
        seen.entry.wall_ms()
    }
}

fn closes(event: &Event) -> bool {
    matches!(
        event,
        Event::RequestIssued { .. }
            | Event::IntentAbandoned { .. }
            | Event::CertificateSuperseded { .. }
    )
}

fn list(items: &[Text]) -> String {
    let items: Vec<&str> = items.iter().map(Text::as_str).collect();
    format!("[{}]", items.join(", "))
}
