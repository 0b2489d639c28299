use assay_types::{CanonicalError, Hash, from_canonical, to_canonical};
use serde::{Deserialize, Serialize};

use super::bundles_of;

/// The `format` member of a manifest.
pub const FORMAT: &str = "assay-export/1";
/// Octets of a manifest: some 500,000 files, those of thirty million records.
pub const MAX_MANIFEST: usize = 64 * 1024 * 1024;

/// What an export holds. It proves nothing: it tells a damaged or incomplete copy at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// Records of the log, held or not: the size of the checkpoint.
    pub size: u64,
    /// The bundles whose records are held, rising.
    pub bundles: Vec<u64>,
    /// Every file but the manifest, by path in byte order.
    pub files: Vec<ManifestFile>,
}

/// A file of an export.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Length.
    pub octets: u64,
    /// Within the export, `/` between the parts.
    pub path: String,
    /// Of its content.
    pub sha256: Hash,
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not canonical JSON of this shape, or longer than [`MAX_MANIFEST`].
    #[error("not a manifest of an export: {0}")]
    Form(#[from] CanonicalError),
    /// A format of another time.
    #[error("format: this release reads {FORMAT}, got `{0}`")]
    Format(String),
    /// Bundles out of order, twice, or past the end.
    #[error("bundles: wanted rising numbers below {below}, got {got}")]
    Bundles {
        /// Bundles of the log.
        below: u64,
        /// The first that is wrong.
        got: u64,
    },
    /// Paths out of order or twice.
    #[error("files: wanted each path once in byte order, got `{0}`")]
    Files(String),
}

impl Manifest {
    /// Of a log of `size` records; sorts the bundles and the files.
    pub fn new(size: u64, mut bundles: Vec<u64>, mut files: Vec<ManifestFile>) -> Self {
        bundles.sort_unstable();
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Self {
            format: FORMAT.to_owned(),
            size,
            bundles,
            files,
        }
    }

    /// The bytes of `manifest.json`: canonical JSON on one line, without a line end.
    ///
    /// # Errors
    /// What [`Manifest::parse`] would not take.
    pub fn to_canonical(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        Ok(to_canonical(self, MAX_MANIFEST)?)
    }

    /// Reads what [`Manifest::to_canonical`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = from_canonical(bytes, MAX_MANIFEST)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.format != FORMAT {
            return Err(ManifestError::Format(self.format.clone()));
        }
        let below = bundles_of(self.size);
        let mut least = 0;
        for &got in &self.bundles {
            if got < least || got >= below {
                return Err(ManifestError::Bundles { below, got });
            }
            least = got + 1;
        }
        let mut before: Option<&str> = None;
        for file in &self.files {
            if before.is_some_and(|before| before >= file.path.as_str()) {
                return Err(ManifestError::Files(file.path.clone()));
            }
            before = Some(&file.path);
        }
        Ok(())
    }
}
