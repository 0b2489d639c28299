//! TOML configuration files whose errors name file, line and key.

mod diagnosis;
pub mod duration;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Larger than any configuration that a person maintains; a device file or a log is refused, not read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads a configuration file into its serde type.
///
/// Relative paths in a configuration are relative to the file's folder: join them to [`Document::folder`].
///
/// # Errors
/// Names the file, and for what the file says also line, column, key and what would be right.
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, ConfigError> {
    Document::read(path)?.parse()
}

/// A configuration file's text, kept so that later checks can still name the line of the key they refuse.
#[derive(Debug, Clone)]
pub struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ConfigError::Read`] where it cannot be read or is larger than 1 MiB or is not UTF-8.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref().to_owned();
        let read = || {
            let mut text = String::new();
            std::fs::File::open(&path)?
                .take(MAX_FILE_BYTES + 1)
                .read_to_string(&mut text)?;
            if text.len() as u64 > MAX_FILE_BYTES {
                return Err(std::io::Error::other("larger than 1 MiB"));
            }
            Ok(text)
        };
        match read() {
            Ok(text) => Ok(Self { path, text }),
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// Wraps text that is already in memory; `path` appears in errors only.
    pub fn from_text(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    /// Deserialises the document. Types should carry `#[serde(deny_unknown_fields)]`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`], with line, column and key.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        diagnosis::parse(&self.path, &self.text)
    }

    /// An error about the value of `key` (dotted, such as `signer.address`), for checks made after parsing.
    pub fn error(&self, key: &str, message: impl fmt::Display) -> ConfigError {
        diagnosis::at_key(&self.path, &self.text, key, &message.to_string())
    }

    /// The text as it was read, for a hash of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the file, against which relative paths in it are resolved.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that is wrong.
    #[error("{}:{position} {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        position: Position,
        /// The key concerned, dotted; empty where the text is not TOML.
        key: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

/// A place in a file, both counted from one. Line zero: the file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from one.
    pub line: usize,
    /// Column in characters, from one.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => Ok(()),
            line => write!(f, "{line}:{}:", self.column),
        }
    }
}
