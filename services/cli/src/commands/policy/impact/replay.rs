//! Every recorded request under the draft, on all cores, in bounded memory.

use std::collections::BTreeMap;
use std::thread;

use assay_console::failure::{Failure, Outcome};
use assay_console::progress::Progress;
use assay_decision::{Evidence, Flip, Prospect, Verdict, decide_under};
use assay_policy::{Bundle, Claims, Grant};
use serde::{Serialize, Serializer};

use super::record::{Fault, Line, Records};

/// Lines that a core takes at a time: enough to hide the start of a thread, few enough for memory and progress.
const SHARE: usize = 256;
/// Most cores used.
const MAX_CORES: usize = 64;
/// The rule of a profile that the draft has not.
pub(super) const NO_PROFILE: &str = "no profile";

/// The outcome of the requests of one profile.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) to_allowed: u64,
    pub(super) to_refused: u64,
    pub(super) approval_added: u64,
    pub(super) approval_dropped: u64,
    pub(super) other_rule: u64,
}

impl Counts {
    fn add(&mut self, flip: Option<Flip>) {
        self.requests += 1;
        match flip {
            None => {}
            Some(Flip::ToAllowed) => self.to_allowed += 1,
            Some(Flip::ToRefused) => self.to_refused += 1,
            Some(Flip::ApprovalAdded) => self.approval_added += 1,
            Some(Flip::ApprovalDropped) => self.approval_dropped += 1,
            Some(Flip::OtherRule) => self.other_rule += 1,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            to_allowed: self.to_allowed + other.to_allowed,
            to_refused: self.to_refused + other.to_refused,
            approval_added: self.approval_added + other.approval_added,
            approval_dropped: self.approval_dropped + other.approval_dropped,
            other_rule: self.other_rule + other.other_rule,
        }
    }

    pub(super) fn unchanged(self) -> u64 {
        let Self {
            requests,
            to_allowed,
            to_refused,
            approval_added,
            approval_dropped,
            other_rule,
        } = self;
        let flipped = to_allowed + to_refused + approval_added + approval_dropped + other_rule;
        requests.saturating_sub(flipped)
    }
}

/// A request that fares otherwise.
#[derive(Debug, Serialize)]
pub(super) struct Flipped {
    pub(super) sequence: u64,
    pub(super) decided_at: String,
    pub(super) profile: String,
    #[serde(serialize_with = "as_word")]
    pub(super) flip: Flip,
    /// The rule that refused then; null where none did.
    pub(super) rule_then: Option<String>,
    /// The rule that would refuse; null where none would.
    pub(super) rule_now: Option<String>,
    /// Of what authorised it; of a static challenge the inventory's name.
    pub(super) subject: String,
    pub(super) sans: Vec<String>,
    pub(super) detail: String,
}

fn as_word<S: Serializer>(flip: &Flip, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word(*flip))
}

/// As it is shown.
pub(super) fn word(flip: Flip) -> &'static str {
    match flip {
        Flip::ToAllowed => "to allowed",
        Flip::ToRefused => "to refused",
        Flip::ApprovalAdded => "approval added",
        Flip::ApprovalDropped => "approval dropped",
        Flip::OtherRule => "other rule",
    }
}

impl Flipped {
    /// The rule that the flip is due to.
    pub(super) fn rule(&self) -> String {
        match (&self.flip, &self.rule_then, &self.rule_now) {
            (Flip::ToAllowed, Some(rule), _) | (Flip::ToRefused, _, Some(rule)) => rule.clone(),
            (Flip::OtherRule, Some(then), Some(now)) => format!("{then} > {now}"),
            (Flip::ToAllowed | Flip::ToRefused | Flip::OtherRule, _, _)
            | (Flip::ApprovalAdded | Flip::ApprovalDropped, _, _) => "[approval]".to_owned(),
        }
    }
}

/// The outcome of the replay.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) profiles: BTreeMap<String, Counts>,
    /// By profile, flip and rule.
    pub(super) rules: BTreeMap<(String, Flip, String), u64>,
    /// The first ones, in the order of the records.
    pub(super) flipped: Vec<Flipped>,
}

