//! `proposal.toml`: one text for one meaning, so that its hash is the hash of what was meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use assay_types::{Hash, Timestamp};

use super::fields::{Fields, ProposalError};
use crate::profile::ProfileName;
use crate::semantics::Semantics;

/// Largest proposal in bytes: room for an inventory and a resumption for each profile of the largest bundle.
pub const MAX_PROPOSAL: usize = 64 * 1024;
/// Longest change ticket in characters.
pub const MAX_TICKET: usize = 200;
/// Longest name or text of a setting in characters.
const MAX_SETTING: usize = 100;
/// Most settings; the signer has a handful.
const MAX_SETTINGS: usize = 64;
/// Of the form that this module reads and writes.
const FORMAT: u64 = 1;

/// What people sign when they approve a version of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// One more than that of the version in force.
    pub number: u64,
    /// SHA-256 of the proposal of the version in force; `None` where there was none.
    pub predecessor: Option<Hash>,
    /// [`crate::Bundle::file_hash`] of its files.
    pub files: Hash,
    /// [`crate::Bundle::model_hash`] of its files.
    pub model: Hash,
    /// How the files are to be read; [`Proposal::parse`] yields one that this release knows.
    pub semantics: Semantics,
    /// SHA-256 of the issuing CA's DER certificate.
    pub issuer: Hash,
    /// SHA-256 of the HSM service's configuration that goes with it; `None` where it names none. The signer does not look at
    /// it: an auditor compares it with the journal of the HSM service.
    pub hsm_configuration: Option<Hash>,
    /// When it may come into force.
    pub not_before: Timestamp,
    /// When it ceases to be in force.
    pub expires: Timestamp,
    /// The change ticket.
    pub ticket: String,
    /// Profiles that were stopped and are to issue again.
    pub resumes: BTreeSet<ProfileName>,
    /// The signer's settings that bear on what is issued, by name.
    pub settings: BTreeMap<String, String>,
    /// Head of each inventory's chain as it was when the version was proposed.
    pub inventories: BTreeMap<ProfileName, Hash>,
}

impl Proposal {
    /// Reads the one text of a proposal; any other text of the same meaning is refused.
    ///
    /// # Errors
    /// The first key that is missing, unknown or wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProposalError> {
        if bytes.len() > MAX_PROPOSAL {
            return Err(ProposalError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProposalError::NotUtf8)?;
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| ProposalError::Toml(error.to_string()))?;
        let mut fields = Fields::new("", table);
        let format = fields.number("format")?;
        if format != FORMAT {
            return Err(fields.wrong(
                "format",
                format!("this release reads {FORMAT}, got {format}"),
            ));
        }
        let proposal = Self {
            number: fields.number("number")?,
            predecessor: fields.optional_hash("predecessor", "for the first version")?,
            files: fields.hash("files")?,
            model: fields.hash("model")?,
            semantics: semantics(&mut fields)?,
            issuer: fields.hash("issuer")?,
            hsm_configuration: fields.optional_hash("hsm_configuration", "if it names none")?,
            not_before: fields.time("not_before")?,
            expires: fields.time("expires")?,
            ticket: fields.text("ticket")?,
            resumes: fields.profiles("resumes")?,
            settings: fields.table("settings")?.texts()?,
            inventories: fields.table("inventories")?.hashes()?,
        };
        fields.finish()?;
        proposal.check()?;
        if proposal.to_toml() != text {
            return Err(ProposalError::NotCanonical);
        }
        Ok(proposal)
    }

    /// Whether each value is within its bounds; [`Proposal::parse`] yields no other.
    ///
    /// # Errors
    /// The first key that is not.
    pub fn check(&self) -> Result<(), ProposalError> {
        let wrong = |key: &str, wanted: String| ProposalError::Value {
            key: key.to_owned(),
            wanted,
        };
        if self.number == 0 {
            return Err(wrong("number", "1 or more".to_owned()));
        }
        if !plain(&self.ticket, MAX_TICKET) {
            return Err(wrong("ticket", text_bounds(MAX_TICKET)));
        }
        if self.expires <= self.not_before {
            return Err(wrong("expires", "a time after not_before".to_owned()));
        }
        if self.settings.len() > MAX_SETTINGS {
            return Err(wrong(
                "settings",
                format!("at most {MAX_SETTINGS} settings"),
            ));
        }
        for (name, value) in &self.settings {
            if !plain(name, MAX_SETTING) || !plain(value, MAX_SETTING) {
                return Err(wrong(&format!("settings.{name}"), text_bounds(MAX_SETTING)));
            }
        }
        Ok(())
    }

    /// The one text of this proposal.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let predecessor = self.predecessor.map(String::from).unwrap_or_default();
        let hsm_configuration = self.hsm_configuration.map(String::from).unwrap_or_default();
        let resumes: Vec<String> = self
            .resumes
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "format = {FORMAT}\nnumber = {}\npredecessor = \"{predecessor}\"\nfiles = \"{}\"\nmodel = \"{}\"\nsemantics = {}\n\
             issuer = \"{}\"\nhsm_configuration = \"{hsm_configuration}\"\nnot_before = \"{}\"\nexpires = \"{}\"\nticket = \"{}\"\nresumes = [{}]\n\n[settings]\n",
            self.number,
            self.files,
            self.model,
            self.semantics,
            self.issuer,
            self.not_before,
            self.expires,
            self.ticket,
            resumes.join(", "),
        );
        for (name, value) in &self.settings {
            let _ = writeln!(text, "\"{name}\" = \"{value}\"");
        }
        text.push_str("\n[inventories]\n");
        for (profile, head) in &self.inventories {
            let _ = writeln!(text, "\"{profile}\" = \"{head}\"");
        }
        text
    }
}

