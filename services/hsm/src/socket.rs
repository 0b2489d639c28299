//! The socket: where it may be, and who may be at its other end.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use assay_hsm::{User, name_of};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

/// Permission bits that let others than the owner write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const OTHERS: u32 = 0o077;

/// The directory that keeps the socket from others decides who reaches it, and the peer's credentials who is served.
const SOCKET_MODE: u32 = 0o666;

/// What makes a peer a risk, for the log and for clients.
pub(crate) const SAME_USER: &str = "allow_same_user: the HSM service and its client run as one user, so that the client's user can read the PIN and use the keys without the service";

/// Refuses a peer that is this service's own user, unless that is allowed; then returns the warning.
pub(crate) fn check_peer(
    peer: User,
    allow_same_user: bool,
) -> Result<Option<&'static str>, String> {
    match (peer.is_own(), allow_same_user) {
        (false, _) => Ok(None),
        (true, true) => Ok(Some(SAME_USER)),
        (true, false) => Err(format!(
            "peer: {peer} is this service's own user: give the service a user of its own, or for a trial set allow_same_user = true"
        )),
    }
}

/// The directory of what the service keeps, held against a second service as long as the file is open.
pub(crate) fn hold_state(directory: &Path) -> Result<File, String> {
    let what = |error: io::Error| format!("state: {}: {error}", directory.display());
    if !directory.exists() {
        let mut builder = DirBuilder::new();
        let made = builder.mode(0o700).recursive(true).create(directory);
        made.map_err(what)?;
    }
    let held = File::open(directory).map_err(what)?;
    let metadata = held.metadata().map_err(what)?;
    check_owner(directory, &metadata, OTHERS).map_err(|reason| format!("state: {reason}"))?;
    flock(&held, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        format!(
            "state: {} is held by another HSM service: stop that one",
            directory.display()
        )
    })?;
    Ok(held)
}

/// Refuses a user whose journal it is not, before the journal does: it says how to become the right one.
pub(crate) fn check_user(state: &Path) -> Result<(), String> {
    match fs::metadata(state) {
        Ok(metadata) => check_is_own(state, &metadata).map_err(|reason| format!("state: {reason}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("state: {}: {error}", state.display())),
    }
}

/// Listens at `path`, in a directory of this user's own. A file that a service left there is replaced only if nobody
/// listens.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, String> {
    let wrong = |reason: String| format!("socket: {reason}");
    let failed = |error: io::Error| format!("socket: {}: {error}", path.display());
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    if !directory.exists() {
        DirBuilder::new()
            .mode(0o755)
            .recursive(true)
            .create(directory)
            .map_err(|error| wrong(format!("{}: {error}", directory.display())))?;
    }
    let metadata = fs::metadata(directory).map_err(failed)?;
    check_owner(directory, &metadata, WRITABLE_BY_OTHERS).map_err(wrong)?;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(wrong(format!(
                "{} is not a socket: move it away",
                path.display()
            )));
        }
        Ok(_) => {
            if UnixStream::connect(path).is_ok() {
                return Err(wrong(format!(
                    "another process listens at {}: stop it",
                    path.display()
                )));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn check_owner(directory: &Path, metadata: &fs::Metadata, others: u32) -> Result<(), String> {
    let (shown, mode) = (directory.display(), metadata.mode() & 0o7777);
    if !metadata.is_dir() {
        return Err(format!("{shown} is not a directory"));
    }
    check_is_own(directory, metadata)?;
    if mode & others != 0 {
        return Err(format!(
            "{shown} has mode {mode:04o}: take from others the bits {:04o}",
            mode & others
        ));
    }
    Ok(())
}

fn check_is_own(directory: &Path, metadata: &fs::Metadata) -> Result<(), String> {
    let (uid, gid) = (metadata.uid(), metadata.gid());
    if uid == geteuid().as_raw() {
        return Ok(());
    }
    let (user, command) = match name_of(uid) {
        Some(name) => (format!("user {name}"), format!("runuser -u {name}")),
        None => (
            format!("user {uid}"),
            format!("setpriv --reuid {uid} --regid {gid} --clear-groups"),
        ),
    };
    Err(format!(
        "{} belongs to {user}: run this as {user}, for example `{command} -- assay-hsm ...`, or give the directory to the user of the service",
        directory.display()
    ))
}

/// The user at the other end, and its process; 0 for a process of another PID namespace.
pub(crate) fn peer_of(stream: &UnixStream) -> io::Result<(u32, i32)> {
    let credentials = getsockopt(stream, PeerCredentials)?;
    Ok((credentials.uid(), credentials.pid()))
}
