//! Each key of each policy file that ships, deleted, misspelt and written twice: told by name, or its default taken.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

#[path = "../../tests/shared/every_key.rs"]
mod every_key;

use std::path::Path;

use assay_policy::{Bundle, LoadError, LoadRule, PolicyFile};
use assay_types::Hash;
use every_key::{Key, keys};

/// Keys that may be left out, and what a file without them means: what it would say, or nothing where a table or list
/// is not there at all.
const OPTIONAL: &[(&str, Option<&str>)] = &[
    ("default", Some("default = false")),
    ("enrolment.fail_info_text", Some("fail_info_text = false")),
    (
        "enrolment.accept_shared_secret",
        Some("accept_shared_secret = false"),
    ),
    ("renewal.same_key", Some("same_key = false")),
    ("renewal.once", Some("once = false")),
    ("renewal.supersede", Some("supersede = \"keep\"")),
    ("approval.four_eyes", Some("four_eyes = false")),
    ("san[0].add", Some("add = false")),
    ("certificate.name_case", Some("name_case = \"lower\"")),
    ("certificate.policies", Some("policies = []")),
    (
        "certificate.crl_distribution_points",
        Some("crl_distribution_points = []"),
    ),
    ("certificate.ca_issuers", Some("ca_issuers = []")),
    ("quirks.chain_in_reply", Some("chain_in_reply = false")),
    (
        "enrolment.ignored_extensions",
        Some("ignored_extensions = []"),
    ),
    ("quirks.allow_3des", Some("allow_3des = false")),
    ("keys.rsa", None),
    ("keys.curves", None),
    ("san", None),
    ("renewal", None),
    ("approval", None),
    ("quirks", None),
];

/// Those that cannot be left out all the same where another key of the file needs them: the file, or every file but
/// one, and what is told.
const NEEDED: &[(&str, &str, &str)] = &[
    (
        "!tls-server.toml",
        "keys.rsa",
        "no key is allowed; wanted rsa, curves or both",
    ),
    ("tls-server.toml", "san", "an empty subject needs a [[san]]"),
    (
        "wifi-device.toml",
        "renewal.supersede",
        "revoke_after belongs to supersede = \"revoke\"",
    ),
];

fn shipped() -> Vec<PolicyFile> {
    let read = |directory: &str| {
        Bundle::read_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap()
    };
    let files: Vec<PolicyFile> = [read("demo"), read("examples")].concat();
    assert_eq!(files.len(), 7);
    files
}

fn load(name: &str, text: &str) -> Result<Hash, Vec<LoadError>> {
    Bundle::load(&[PolicyFile {
        name: name.to_owned(),
        content: text.as_bytes().to_vec(),
    }])
    .map(|bundle| bundle.model_hash())
}

/// Of every key of every file.
fn each(check: impl Fn(&str, &str, &Key) -> Result<(), String>) {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for file in shipped() {
        let text = String::from_utf8(file.content).unwrap();
        for key in keys(&text) {
            checked += 1;
            if let Err(problem) = check(&file.name, &text, &key) {
                wrong.push(format!("{} {}: {problem}", file.name, key.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 200, "{checked} keys");
}

#[test]
fn a_key_that_is_deleted_is_named_or_has_its_documented_default() {
    each(|file, text, key| {
        let loaded = load(file, &key.deleted(text));
        let needed = NEEDED.iter().find(|(name, path, _)| {
            let is_meant = match name.strip_prefix('!') {
                Some(but) => but != file,
                None => *name == file,
            };
            is_meant && *path == key.path
        });
        let optional = OPTIONAL.iter().find(|(path, _)| *path == key.path);
        match (loaded, optional, needed) {
            (Err(errors), _, Some((_, _, told))) => named(&errors, told),
            (Err(errors), None, None) => named(&errors, &key.name),
            (Ok(_), Some((_, None)), None) => Ok(()),
            (Ok(model), Some((_, Some(said))), None) => {
                let written = key.deleted(text);
                let written = with_line(&written, &key.path, said);
                let same = load(file, &written).map_err(|errors| format!("{errors:?}"))?;
                (model == same)
                    .then_some(())
                    .ok_or_else(|| format!("does not mean `{said}`"))
            }
            (loaded, _, _) => Err(format!("{loaded:?}")),
        }
    });
}

/// A line in the table of a key: after its header, or at the top.
fn with_line(text: &str, path: &str, line: &str) -> String {
    match path.rsplit_once('.') {
        Some((table, _)) => {
            let header = match table.strip_suffix("[0]") {
                Some(list) => format!("[[{list}]]\n"),
                None => format!("[{table}]\n"),
            };
            text.replacen(&header, &format!("{header}{line}\n"), 1)
        }
        None => format!("{line}\n{text}"),
    }
}

fn named(errors: &[LoadError], name: &str) -> Result<(), String> {
    let told = |error: &LoadError| error.key().contains(name) || error.problem().contains(name);
    if errors.iter().any(told) {
        Ok(())
    } else {
        Err(format!("not named: {errors:?}"))
    }
}

#[test]
fn a_key_that_is_misspelt_is_named_as_it_is_written() {
    each(|file, text, key| {
        let (text, wrong) = key.misspelt(text);
        let errors = load(file, &text).err().ok_or("loaded")?;
        let told = |error: &LoadError| {
            error.rule() == LoadRule::UnknownKey && error.key().ends_with(&wrong)
        };
        let place = |error: &LoadError| error.line_column().is_some();
        if errors.iter().any(|error| told(error) && place(error)) {
            Ok(())
        } else {
            Err(format!("{errors:?}"))
        }
    });
}

#[test]
fn a_key_that_is_there_twice_is_named_with_its_second_place() {
    each(|file, text, key| {
        let (text, line) = key.twice(text);
        let errors = load(file, &text).err().ok_or("loaded")?;
        let told = errors.iter().any(|error| {
            error.rule() == LoadRule::Syntax
                && error.key() == key.name
                && error.line_column().is_some_and(|(at, _)| at >= line)
        });
        if told {
            Ok(())
        } else {
            Err(format!("line {line}: {errors:?}"))
        }
    });
}
