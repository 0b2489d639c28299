//! What differs between two versions of a policy, by meaning.
//!
//! Each setting of the canonical model that differs ([`Profile::settings`]) is described by a line in the words that
//! [`table::TABLE`] has for it. A setting that no such line describes is listed by its path: no difference is left out.

mod names;
mod parts;
mod proposals;
mod table;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

pub use proposals::diff_proposals;

use crate::bundle::Bundle;
use crate::describe;
use crate::profile::{Profile, ProfileName};
use words::Words;

crate::algorithm::words! {
    /// What a change does to what a profile permits.
    Effect {
        /// What was refused is permitted.
        NewlyPermitted = "newly permitted",
        /// What was permitted is refused.
        NoLongerPermitted = "no longer permitted",
        /// Neither of the two, or both.
        Changed = "changed",
    }
}

crate::algorithm::words! {
    /// Which way a change leads.
    Bearing {
        /// More is permitted, or for longer.
        More = "more permissive",
        /// Less is permitted, or for a shorter time.
        Less = "less permissive",
        /// It cannot be said.
        Neither = "neither",
    }
}

/// One difference between two versions of a profile, or between two proposals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The profile; `None` where it is of the proposal itself.
    pub profile: Option<ProfileName>,
    /// The settings of the canonical model, or the keys of the proposal, that it is about, sorted.
    pub paths: Vec<String>,
    /// What it does.
    pub effect: Effect,
    /// Which way it leads.
    pub bearing: Bearing,
    /// What is permitted, no longer permitted, or from what to what it changed.
    pub what: String,
}

/// `profile wifi: validity raised from 365 to 400 days (changed, more permissive)`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            profile,
            paths: _,
            effect,
            bearing,
            what,
        } = self;
        match profile {
            Some(profile) => write!(f, "profile {profile}: {what} ")?,
            None => write!(f, "proposal: {what} ")?,
        }
        match (effect, bearing) {
            (Effect::NewlyPermitted | Effect::NoLongerPermitted, _) => write!(f, "{effect}"),
            (Effect::Changed, Bearing::Neither) => write!(f, "({effect})"),
            (Effect::Changed, Bearing::More | Bearing::Less) => write!(f, "({effect}, {bearing})"),
        }
    }
}

/// Every difference between two versions, by profile; empty where they mean the same.
pub fn diff(old: &Bundle, new: &Bundle) -> Vec<Change> {
    let names: BTreeSet<&ProfileName> =
        old.profiles().keys().chain(new.profiles().keys()).collect();
    names
        .into_iter()
        .flat_map(
            |name| match (old.profiles().get(name), new.profiles().get(name)) {
                (Some(old), Some(new)) => diff_profiles(old, new),
                (Some(old), None) => vec![whole(old, DiffLine::no_longer(describe::grant(old)))],
                (None, Some(new)) => vec![whole(new, DiffLine::newly(describe::grant(new)))],
                (None, None) => Vec::new(),
            },
        )
        .collect()
}

/// Every difference between two profiles, whatever their names.
pub fn diff_profiles(old: &Profile, new: &Profile) -> Vec<Change> {
    let mut found = Differences::between(Some(&new.name), old.settings(), new.settings());
    for (path, field, words) in table::TABLE {
        if let Words::Parts(describe) = words {
            describe(old, new, &mut found);
        } else {
            found.setting(path, field, words);
        }
    }
    found.finish()
}

fn whole(profile: &Profile, line: DiffLine) -> Change {
    let paths = profile.settings().into_keys().collect();
    line.change(Some(&profile.name), paths)
}

/// A difference in the words of a field.
struct DiffLine {
    effect: Effect,
    bearing: Bearing,
    what: String,
}

impl DiffLine {
    fn newly(what: impl Into<String>) -> Self {
        Self {
            effect: Effect::NewlyPermitted,
            bearing: Bearing::More,
            what: what.into(),
        }
    }

    fn no_longer(what: impl Into<String>) -> Self {
        Self {
            effect: Effect::NoLongerPermitted,
            bearing: Bearing::Less,
            what: what.into(),
        }
    }

    /// Newly permitted where it `is`, else no longer.
    fn switched(is: bool, what: impl Into<String>) -> Self {
        if is {
            Self::newly(what)
        } else {
            Self::no_longer(what)
        }
    }

    fn changed(bearing: Bearing, what: impl Into<String>) -> Self {
        Self {
            effect: Effect::Changed,
            bearing,
            what: what.into(),
        }
    }

