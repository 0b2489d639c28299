//! From a policy file to a profile, or to everything that is wrong with the file.

mod algorithms;
mod certificate;
mod error;
mod place;
mod quirks;
mod reader;
mod renewal;
mod sans;
mod sections;
mod subject;
mod value;

pub use error::{LoadError, LoadRule};

use toml::de::DeTable;

use crate::bundle::{MAX_FILE, PolicyFile};
use crate::profile::Profile;
use reader::{Reader, Section};

/// What the parser says of a key that occurs twice.
const DUPLICATE_KEY: &str = "duplicate key";

pub(crate) fn profile(file: &PolicyFile) -> Result<Profile, Vec<LoadError>> {
    let of_file = |problem: &str| {
        vec![LoadError::of_file(
            &file.name,
            LoadRule::Bundle,
            problem.to_owned(),
        )]
    };
    let name = file.profile_name().ok_or_else(|| {
        of_file(
            "a policy file is named NAME.toml, NAME of lowercase letters, digits and inner hyphens",
        )
    })?;
    if file.content.len() > MAX_FILE {
        return Err(of_file("a policy file has at most 256 KiB"));
    }
    let source =
        std::str::from_utf8(&file.content).map_err(|_| of_file("a policy file is UTF-8"))?;
    let mut reader = Reader::new(&file.name, source);
    let (document, faults) = DeTable::parse_recoverable(source);
    if !faults.is_empty() {
        // What a broken file leaves out is not worth a message of its own.
        for fault in faults {
            let span = fault.span().unwrap_or_default();
            // The parser tells the place of a key that occurs twice, not its name.
            let key = match fault.message() {
                DUPLICATE_KEY => source.get(span.clone()).unwrap_or_default(),
                _ => "",
            };
            reader.error(span, key, LoadRule::Syntax, fault.message());
        }
        return Err(reader.into_errors());
    }
    let mut root = Section::root(&document);
    let parts = sections::read(&mut root, &mut reader);
    root.finish(&mut reader);
    let errors = reader.into_errors();
    match parts {
        Some(parts) if errors.is_empty() => parts
            .into_profile(name)
            .map_err(|error| of_file(&error.to_string())),
        Some(_) | None => Err(errors),
    }
}
