//! What flips: totals by profile, by rule, and the requests themselves.

use assay_decision::Flip;
use serde::Serialize;

use super::replay::{Counts, Flipped, Tally};
use crate::failure::Outcome;
use crate::output::{Output, Row};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    profiles: Vec<ProfileRow>,
    total: ProfileRow,
    rules: Vec<RuleRow>,
    /// The first ones; `total` counts all.
    flips: Vec<FlipRow>,
}

#[derive(Debug, Serialize)]
struct ProfileRow {
    profile: String,
    requests: u64,
    unchanged: u64,
    to_allowed: u64,
    to_refused: u64,
    approval_added: u64,
    approval_dropped: u64,
    other_rule: u64,
}

#[derive(Debug, Serialize)]
struct RuleRow {
    profile: String,
    flip: &'static str,
    rule: String,
    requests: u64,
}

#[derive(Debug, Serialize)]
struct FlipRow {
    sequence: u64,
    decided_at: String,
    profile: String,
    flip: &'static str,
    /// The rule that refused then; null where none did.
    rule_then: Option<String>,
    /// The rule that would refuse; null where none would.
    rule_now: Option<String>,
    /// Of what authorised it; of a static challenge the inventory's name.
    subject: String,
    sans: Vec<String>,
    detail: String,
}

impl Report {
    pub(super) fn of(tally: &Tally) -> Self {
        let profiles = tally.profiles.iter();
        Self {
            profiles: profiles
                .map(|(profile, counts)| ProfileRow::of(profile, *counts))
                .collect(),
            total: ProfileRow::of("total", tally.total()),
            rules: tally
                .rules
                .iter()
                .map(|((profile, flip, rule), requests)| RuleRow {
                    profile: profile.clone(),
                    flip: word(*flip),
                    rule: rule.clone(),
                    requests: *requests,
                })
                .collect(),
            flips: tally.flipped.iter().map(FlipRow::from).collect(),
        }
    }

    pub(super) fn requests(&self) -> usize {
        usize::try_from(self.total.requests).unwrap_or(usize::MAX)
    }

    /// Requests a second.
    pub(super) fn rate(&self, seconds: f64) -> f64 {
        let requests = u32::try_from(self.total.requests).unwrap_or(u32::MAX);
        f64::from(requests) / seconds.max(f64::EPSILON)
    }

    pub(super) fn print(&self, out: Output) -> Outcome {
        if out.is_json() {
            return out.json(self);
        }
        let Self {
            profiles,
            total,
            rules,
            flips,
        } = self;
        let rows: Vec<&ProfileRow> = profiles.iter().chain([total]).collect();
        out.table(&rows)?;
        out.line("")?;
        if rules.is_empty() {
            return out.line("nothing flips");
        }
        out.table(rules)?;
        if flips.is_empty() {
            return Ok(());
        }
        out.line("")?;
        out.table(flips)?;
        let all = total.requests.saturating_sub(total.unchanged);
        let shown = flips.len() as u64;
        if shown < all {
            out.line(&format!("and {} more; --flips N lists N", all - shown))?;
        }
        Ok(())
    }
}

fn word(flip: Flip) -> &'static str {
    match flip {
        Flip::ToAllowed => "to allowed",
        Flip::ToRefused => "to refused",
        Flip::ApprovalAdded => "approval added",
        Flip::ApprovalDropped => "approval dropped",
        Flip::OtherRule => "other rule",
    }
}

impl ProfileRow {
    fn of(profile: &str, counts: Counts) -> Self {
        let unchanged = counts.unchanged();
        let Counts {
            requests,
            to_allowed,
            to_refused,
            approval_added,
            approval_dropped,
            other_rule,
        } = counts;
        Self {
            profile: profile.to_owned(),
            requests,
            unchanged,
            to_allowed,
            to_refused,
            approval_added,
            approval_dropped,
            other_rule,
        }
    }
}

impl Row for &ProfileRow {
    const HEADERS: &'static [&'static str] = &[
        "PROFILE",
        "REQUESTS",
        "UNCHANGED",
        "TO ALLOWED",
        "TO REFUSED",
        "APPROVAL ADDED",
        "APPROVAL DROPPED",
        "OTHER RULE",
    ];

    fn cells(&self) -> Vec<String> {
        let counts = [
            self.requests,
            self.unchanged,
            self.to_allowed,
            self.to_refused,
            self.approval_added,
            self.approval_dropped,
            self.other_rule,
        ];
        let counts = counts.iter().map(ToString::to_string);
        [self.profile.clone()].into_iter().chain(counts).collect()
    }
}

impl Row for RuleRow {
    const HEADERS: &'static [&'static str] = &["PROFILE", "FLIP", "RULE", "REQUESTS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.profile.clone(),
            self.flip.to_owned(),
            self.rule.clone(),
            self.requests.to_string(),
        ]
    }
}

impl From<&Flipped> for FlipRow {
    fn from(flipped: &Flipped) -> Self {
        let Flipped {
            sequence,
            decided_ms,
            profile,
            flip,
            subject,
            sans,
            rule_then,
            rule_now,
            detail,
        } = flipped;
        Self {
            sequence: *sequence,
            decided_at: decided_ms.seconds().to_string(),
            profile: profile.clone(),
            flip: word(*flip),
            rule_then: rule_then.clone(),
            rule_now: rule_now.clone(),
            subject: subject.clone(),
            sans: sans.clone(),
            detail: detail.clone(),
        }
    }
}

impl Row for FlipRow {
    const HEADERS: &'static [&'static str] = &[
        "RECORD", "DECIDED", "PROFILE", "FLIP", "THEN", "NOW", "SUBJECT", "SANS", "WHY",
    ];

    fn cells(&self) -> Vec<String> {
        let rule = |rule: &Option<String>| rule.clone().unwrap_or_else(|| "permitted".to_owned());
        vec![
            self.sequence.to_string(),
            self.decided_at.clone(),
            self.profile.clone(),
            self.flip.to_owned(),
            rule(&self.rule_then),
            rule(&self.rule_now),
            self.subject.clone(),
            self.sans.join(" "),
            self.detail.clone(),
        ]
    }
}
