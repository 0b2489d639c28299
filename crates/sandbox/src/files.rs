//! Landlock: files, directories and TCP ports.

use std::os::fd::AsFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};

use crate::{Confinement, SandboxError};

/// Read by any program: libraries and locales, OpenSSL's configuration, its own limits.
const SYSTEM: [&str; 11] = [
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/crypto-policies",
    "/dev/random",
    "/dev/urandom",
    "/proc/self",
    "/sys/fs/cgroup",
];
/// Where the resolver's configuration lies, or what it is a link to.
const NAMES: [&str; 4] = [
    "/etc",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
];
const DNS: u16 = 53;

/// Restricts the calling thread, and says which version of Landlock the kernel has, at most the one asked for.
pub(crate) fn restrict(confinement: &Confinement) -> Result<u8, SandboxError> {
    let abi = ABI::from(i32::from(confinement.landlock_abi));
    if abi == ABI::Unsupported {
        return Ok(0);
    }
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(abi))?;
    if abi >= ABI::V4 {
        rules = rules.handle_access(AccessNet::from_all(abi))?;
    }
    if abi >= ABI::V6 {
        rules = rules.scope(Scope::from_all(abi))?;
    }
    let mut rules = rules.create()?;

    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let names: &[&str] = if confinement.resolve_names {
        &NAMES
    } else {
        &[]
    };
    for path in SYSTEM.iter().chain(names).map(Path::new) {
        // Distributions differ in which of these they have.
        if path.exists() {
            rules = allow(rules, abi, path, read)?;
        }
    }
    rules = allow(
        rules,
        abi,
        Path::new("/dev/null"),
        read | AccessFs::WriteFile,
    )?;
    for path in &confinement.read {
        rules = allow(rules, abi, path, read)?;
    }
    // Special files are left out: nothing of ours or of a module makes one.
    let write = AccessFs::from_all(abi)
        & !(AccessFs::Execute
            | AccessFs::MakeChar
            | AccessFs::MakeBlock
            | AccessFs::MakeFifo
            | AccessFs::MakeSock
            | AccessFs::MakeSym);
    for path in &confinement.write {
        rules = allow(rules, abi, path, write)?;
    }
    if abi >= ABI::V4 {
        let dns = confinement.resolve_names.then_some(DNS);
        for port in confinement.connect_tcp.iter().copied().chain(dns) {
            rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
        }
    }
    match rules.restrict_self()?.landlock {
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => Ok(0),
        LandlockStatus::Available { effective_abi, .. } => {
            Ok(confinement.landlock_abi.min(effective_abi as u8))
        }
    }
}

fn allow(
    rules: RulesetCreated,
    abi: ABI,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, SandboxError> {
    let unusable = |source| SandboxError::Path {
        path: path.to_owned(),
        source,
    };
    let is_directory = std::fs::metadata(path).map_err(unusable)?.is_dir();
    let file = PathFd::new(path).map_err(|error| unusable(std::io::Error::other(error)))?;
    let access = if is_directory {
        access
    } else {
        access & AccessFs::from_file(abi)
    };
    Ok(rules.add_rule(PathBeneath::new(file.as_fd(), access))?)
}
