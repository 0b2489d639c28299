//! The services of an installation on one machine: who runs each of them, which files it may read, and how it is started.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::geteuid;

use crate::installation::Installation;

/// Numbers of the services' users and of their groups on a machine that has no users for them. No distribution gives them out,
/// and systemd leaves them free.
const FIRST_USER: u32 = 61_101;
const ROOT: u32 = 0;

const EXECUTABLE_BY_OTHERS: u32 = 0o005;
const SEARCHABLE_BY_OTHERS: u32 = 0o001;

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `assay-hsm`.
    Hsm,
    /// `assay-signer`.
    Signer,
    /// `assay-frontend`.
    Frontend,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hsm, Self::Signer, Self::Frontend];

    /// Its name in the names of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hsm => "hsm",
            Self::Signer => "signer",
            Self::Frontend => "frontend",
        }
    }

    /// Its program.
    pub fn binary(self) -> &'static str {
        match self {
            Self::Hsm => "assay-hsm",
            Self::Signer => "assay-signer",
            Self::Frontend => "assay-frontend",
        }
    }

    /// Its configuration.
    pub fn config(self, installation: &Installation) -> PathBuf {
        match self {
            Self::Hsm => installation.hsm_config(),
            Self::Signer => installation.signer_config(),
            Self::Frontend => installation.frontend_config(),
        }
    }

    /// Where it writes its ready file.
    pub fn run_dir(self, installation: &Installation) -> PathBuf {
        installation.path("run").join(self.name())
    }

    /// Number of its user and group where root starts it ([`have_own_users`]).
    pub fn user(self) -> u32 {
        FIRST_USER
            + match self {
                Self::Hsm => 0,
                Self::Signer => 1,
                Self::Frontend => 2,
            }
    }
}

/// Whether services that this process starts can have users of their own: it is root, and its user namespace has the users.
pub fn have_own_users() -> bool {
    geteuid().is_root()
        && fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| {
            let is_mapped = |service: &Service| map.lines().any(|line| maps(line, service.user()));
            Service::ALL.iter().all(is_mapped)
        })
}

/// Whether a line of user_namespaces(7), of the first user, the user that it is outside, and the number of users, has this one.
fn maps(line: &str, user: u32) -> bool {
    let mut numbers = line.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
        (numbers.next(), numbers.next(), numbers.next())
    else {
        return false;
    };
    (first..first.saturating_add(count)).contains(&user.into())
}

/// Whether every user can reach what lies in this directory.
///
/// # Errors
/// The directory or one above it is missing.
pub fn is_searchable(dir: &Path) -> io::Result<bool> {
    for dir in fs::canonicalize(dir)?.ancestors() {
        if fs::metadata(dir)?.mode() & SEARCHABLE_BY_OTHERS == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives each service what it needs of an installation, and leaves the rest to root: a service can read its configuration,
/// its keys and the certificates; its state, and the token of the HSM service, belong to it alone. Repeated before each
/// start, as what people changed since then may belong to them.
///
/// # Errors
/// A file cannot be given away; this process has to be root.
pub fn hand_over(installation: &Installation) -> io::Result<()> {
    let path = |name: &str| installation.path(name);
    for dir in ["", "approvers", "run", "secrets", "transport"] {
        own(&path(dir), ROOT, ROOT, 0o711)?;
    }
    for service in Service::ALL {
        let user = service.user();
        own(&service.config(installation), ROOT, user, 0o640)?;
        let run = service.run_dir(installation);
        make_dir(&run)?;
        // The signer reaches the socket of the HSM service, and no other user does.
        let (group, mode) = match service {
            Service::Hsm => (Service::Signer.user(), 0o710),
            Service::Signer | Service::Frontend => (user, 0o700),
        };
        own(&run, user, group, mode)?;
    }
    own(&path("certificates"), ROOT, ROOT, 0o755)?;
    for dir in ["approvers", "certificates", "transport"] {
        publish(&path(dir))?;
    }
    let (hsm, signer) = (Service::Hsm.user(), Service::Signer.user());
    for (dir, user) in [("hsm", hsm), ("state", signer)] {
        make_dir(&path(dir))?;
        own(&path(dir), user, user, 0o700)?;
        give(&path(dir), user)?;
    }
    // The PINs of the security officer and of the root's token stay with root.
    own(&path("token"), hsm, hsm, 0o700)?;
    for name in ["token/tokens", "token/softhsm2.conf", "token/user.pin"] {
        give(&path(name), hsm)?;
    }
    give(&path("secrets/challenge.key"), signer)?;
    for service in [Service::Signer, Service::Frontend] {
        for end in ["pem", "key"] {
            let file = format!("transport/{}.{end}", service.name());
            give(&path(&file), service.user())?;
        }
    }
    Ok(())
}

fn make_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn own(path: &Path, user: u32, group: u32, mode: u32) -> io::Result<()> {
    lchown(path, Some(user), Some(group))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Lets everyone read the certificates in a directory and in those below it, also where the umask let nobody.
fn publish(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let (entry, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() {
            own(&entry, ROOT, ROOT, 0o755)?;
            publish(&entry)?;
        } else if kind.is_file() && entry.extension().is_some_and(|end| end == "pem") {
            own(&entry, ROOT, ROOT, 0o644)?;
        }
    }
    Ok(())
}

/// Gives a file, or a directory with all that is in it, to a user and their group. Modes stay.
fn give(path: &Path, user: u32) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if (metadata.uid(), metadata.gid()) != (user, user) {
        lchown(path, Some(user), Some(user))?;
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), user)?;
        }
    }
    Ok(())
}

