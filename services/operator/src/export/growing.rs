use std::fs::File;
use std::io::Write;

use assay_console::failure::{OrFail, Outcome};
use assay_types::Hash;
use openssl::sha::Sha256;

use super::folder::Folder;

/// A file of lines that grows as they come.
pub(super) struct Growing {
    path: String,
    file: File,
    digest: Sha256,
    octets: u64,
}

impl Growing {
    pub(super) fn create(folder: &mut Folder, path: String) -> Outcome<Self> {
        Ok(Self {
            file: folder.open(&path)?,
            path,
            digest: Sha256::new(),
            octets: 0,
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Adds a line and its end.
    pub(super) fn line(&mut self, line: &[u8]) -> Outcome {
        for part in [line, b"\n"] {
            self.file
                .write_all(part)
                .or_fail(format!("cannot write {} of the export", self.path))?;
            self.digest.update(part);
            self.octets += part.len() as u64;
        }
        Ok(())
    }

    pub(super) fn finish(self, folder: &mut Folder) -> Outcome {
        let sha256 = Hash::from(self.digest.finish());
        folder.keep(&self.path, &self.file, self.octets, sha256)
    }
}
