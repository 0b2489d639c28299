//! What flips: totals by profile, by rule, and the requests themselves.

use assay_console::failure::Outcome;
use assay_console::output::{Column, Output};
use serde::Serialize;

use super::replay::{Counts, Flipped, Tally, word};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    profiles: Vec<ProfileRow>,
    total: ProfileRow,
    rules: Vec<RuleRow>,
    /// The first ones; `total` counts all.
    flips: Vec<Flipped>,
}

#[derive(Debug, Serialize)]
struct ProfileRow {
    profile: String,
    unchanged: u64,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Serialize)]
struct RuleRow {
    profile: String,
    flip: &'static str,
    rule: String,
    requests: u64,
}

impl Report {
    pub(super) fn of(tally: Tally) -> Self {
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
            flips: tally.flipped,
        }
    }

    pub(super) fn requests(&self) -> usize {
        usize::try_from(self.total.counts.requests).unwrap_or(usize::MAX)
    }

    /// Requests a second.
    pub(super) fn rate(&self, seconds: f64) -> f64 {
        let requests = u32::try_from(self.total.counts.requests).unwrap_or(u32::MAX);
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
        let all = total.counts.requests.saturating_sub(total.unchanged);
        let shown = flips.len() as u64;
        if shown < all {
            out.line(&format!("and {} more; --flips N lists N", all - shown))?;
        }
        Ok(())
    }
}

impl ProfileRow {
    fn of(profile: &str, counts: Counts) -> Self {
        Self {
            profile: profile.to_owned(),
            unchanged: counts.unchanged(),
            counts,
        }
    }
}

const PROFILE_COLUMNS: &[Column<ProfileRow>] = &[
    ("PROFILE", |row| row.profile.clone()),
    ("REQUESTS", |row| row.counts.requests.to_string()),
    ("UNCHANGED", |row| row.unchanged.to_string()),
    ("TO ALLOWED", |row| row.counts.to_allowed.to_string()),
    ("TO REFUSED", |row| row.counts.to_refused.to_string()),
    ("APPROVAL ADDED", |row| {
        row.counts.approval_added.to_string()
    }),
    ("APPROVAL DROPPED", |row| {
        row.counts.approval_dropped.to_string()
    }),
    ("OTHER RULE", |row| row.counts.other_rule.to_string()),
];

const RULE_COLUMNS: &[Column<RuleRow>] = &[
    ("PROFILE", |row| row.profile.clone()),
    ("FLIP", |row| row.flip.to_owned()),
    ("RULE", |row| row.rule.clone()),
    ("REQUESTS", |row| row.requests.to_string()),
];

const FLIP_COLUMNS: &[Column<Flipped>] = &[
    ("RECORD", |row| row.sequence.to_string()),
    ("DECIDED", |row| row.decided_at.clone()),
    ("PROFILE", |row| row.profile.clone()),
    ("FLIP", |row| word(row.flip).to_owned()),
    ("THEN", |row| rule(row.rule_then.as_deref())),
    ("NOW", |row| rule(row.rule_now.as_deref())),
    ("SUBJECT", |row| row.subject.clone()),
    ("SANS", |row| row.sans.join(" ")),
    ("WHY", |row| row.detail.clone()),
];

fn rule(refused: Option<&str>) -> String {
    refused.unwrap_or("permitted").to_owned()
}