/// A service's program, which the service's user can start wherever the program lies: it is opened here, and the kernel takes
/// it by its descriptor.
#[derive(Debug)]
pub struct Program {
    file: File,
    path: PathBuf,
    /// `None` for the user of this process.
    user: Option<u32>,
}

impl Program {
    /// The program at `path`, for a service of this installation. Where [`hand_over`] gave the service its files, the user
    /// that owns them runs it.
    ///
    /// # Errors
    /// The program or the installation cannot be read.
    pub fn of(service: Service, installation: &Installation, path: &Path) -> io::Result<Self> {
        let owner = fs::metadata(service.run_dir(installation))?.uid();
        let user = (owner != geteuid().as_raw()).then_some(owner);
        let mut file = File::open(path)?;
        let others = file.metadata()?.mode() & EXECUTABLE_BY_OTHERS;
        if user.is_some() && others != EXECUTABLE_BY_OTHERS {
            file = copy_in_memory(file, service.binary())?;
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            user,
        })
    }

    /// The command that starts it, to be run while this value is there.
    pub fn command(&self) -> Command {
        let mut command = Command::new(by_descriptor(&self.file));
        command.arg0(&self.path);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }
}

/// Of a program that only its owner may start, as one that was built under a umask of 077.
fn copy_in_memory(mut program: File, name: &str) -> io::Result<File> {
    let mut copy = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    io::copy(&mut program, &mut copy)?;
    // The kernel runs nothing that is open for writing.
    File::open(by_descriptor(&copy))
}

fn by_descriptor(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_of_few_users_has_none_for_the_services() {
        let all = "         0          0 4294967295";
        let rootless = "         0       1000          1";
        let subordinate = "         1     100000      65536";
        for (line, user, expected) in [
            (all, Service::Hsm.user(), true),
            (rootless, Service::Hsm.user(), false),
            (subordinate, Service::Frontend.user(), true),
            (subordinate, 65_537, false),
            ("", 0, false),
        ] {
            assert_eq!(maps(line, user), expected, "{line}");
        }
    }

    #[test]
    fn a_directory_is_searchable_only_if_all_above_it_are() {
        let top = tempfile::tempdir().unwrap();
        let below = top.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        let set = |mode| fs::set_permissions(top.path(), Permissions::from_mode(mode)).unwrap();
        set(0o700);
        assert!(!is_searchable(&below).unwrap());
        set(0o711);
        assert!(is_searchable(&below).unwrap());
    }
}