    fn from_to(field: &str, old: &impl fmt::Display, new: &impl fmt::Display) -> Self {
        Self::changed(Bearing::Neither, format!("{field} from {old} to {new}"))
    }

    fn change(self, profile: Option<&ProfileName>, paths: Vec<String>) -> Change {
        let Self {
            effect,
            bearing,
            what,
        } = self;
        Change {
            profile: profile.cloned(),
            paths,
            effect,
            bearing,
            what,
        }
    }
}

type Before = Option<Value>;
type After = Option<Value>;

/// The settings that differ, and the lines that describe them.
struct Differences {
    profile: Option<ProfileName>,
    /// Those that no line describes yet.
    open: BTreeMap<String, (Before, After)>,
    changes: Vec<Change>,
}

impl Differences {
    fn between(
        profile: Option<&ProfileName>,
        mut before: BTreeMap<String, Value>,
        after: BTreeMap<String, Value>,
    ) -> Self {
        let mut open = BTreeMap::new();
        for (path, value) in after {
            let earlier = before.remove(&path);
            if earlier.as_ref() != Some(&value) {
                open.insert(path, (earlier, Some(value)));
            }
        }
        for (path, value) in before {
            open.insert(path, (Some(value), None));
        }
        Self {
            profile: profile.cloned(),
            open,
            changes: Vec::new(),
        }
    }

    /// Takes what `words` say of one setting, if it is in both versions and differs.
    fn setting(&mut self, path: &str, field: &str, words: &Words) {
        if let Some((Some(old), Some(new))) = self.open.get(path) {
            let lines = words.lines(field, old, new);
            self.about(&[path], || lines);
        }
    }

    /// Takes a part that one of the versions lacks: what it permits is gained or lost.
    fn part(&mut self, path: &str, old: Option<String>, new: Option<String>) {
        let line = match (old, new) {
            (Some(gone), None) => DiffLine::no_longer(gone),
            (None, Some(come)) => DiffLine::newly(come),
            (Some(_), Some(_)) | (None, None) => return,
        };
        self.about(&[path], || vec![line]);
    }

    /// Takes the lines of `describe` for `paths` and those below them, if any of them differs. Without a line they stay
    /// open.
    fn about(&mut self, paths: &[&str], describe: impl FnOnce() -> Vec<DiffLine>) {
        let concerned: Vec<String> = self
            .open
            .keys()
            .filter(|open| paths.iter().any(|path| is_at_or_below(open, path)))
            .cloned()
            .collect();
        if concerned.is_empty() {
            return;
        }
        let lines = describe();
        if lines.is_empty() {
            return;
        }
        for path in &concerned {
            self.open.remove(path);
        }
        for line in lines {
            self.changes
                .push(line.change(self.profile.as_ref(), concerned.clone()));
        }
    }

    /// The lines so far, and the rest by path.
    fn finish(mut self) -> Vec<Change> {
        for (path, (old, new)) in self.open {
            let shown =
                |value: Option<Value>| value.map_or("unset".to_owned(), |it| it.to_string());
            let line = DiffLine::from_to(&path, &shown(old), &shown(new));
            self.changes
                .push(line.change(self.profile.as_ref(), vec![path]));
        }
        self.changes
    }
}

fn is_at_or_below(open: &str, path: &str) -> bool {
    open.strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(settings: &[(&str, &str, &str)]) -> Differences {
        Differences {
            profile: ProfileName::parse("p"),
            open: settings
                .iter()
                .map(|(path, old, new)| {
                    let value = |text: &str| serde_json::from_str(text).ok();
                    ((*path).to_owned(), (value(old), value(new)))
                })
                .collect(),
            changes: Vec::new(),
        }
    }

    fn lines(found: Differences) -> Vec<String> {
        found.finish().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_setting_that_nothing_tells_of_is_told_by_its_path() {
        let mut found = open(&[("later.key", "", "7"), ("gone", "true", "")]);
        found.about(&["later"], Vec::new);
        found.about(&["lat", "other"], || {
            panic!("`lat` is not above `later.key`")
        });
        assert_eq!(
            lines(found),
            [
                "profile p: gone from true to unset (changed)",
                "profile p: later.key from unset to 7 (changed)",
            ]
        );
    }

    #[test]
    fn what_is_told_is_told_once() {
        let mut found = open(&[("keys.curves", "[]", "[\"p256\"]")]);
        found.about(&["keys"], || vec![DiffLine::newly("key type P-256")]);
        found.about(&["keys.curves"], || panic!("it has a line already"));
        assert_eq!(lines(found), ["profile p: key type P-256 newly permitted"]);
    }
}
