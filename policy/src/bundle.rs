//! A set of policy files that comes into force as one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use assay_types::Hash;
use sha2::{Digest, Sha256};

use crate::load::{self, LoadError, LoadRule};
use crate::profile::{Profile, ProfileName};

/// Most profiles in one bundle: bounds the work of loading one sent over the network.
const MAX_FILES: usize = 256;
/// Largest policy file in bytes; the examples have 2,000.
pub(crate) const MAX_FILE: usize = 256 * 1024;
const EXTENSION: &str = "toml";

/// The profiles in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    profiles: BTreeMap<ProfileName, Profile>,
    file_hash: Hash,
    model_hash: Hash,
}

/// A policy file: `NAME.toml` holds the profile NAME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// File name without directory.
    pub name: String,
    /// Bytes as read.
    pub content: Vec<u8>,
}

/// A directory of policy files cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory or a file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file name is not UTF-8.
    #[error("{path}: a policy file is named NAME.toml in lowercase ASCII")]
    Name {
        /// Which.
        path: PathBuf,
    },
}

impl Bundle {
    /// Loads a bundle or says everything that is wrong with it, by file, line and column.
    ///
    /// # Errors
    /// Every [`LoadError`], in order.
    pub fn load(files: &[PolicyFile]) -> Result<Self, Vec<LoadError>> {
        if files.is_empty() || files.len() > MAX_FILES {
            let problem = format!(
                "a bundle has 1 to {MAX_FILES} files NAME.toml, got {}",
                files.len()
            );
            return Err(vec![LoadError::of_file(
                "bundle",
                LoadRule::Bundle,
                problem,
            )]);
        }
        let mut errors = Vec::new();
        let mut profiles = BTreeMap::new();
        for file in files {
            match load::profile(file) {
                Ok(profile) => {
                    if profiles.insert(profile.name().clone(), profile).is_some() {
                        let problem =
                            "the bundle holds this file twice; a profile has one file".to_owned();
                        errors.push(LoadError::of_file(&file.name, LoadRule::Bundle, problem));
                    }
                }
                Err(mut found) => errors.append(&mut found),
            }
        }
        errors.extend(second_default(&profiles));
        if !errors.is_empty() {
            errors.sort_by(|a, b| a.position().cmp(&b.position()));
            return Err(errors);
        }
        let model_hash = model_hash(&profiles);
        Ok(Self {
            profiles,
            file_hash: file_hash(files),
            model_hash,
        })
    }

    /// Every profile by name.
    pub fn profiles(&self) -> &BTreeMap<ProfileName, Profile> {
        &self.profiles
    }

    /// SHA-256 over names and bytes of the files, by name.
    pub fn file_hash(&self) -> Hash {
        self.file_hash
    }

    /// SHA-256 over the canonical model of every profile, by name: the same for files that mean the same.
    pub fn model_hash(&self) -> Hash {
        self.model_hash
    }

    /// Reads every `*.toml` of a directory, by name; other files are left alone.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_dir(directory: &Path) -> Result<Vec<PolicyFile>, ReadError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ReadError::Io { path, source }
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed(directory))? {
            let path = entry.map_err(failed(directory))?.path();
            if path
                .extension()
                .is_none_or(|extension| extension != EXTENSION)
            {
                continue;
            }
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name
                .ok_or_else(|| ReadError::Name { path: path.clone() })?
                .to_owned();
            let content = fs::read(&path).map_err(failed(&path))?;
            files.push(PolicyFile { name, content });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// A profile by name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// The profile for SCEP paths that name none.
    pub fn default_profile(&self) -> Option<&Profile> {
        self.profiles.values().find(|profile| profile.is_default())
    }
}

impl PolicyFile {
    /// The profile that the file's name stands for.
    pub(crate) fn profile_name(&self) -> Option<ProfileName> {
        self.name
            .strip_suffix(EXTENSION)
            .and_then(|stem| stem.strip_suffix('.'))
            .and_then(ProfileName::parse)
    }
}

fn second_default(profiles: &BTreeMap<ProfileName, Profile>) -> Option<LoadError> {
    let mut defaults = profiles.values().filter(|profile| profile.is_default());
    let (first, second) = (defaults.next()?, defaults.next()?);
    let problem = format!(
        "default = true is also in {}.{EXTENSION}; one profile at most is the default",
        first.name()
    );
    Some(LoadError::of_file(
        &format!("{}.{EXTENSION}", second.name()),
        LoadRule::Bundle,
        problem,
    ))
}

fn file_hash(files: &[PolicyFile]) -> Hash {
    let by_name: BTreeMap<&str, &[u8]> = files
        .iter()
        .map(|file| (file.name.as_str(), file.content.as_slice()))
        .collect();
    let mut hasher = Sha256::new();
    for (name, content) in by_name {
        for part in [name.as_bytes(), content] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    hasher.into()
}

fn model_hash(profiles: &BTreeMap<ProfileName, Profile>) -> Hash {
    let mut hasher = Sha256::new();
    for profile in profiles.values() {
        hasher.update(profile.hash.as_bytes());
    }
    hasher.into()
}
