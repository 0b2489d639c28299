//! Files that are never overwritten, secrets that only their owner may read, and lists with one entry per line.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, OrFail, Outcome};

/// Mode of private keys, PINs and other secrets: the services refuse anything wider.
pub const SECRET: u32 = 0o600;
/// Mode of certificates and configuration.
pub const PUBLIC: u32 = 0o644;
/// Largest list read from a file: 1,000,000 names of 64 bytes.
const MAX_LIST: u64 = 64 * 1024 * 1024;

/// Writes a file that must not exist, durably.
///
/// # Errors
/// The file exists, or cannot be written.
pub fn create(path: &Path, content: &[u8], mode: u32) -> Outcome {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| {
        let exists = error.kind() == io::ErrorKind::AlreadyExists;
        let failure = Failure::failed(format!("cannot write {}", path.display())).because(error);
        if exists {
            failure.next("nothing is ever overwritten: move that file away, or use another --dir")
        } else {
            failure.next("see that the directory exists, is yours and has room")
        }
    })
}

/// Replaces a file of our own in one step: readers see the old content or the new, never a part.
///
/// # Errors
/// The file cannot be written or renamed; the old content is then still there.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Outcome {
    let what = || format!("cannot write {}", path.display());
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(dir)
        .or_fail(what())?;
    file.write_all(content)
        // Whatever the umask took away.
        .and_then(|()| {
            file.as_file()
                .set_permissions(fs::Permissions::from_mode(mode))
        })
        .and_then(|()| file.as_file().sync_all())
        .or_fail(what())?;
    file.persist(path).or_fail(what())?;
    Ok(())
}

/// Writes a file that exists, in one step, with the mode and the owner that it had. Of a link, the file that it leads to.
///
/// # Errors
/// It does not exist, or cannot be written or given its owner.
pub fn rewrite(path: &Path, content: &[u8]) -> Outcome {
    let what = || format!("cannot write {}", path.display());
    let file = fs::canonicalize(path).or_fail(what())?;
    let before = fs::metadata(&file).or_fail(what())?;
    replace(&file, content, before.permissions().mode())?;
    let after = fs::metadata(&file).or_fail(what())?;
    if (after.uid(), after.gid()) != (before.uid(), before.gid()) {
        chown(&file, Some(before.uid()), Some(before.gid())).or_fail(format!(
            "{} is written, and is not its owner's of before",
            file.display()
        ))?;
    }
    Ok(())
}

/// Makes a directory and its parents, closed to others.
///
/// # Errors
/// The directory cannot be made.
pub fn make_dir(path: &Path) -> Outcome {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .or_fail(format!("cannot make the directory {}", path.display()))
}

/// Makes a directory that must not exist, closed to others; its parents are made where they are missing.
///
/// # Errors
/// Something of that name exists, or the directory cannot be made.
pub fn make_new_dir(path: &Path) -> Outcome {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    let made = fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Failure::failed(format!("{} exists", path.display()))
                .next("nothing is ever overwritten: name another directory")
        } else {
            Failure::failed(format!("cannot make the directory {}", path.display())).because(error)
        }
    })
}

/// Reads a whole file.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).or_fail(format!("cannot read {}", path.display()))
}

/// Reads a whole file as UTF-8 text.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).or_fail(format!("cannot read {}", path.display()))
}

/// The path as seen from the root, for files that other processes read.
///
/// # Errors
/// The current directory is unknown.
pub fn absolute(path: &Path) -> Outcome<PathBuf> {
    std::path::absolute(path).or_fail(format!("cannot resolve {}", path.display()))
}

/// The lines of a list that say something: blank lines and lines that start with `#` are left out.
/// `-` is standard input.
///
/// # Errors
/// The list cannot be read, or is longer than 64 MiB.
pub fn read_list(path: &Path) -> Outcome<Vec<String>> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MAX_LIST).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX_LIST).read_to_string(&mut text))
    };
    let read = read.or_fail(format!("cannot read {}", path.display()))?;
    if read as u64 == MAX_LIST {
        return Err(Failure::usage(format!(
            "{} is longer than {} MiB",
            path.display(),
            MAX_LIST >> 20
        ))
        .next("split it"));
    }
    Ok(text
        .lines()
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        create(&path, b"first", PUBLIC).unwrap();
        let failure = create(&path, b"second", PUBLIC).unwrap_err();
        assert!(
            failure.to_string().contains("nothing is ever overwritten"),
            "{failure}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }

    /// A link that leads nowhere is something of that name too.
    #[test]
    fn a_new_directory_is_never_one_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a/b"), dir.path().join("link"));
        make_new_dir(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for path in [path, link] {
            let failure = make_new_dir(&path).unwrap_err().to_string();
            assert!(
                failure.contains("exists\n  next: nothing is ever overwritten"),
                "{failure}"
            );
        }
    }

    #[test]
    fn secrets_are_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, b"secret", SECRET).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        replace(&path, b"other", SECRET).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read(&path).unwrap(), b"other");
    }

    #[test]
    fn a_list_leaves_out_blank_lines_and_comments() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names");
        fs::write(&path, "# fleet\r\nbox-1\r\n\n box 2\n").unwrap();
        assert_eq!(read_list(&path).unwrap(), ["box-1", " box 2"]);
    }
}