fn semantics(fields: &mut Fields) -> Result<Semantics, ProposalError> {
    const KEY: &str = "semantics";
    let number = fields.number(KEY)?;
    let known = u32::try_from(number).map(Semantics::new).ok();
    known.filter(|known| known.is_known()).ok_or_else(|| {
        let current = Semantics::CURRENT;
        fields.wrong(KEY, format!("this release decides by {current}, got {number}: use the release that the version is for"))
    })
}

/// Text that stands in a TOML basic string as it is.
pub(super) fn plain(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count())
        && !text
            .chars()
            .any(|c| c.is_control() || matches!(c, '"' | '\\' | '\u{2028}' | '\u{2029}'))
}

fn text_bounds(most: usize) -> String {
    format!("1 to {most} characters without quotes, backslashes and control characters")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "test code")]
mod tests {
    use super::*;

    fn proposal() -> Proposal {
        let name = |text| ProfileName::parse(text).unwrap();
        Proposal {
            number: 3,
            predecessor: Some([1; 32].into()),
            files: [2; 32].into(),
            model: [3; 32].into(),
            semantics: Semantics::CURRENT,
            issuer: [4; 32].into(),
            hsm_configuration: Some([6; 32].into()),
            not_before: Timestamp::from_seconds(1_800_000_000),
            expires: Timestamp::from_seconds(1_900_000_000),
            ticket: "CHG-42: Gerät".to_owned(),
            resumes: [name("devices")].into(),
            settings: [("limits.intent_ttl".to_owned(), "1h".to_owned())].into(),
            inventories: [(name("fleet"), [5; 32].into())].into(),
        }
    }

    #[test]
    fn a_proposal_is_read_back_as_it_was_written() {
        let text = proposal().to_toml();
        assert_eq!(Proposal::parse(text.as_bytes()).unwrap(), proposal());
        let first = Proposal {
            predecessor: None,
            hsm_configuration: None,
            resumes: BTreeSet::new(),
            inventories: BTreeMap::new(),
            ..proposal()
        };
        assert_eq!(Proposal::parse(first.to_toml().as_bytes()).unwrap(), first);
    }

    #[test]
    fn another_text_of_the_same_meaning_is_refused() {
        let text = proposal().to_toml();
        for other in [
            format!("# note\n{text}"),
            format!("{text}\n"),
            text.replace(" = ", "="),
            text.replace("\"limits.intent_ttl\"", "'limits.intent_ttl'"),
            text.replace(
                &hex::encode([2; 32]),
                &hex::encode([0xab; 32]).to_uppercase(),
            ),
            text.replace("00Z\"", "00.000Z\""),
        ] {
            assert_ne!(other, text);
            assert!(Proposal::parse(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn every_key_deleted_misspelt_or_doubled_is_named() {
        let text = proposal().to_toml();
        let mut keys = 0;
        for (index, line) in text.lines().enumerate() {
            let key = match line.split_once(" = ") {
                Some((key, _)) => key.trim_matches('"').to_owned(),
                None => line.trim_matches(['[', ']']).to_owned(),
            };
            if key.is_empty() {
                continue;
            }
            keys += 1;
            let with = |replacement: &str| {
                let lines: Vec<&str> = text
                    .lines()
                    .enumerate()
                    .map(|(at, line)| if at == index { replacement } else { line })
                    .collect();
                Proposal::parse((lines.join("\n") + "\n").as_bytes())
            };
            let misspelt = line.replacen(&key, &format!("{key}x"), 1);
            let doubled = format!("{line}\n{line}");
            // A setting or an inventory of another name is for whoever compares them with the signer's own.
            if !line.starts_with('"') {
                for broken in ["", misspelt.as_str()] {
                    let error = with(broken).unwrap_err().to_string();
                    assert!(error.contains(&key), "{broken}: {error}");
                }
            }
            let error = with(&doubled).unwrap_err().to_string();
            assert!(error.contains(&key), "{doubled}: {error}");
        }
        assert_eq!(keys, 16);
    }

    #[test]
    fn a_version_that_is_to_be_read_in_another_way_is_refused_with_both_numbers() {
        let text = proposal().to_toml();
        for other in ["0", "2", "4294967296"] {
            let text = text.replace("semantics = 1", &format!("semantics = {other}"));
            let error = Proposal::parse(text.as_bytes()).unwrap_err().to_string();
            let told = format!("semantics: wanted this release decides by 1, got {other}");
            assert!(error.contains(&told), "{error}");
        }
    }

    #[test]
    fn values_out_of_bounds_are_named() {
        type Change = fn(&mut Proposal);
        let cases: [(&str, Change); 5] = [
            ("number", |p| p.number = 0),
            ("expires", |p| p.expires = p.not_before),
            ("ticket", |p| p.ticket = String::new()),
            ("ticket", |p| p.ticket = "a\"b".to_owned()),
            ("settings.x", |p| {
                p.settings.insert("x".to_owned(), "\n".to_owned());
            }),
        ];
        for (key, change) in cases {
            let mut changed = proposal();
            change(&mut changed);
            let error = changed.check().unwrap_err().to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
    }
}
