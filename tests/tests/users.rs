//! Started by root, the services of the demo and of the tests are three users, and each reads what it needs and nothing else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use assay_operator::services::{Service, have_own_users};
use assay_tests::installation::{Installation, Ready, binary, value};
use assay_tests::process;
use assay_tests::tiers::Tiers;
use tempfile::TempDir;

/// Whether there is anything to test: without root, one user runs all, and says so.
fn is_root() -> bool {
    have_own_users()
}

/// Real, effective, saved and file-system user of a process.
fn users_of(pid: u32) -> Result<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let numbers = line.context("no Uid")?.split_whitespace();
    Ok(numbers.map(str::parse).collect::<Result<_, _>>()?)
}

/// Supplementary groups of a process.
fn groups_of(pid: u32) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    Ok(line.context("no Groups")?.trim().to_owned())
}

fn each_has_its_user(ready: &Ready) -> Result<()> {
    for (service, pid) in [
        (Service::Hsm, ready.pids.hsm),
        (Service::Signer, ready.pids.signer),
        (Service::Frontend, ready.pids.frontend),
    ] {
        assert_eq!(users_of(pid)?, [service.user(); 4], "{service:?}");
        assert_eq!(groups_of(pid)?, "", "{service:?}");
    }
    let config = fs::read_to_string(ready.dir.join("hsm.toml"))?;
    ensure!(!config.contains("allow_same_user"), "{config}");
    let peer = value(&ready.dir.join("hsm.toml"), &["peer"])?;
    assert_eq!(peer.as_str(), Some(&*Service::Signer.user().to_string()));
    Ok(())
}

/// Whether a user can open this file, or list this directory.
fn can_read(user: Service, path: &Path) -> Result<bool> {
    let program = if path.is_dir() { "ls" } else { "cat" };
    let mut command = Command::new(program);
    command.arg(path).uid(user.user()).gid(user.user());
    Ok(command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?
        .success())
}

#[tokio::test]
async fn no_service_reads_the_files_of_another() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let installation = Installation::start().await?;
    each_has_its_user(installation.ready())?;
    let log = installation.logs()?;
    ensure!(!log.contains("allow_same_user"), "{log}");

    let tokens = installation.path("token/tokens");
    let token = fs::read_dir(&tokens)?.next().context("no token")??.path();
    let object = fs::read_dir(&token)?.next().context("no object")??.path();
    let own = |service: Service| -> Vec<_> {
        let names: &[&str] = match service {
            Service::Hsm => &[
                "token",
                "token/user.pin",
                "token/softhsm2.conf",
                "hsm",
                "hsm.toml",
            ],
            Service::Signer => &[
                "state",
                "state/signer.db",
                "secrets/challenge.key",
                "signer.toml",
                "transport/signer.key",
                "run/signer",
            ],
            Service::Frontend => &["frontend.toml", "transport/frontend.key", "run/frontend"],
        };
        let mut paths: Vec<_> = names.iter().map(|name| installation.path(name)).collect();
        if service == Service::Hsm {
            paths.extend([tokens.clone(), token.clone(), object.clone()]);
        }
        paths
    };
    for owner in Service::ALL {
        for path in own(owner) {
            ensure!(path.exists(), "{}", path.display());
            for user in Service::ALL {
                let expected = user == owner;
                let shown = format!("{user:?} reads {}", path.display());
                assert_eq!(can_read(user, &path)?, expected, "{shown}");
            }
        }
    }
    for name in [
        "token/root.pin",
        "token/so.pin",
        "secrets/fleet.challenge",
        "transport/operator.key",
        "approvers/author.key",
        "devices",
        "log",
        "run/hsm",
    ] {
        let path = installation.path(name);
        ensure!(path.exists(), "{name}");
        for user in Service::ALL {
            let lists_its_own = name == "run/hsm" && user == Service::Hsm;
            assert_eq!(
                can_read(user, &path)?,
                lists_its_own,
                "{user:?} reads {name}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn services_that_a_test_starts_have_their_users_too() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let tiers = Tiers::start(&installation).await?;
    for (service, pid) in [
        (Service::Hsm, tiers.hsm().await?),
        (Service::Signer, tiers.signer()?),
        (Service::Frontend, tiers.frontend()?),
    ] {
        let pid = u32::try_from(pid.as_raw_nonzero().get())?;
        assert_eq!(users_of(pid)?, [service.user(); 4], "{service:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_demo_below_a_closed_directory_lies_where_its_users_reach_it() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let closed = TempDir::with_prefix("assay-closed-")?;
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700))?;
    let dir = closed.path().join("demo");
    let _removed = Elsewhere(dir.clone());
    for _ in 0..2 {
        // Nothing that it makes is for others by its mode.
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", "umask 077; exec \"$0\" \"$@\""]);
        command.arg(binary("assay")?).current_dir(closed.path());
        command.args(["demo", "--listen", "127.0.0.1:0", "--dir", "demo"]);
        let started = process::Service::start::<Ready>(&mut command, "demo", closed.path());
        let (demo, ready) = started.await?;
        each_has_its_user(&ready)?;
        // The second start finds what the first one made.
        assert_eq!(fs::canonicalize(&dir)?, ready.dir);
        ensure!(!ready.dir.starts_with(closed.path()));
        let status = demo.stop().await?;
        ensure!(status.success(), "{status}");
    }
    Ok(())
}

/// The directory that a link leads to, removed when dropped.
struct Elsewhere(PathBuf);

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Ok(target) = fs::canonicalize(&self.0) {
            let _ = fs::remove_dir_all(target);
        }
    }
}

/// The programs of this test run may lie anywhere, so that these two lie where nobody else can reach or run them.
#[test]
fn a_program_starts_for_another_user_wherever_it_lies() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let closed = TempDir::with_prefix("assay-closed-")?;
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700))?;
    for mode in [0o755, 0o700] {
        let path = closed.path().join(format!("assay-hsm-{mode:o}"));
        fs::copy(binary("assay-hsm")?, &path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        let installation = assay_operator::installation::Installation::at(closed.path());
        let run = Service::Hsm.run_dir(&installation);
        fs::create_dir_all(&run)?;
        std::os::unix::fs::chown(&run, Some(Service::Hsm.user()), None)?;
        let program = assay_operator::services::Program::of(Service::Hsm, &installation, &path)?;
        let ran = program.command().arg("--version").output()?;
        ensure!(ran.status.success(), "{mode:o}: {ran:?}");
    }
    Ok(())
}
