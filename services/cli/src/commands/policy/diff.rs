//! `assay policy diff`: what differs between two versions, by meaning.

use std::path::PathBuf;

use assay_console::failure::{Exit, Failure, Outcome};
use assay_console::output::Output;
use assay_policy::{Bearing, Change, Effect, diff, diff_profiles, diff_proposals};
use clap::Args;
use serde::Serialize;

use super::files::{Named, count};

const EXAMPLES: &str = "\
Each line names a profile, what differs, and whether it is newly permitted, no longer permitted or changed. Files that
differ in remarks, order of keys or spelling of durations alone are equal. A proposal is compared with its settings,
issuer, inventories and resumed profiles too, where the other one is a proposal as well. Two single files are compared
as versions of one profile, whatever their names.

Exit code 0 where the two are equal, 1 where they differ, 2 where one of them cannot be read.

Examples:
  The files in force against an edited copy:
    assay policy show 7 -o version-7 && assay policy diff version-7 policy/
  Two versions of one profile:
    assay policy diff wifi.toml wifi-new.toml
  What a proposal would newly permit:
    assay policy diff --json version-7 proposal-8 | jq -r '.changes[] | select(.effect == \"newly permitted\") | .line'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArgs {
    /// The version before: a file PROFILE.toml, a directory of them, or a proposal
    old: PathBuf,

    /// The version after
    new: PathBuf,
}

pub(super) fn run(args: &DiffArgs, out: Output) -> Outcome {
    let unreadable = |failure: Failure| failure.with_exit(Exit::Usage);
    let old = Named::read(&args.old).map_err(unreadable)?;
    let new = Named::read(&args.new).map_err(unreadable)?;
    let differences = Differences::between(&old, &new);
    out.one(&differences, Differences::lines)?;
    if differences.equal {
        Ok(())
    } else {
        Err(Failure::reported(Exit::Failed))
    }
}

/// What differs, in lines that name it.
pub(super) fn changes(old: &Named, new: &Named) -> Vec<Change> {
    let mut changes = match (&old.proposal, &new.proposal) {
        (Some(old), Some(new)) => diff_proposals(old, new),
        (Some(_) | None, None) | (None, Some(_)) => Vec::new(),
    };
    let only = |named: &Named| {
        let mut profiles = named.bundle.profiles().values();
        let first = profiles.next().cloned();
        first.filter(|_| named.is_file && profiles.next().is_none())
    };
    changes.extend(match (only(old), only(new)) {
        (Some(old), Some(new)) => diff_profiles(&old, &new),
        (Some(_) | None, None) | (None, Some(_)) => diff(&old.bundle, &new.bundle),
    });
    changes
}

#[derive(Debug, Serialize)]
struct Differences {
    equal: bool,
    /// Whether the bytes of the files are equal too.
    same_files: bool,
    changes: Vec<ChangeView>,
}

#[derive(Debug, Serialize)]
struct ChangeView {
    /// Null where the difference is of the proposal itself.
    profile: Option<String>,
    effect: &'static str,
    bearing: &'static str,
    what: String,
    /// Of the canonical model.
    paths: Vec<String>,
    line: String,
}

impl Differences {
    fn between(old: &Named, new: &Named) -> Self {
        let changes: Vec<ChangeView> = changes(old, new).iter().map(ChangeView::from).collect();
        Self {
            equal: changes.is_empty(),
            same_files: old.bundle.file_hash() == new.bundle.file_hash(),
            changes,
        }
    }

    fn lines(&self) -> Vec<String> {
        if self.equal {
            let bytes = if self.same_files {
                ""
            } else {
                "; the files differ in form alone"
            };
            return vec![format!("equal{bytes}")];
        }
        let mut lines: Vec<String> = self
            .changes
            .iter()
            .map(|change| change.line.clone())
            .collect();
        let of = |effect: Effect| {
            let changes = self.changes.iter();
            let n = changes
                .filter(|change| change.effect == effect.as_str())
                .count();
            format!("{n} {effect}")
        };
        lines.push(format!(
            "{}: {}",
            count(self.changes.len(), "difference"),
            Effect::ALL
                .iter()
                .map(|effect| of(*effect))
                .collect::<Vec<_>>()
                .join(", ")
        ));
        lines
    }
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> Self {
        let Change {
            profile,
            paths,
            effect,
            bearing,
            what,
        } = change;
        Self {
            profile: profile.as_ref().map(ToString::to_string),
            effect: effect.as_str(),
            bearing: Bearing::as_str(*bearing),
            what: what.clone(),
            paths: paths.clone(),
            line: change.to_string(),
        }
    }
}