/// One request, replayed.
struct Replayed {
    profile: String,
    flip: Option<Flipped>,
}

/// Replays all of `records`; keeps the first `most` flips.
pub(super) fn replay(records: &mut Records, draft: &Bundle, most: usize) -> Outcome<Tally> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = cores.min(MAX_CORES);
    let progress = Progress::new("octets replayed:", records.total());
    let mut tally = Tally::default();
    loop {
        let lines = records.next(SHARE * cores)?;
        if lines.is_empty() {
            return Ok(tally);
        }
        for (line, replayed) in lines.iter().zip(on_all_cores(&lines, draft, cores)?) {
            let replayed = replayed.map_err(|fault| records.wrong(line, fault))?;
            tally.add(replayed, most);
        }
        progress.add(lines.iter().map(|line| line.bytes.len() as u64).sum());
    }
}

/// In the order of the lines.
fn on_all_cores(
    lines: &[Line],
    draft: &Bundle,
    cores: usize,
) -> Outcome<Vec<Result<Replayed, Fault>>> {
    let share = lines.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        let shares: Vec<_> = lines
            .chunks(share)
            .map(|lines| {
                scope.spawn(move || {
                    lines
                        .iter()
                        .map(|line| one(line, draft))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(lines.len());
        for share in shares {
            let replayed = share
                .join()
                .map_err(|_| Failure::failed("a thread of the replay ended early"))?;
            all.extend(replayed);
        }
        Ok(all)
    })
}

fn one(line: &Line, draft: &Bundle) -> Result<Replayed, Fault> {
    let (sequence, evidence) = line.parse()?;
    let prospect = decide_under(&evidence, draft)?;
    let flip = prospect
        .flip(&evidence)
        .map(|flip| flipped(sequence, &evidence, &prospect, flip));
    Ok(Replayed {
        profile: evidence.profile,
        flip,
    })
}

fn flipped(sequence: u64, evidence: &Evidence, prospect: &Prospect, flip: Flip) -> Flipped {
    let (subject, sans) = names(evidence.grant.as_ref().map(Grant::claims));
    let rule_then = match &evidence.verdict {
        Verdict::Refusal { rule } => Some(rule.clone()),
        Verdict::Permit(_) | Verdict::Pending => None,
    };
    let (rule_now, detail) = match prospect {
        Prospect::Refusal(refusal) => (Some(refusal.rule.to_string()), refusal.detail.clone()),
        Prospect::NoProfile => (
            Some(NO_PROFILE.to_owned()),
            format!("the draft has no profile {}", evidence.profile),
        ),
        Prospect::Permit | Prospect::Approval => (None, String::new()),
    };
    Flipped {
        sequence,
        decided_at: evidence.decided_ms.seconds().to_string(),
        profile: evidence.profile.clone(),
        flip,
        subject,
        sans,
        rule_then,
        rule_now,
        detail,
    }
}

/// What a request was authorised for: where that is not bound to names the inventory's name.
fn names(claims: Option<&Claims>) -> (String, Vec<String>) {
    let Some(claims) = claims else {
        return Default::default();
    };
    match &claims.names {
        Some(names) => {
            let sans = names.sans.iter().map(ToString::to_string);
            (names.subject.to_string(), sans.collect())
        }
        None => {
            let name = claims.inventory.as_ref().map(|entry| entry.name.clone());
            (name.unwrap_or_default(), Vec::new())
        }
    }
}

impl Tally {
    fn add(&mut self, replayed: Replayed, most: usize) {
        let Replayed { profile, flip } = replayed;
        let counts = self.profiles.entry(profile.clone()).or_default();
        counts.add(flip.as_ref().map(|flipped| flipped.flip));
        let Some(flipped) = flip else { return };
        *self
            .rules
            .entry((profile, flipped.flip, flipped.rule()))
            .or_default() += 1;
        if self.flipped.len() < most {
            self.flipped.push(flipped);
        }
    }

    pub(super) fn total(&self) -> Counts {
        self.profiles
            .values()
            .fold(Counts::default(), |sum, counts| sum.plus(*counts))
    }
}
