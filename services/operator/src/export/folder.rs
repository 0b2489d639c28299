use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_types::Hash;
use assay_verify::layout::{Manifest, ManifestFile, Place};

/// A directory that appears under its name only once it is whole and on disk.
pub(super) struct Folder {
    name: PathBuf,
    partial: PathBuf,
    files: Vec<ManifestFile>,
    dirs: BTreeSet<PathBuf>,
    whole: bool,
}

impl Folder {
    /// Begins beside the place where it is to be.
    pub(super) fn create(name: &Path) -> Outcome<Self> {
        if fs::symlink_metadata(name).is_ok() {
            return Err(Failure::usage(format!("{} exists", name.display()))
                .next("nothing is ever overwritten: name another directory with --out"));
        }
        let mut partial = name.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        if fs::symlink_metadata(&partial).is_ok() {
            return Err(Failure::usage(format!("{} exists", partial.display())).next(
                "another export to the same place is on its way, or one was cut off: then remove it",
            ));
        }
        files::make_new_dir(&partial)?;
        Ok(Self {
            name: name.to_owned(),
            dirs: BTreeSet::from([partial.clone()]),
            partial,
            files: Vec::new(),
            whole: false,
        })
    }

    /// Writes one file, `/` between the parts of its path.
    pub(super) fn write(&mut self, path: &str, content: &[u8]) -> Outcome {
        let mut file = self.open(path)?;
        file.write_all(content).or_fail(cannot(path))?;
        self.keep(path, &file, content.len() as u64, Hash::of(content))
    }

    /// A new file to be written piece by piece, and handed to [`Folder::keep`] when it is whole.
    pub(super) fn open(&mut self, path: &str) -> Outcome<File> {
        let whole = self.partial.join(path);
        if let Some(dir) = whole.parent()
            && !self.dirs.contains(dir)
        {
            files::make_dir(dir)?;
            for dir in dir.ancestors().take_while(|dir| *dir != self.partial) {
                self.dirs.insert(dir.to_owned());
            }
        }
        File::create_new(&whole).or_fail(cannot(path))
    }

    /// Puts a whole file on disk and into the manifest.
    pub(super) fn keep(&mut self, path: &str, file: &File, octets: u64, sha256: Hash) -> Outcome {
        file.sync_all().or_fail(cannot(path))?;
        self.files.push(ManifestFile {
            octets,
            path: path.to_owned(),
            sha256,
        });
        Ok(())
    }

    /// Adds the manifest, and gives the directory its name; returns how many files it has, and their octets.
    pub(super) fn close(mut self, size: u64, bundles: Vec<u64>) -> Outcome<(usize, u64)> {
        let manifest = Manifest::new(size, bundles, self.files.clone());
        let text = manifest
            .to_canonical()
            .or_fail("the manifest cannot be written")?;
        self.write(&Place::Manifest.to_string(), &text)?;
        for dir in &self.dirs {
            sync(dir)?;
        }
        fs::rename(&self.partial, &self.name)
            .or_fail(format!("cannot make {}", self.name.display()))?;
        self.whole = true;
        match self.name.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync(parent)?,
            _ => sync(Path::new("."))?,
        }
        let octets = self.files.iter().map(|file| file.octets).sum();
        Ok((self.files.len(), octets))
    }
}

/// What is not whole is of no use to anyone.
impl Drop for Folder {
    fn drop(&mut self) {
        if !self.whole {
            // It is named as partial where it cannot be removed.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

fn sync(dir: &Path) -> Outcome {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .or_fail(format!("cannot write {}", dir.display()))
}

fn cannot(path: &str) -> String {
    format!("cannot write {path} of the export")
}
