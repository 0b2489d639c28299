//! Where an export is read from: a directory, or whatever else has files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Files of an export at most: as many as a manifest can list.
pub const MAX_FILES: usize = 1_000_000;
/// Directories within each other at most; the layout has five.
const MAX_DEPTH: usize = 8;

/// The files of an export. Nothing in them is trusted.
pub trait ExportFiles: Sync {
    /// Every file, as its path with `/` between the parts.
    ///
    /// # Errors
    /// Where it cannot be listed, or holds something that is neither file nor directory.
    fn paths(&self) -> io::Result<Vec<String>>;

    /// One file, from its first octet.
    ///
    /// # Errors
    /// Where it cannot be read; [`io::ErrorKind::NotFound`] where there is none.
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>>;
}

/// An export on disk.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// The export in this directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl ExportFiles for Directory {
    fn paths(&self) -> io::Result<Vec<String>> {
        let mut paths = Vec::new();
        walk(&self.0, "", 0, &mut paths)?;
        Ok(paths)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(self.0.join(path))?))
    }
}

fn walk(folder: &Path, prefix: &str, depth: usize, paths: &mut Vec<String>) -> io::Result<()> {
    if depth > MAX_DEPTH {
        let text = format!("{prefix}: directories lie too deep for an export");
        return Err(io::Error::other(text));
    }
    let mut entries = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        entries += 1;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| io::Error::other(format!("{prefix}{}: not UTF-8", name.display())))?;
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), depth + 1, paths)?;
        } else if kind.is_file() {
            paths.push(path);
        } else {
            let text = format!("{path}: neither a file nor a directory");
            return Err(io::Error::other(text));
        }
        if paths.len() > MAX_FILES {
            return Err(io::Error::other("more files than any export has"));
        }
    }
    if entries == 0 && depth > 0 {
        let text = format!("{prefix}: an empty directory, which no export has");
        return Err(io::Error::other(text));
    }
    Ok(())
}

/// A whole file of at most `most` octets; `None` where there is none.
///
/// # Errors
/// Where it cannot be read or is longer.
pub(crate) fn read(
    export: &dyn ExportFiles,
    path: &str,
    most: usize,
) -> io::Result<Option<Vec<u8>>> {
    let file = match export.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::other(format!("longer than {most} octets")));
    }
    Ok(Some(bytes))
}
