//! What flips: totals by profile, by rule, and the requests themselves.

use assay_console::failure::Outcome;
use assay_console::output::{Column, Output};
use assay_decision::Flip;
use serde::Serialize;

use super::replay::{Counts, Flipped, Tally};

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
        out.table(profiles.iter().chain([total]), PROFILE_COLUMNS)?;
        out.line("")?;
        if rules.is_empty() {
            return out.line("nothing flips");
        }
        out.table(rules, RULE_COLUMNS)?;
        if flips.is_empty() {
            return Ok(());
        }
        out.line("")?;
        out.table(flips, FLIP_COLUMNS)?;
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

const PROFILE_COLUMNS: &[Column<ProfileRow>] = &[
    ("PROFILE", |row| row.profile.clone()),
    ("REQUESTS", |row| row.requests.to_string()),
    ("UNCHANGED", |row| row.unchanged.to_string()),
    ("TO ALLOWED", |row| row.to_allowed.to_string()),
    ("TO REFUSED", |row| row.to_refused.to_string()),
    ("APPROVAL ADDED", |row| row.approval_added.to_string()),
    ("APPROVAL DROPPED", |row| row.approval_dropped.to_string()),
    ("OTHER RULE", |row| row.other_rule.to_string()),
];

const RULE_COLUMNS: &[Column<RuleRow>] = &[
    ("PROFILE", |row| row.profile.clone()),
    ("FLIP", |row| row.flip.to_owned()),
    ("RULE", |row| row.rule.clone()),
    ("REQUESTS", |row| row.requests.to_string()),
];

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

const FLIP_COLUMNS: &[Column<FlipRow>] = &[
    ("RECORD", |row| row.sequence.to_string()),
    ("DECIDED", |row| row.decided_at.clone()),
    ("PROFILE", |row| row.profile.clone()),
    ("FLIP", |row| row.flip.to_owned()),
    ("THEN", |row| rule(row.rule_then.as_deref())),
    ("NOW", |row| rule(row.rule_now.as_deref())),
    ("SUBJECT", |row| row.subject.clone()),
    ("SANS", |row| row.sans.join(" ")),
    ("WHY", |row| row.detail.clone()),
];

fn rule(refused: Option<&str>) -> String {
    refused.unwrap_or("permitted").to_owned()
}
