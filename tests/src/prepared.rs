//! What a ceremony makes (tokens, keys, certificates, configuration) is made once for each set of the demo's arguments and
//! copied for each test: the keys are most of what a first start costs, and no test depends on their being its own.
//!
//! A copy has no state, no log and no issued certificate: the demo that is started in it makes its first start there.

use std::fs::{DirBuilder, File};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use toml::Table;

use crate::installation::{binary, demo, scratch};

/// What the first start leaves, and a copy must not have.
const OF_THE_FIRST_START: [&str; 5] = ["hsm", "state", "log", "run", "devices"];
const PROPOSALS: &str = "proposals";
const STATIC_CHALLENGE: &str = "secrets/fleet.challenge";
/// The demo's own note of what it has done in a directory.
const MARK: &str = "demo.json";
/// Certificates of the original are at most this old, in seconds.
const RENEWED_EVERY: u64 = 6 * 3_600;

/// Puts an installation that was made with `arguments` into `scratch`, as `demo`. Returns the address, free a moment ago,
/// that its policies name as the frontend's and that the demo tries first.
///
/// # Errors
///
/// When it cannot be made or copied.
pub(crate) async fn copy(arguments: &[&str], scratch: &Path) -> Result<String> {
    let original = original(arguments).await?;
    let from = original.folder.join("demo");
    let to = scratch.join("demo");
    let mark = std::fs::read(from.join(MARK))?;
    let mark: Value = serde_json::from_slice(&mark)?;
    let address = mark.get("http").and_then(Value::as_str);
    let address = address.context("the original has no address")?;
    let free = free_address()?;
    let changes = [
        (
            from.to_string_lossy().into_owned(),
            to.to_string_lossy().into_owned(),
        ),
        (address.to_owned(), free.clone()),
    ];
    copy_folder(&from, &to, &changes)?;
    Ok(free)
}

/// An address of loopback that is free now. Its port is below those that systems give to outgoing connections, so that none
/// of these takes it while the demo hands it to its frontend.
fn free_address() -> Result<String> {
    const PORTS: RangeInclusive<u64> = 10_000..=32_000;
    const TRIES: usize = 100;
    let width = PORTS.end() - PORTS.start() + 1;
    for _ in 0..TRIES {
        let random = RandomState::new().build_hasher().finish();
        let port = u16::try_from(PORTS.start() + random % width)?;
        if let Ok(free) = TcpListener::bind(("127.0.0.1", port)) {
            return Ok(free.local_addr()?.to_string());
        }
    }
    anyhow::bail!("none of {TRIES} ports between {PORTS:?} was free")
}

/// An installation to be copied. While this value lives, no other process makes or removes one with the same arguments.
struct Original {
    folder: PathBuf,
    _lock: File,
}

async fn original(arguments: &[&str]) -> Result<Original> {
    let programs = binary("assay")?;
    let target = programs.ancestors().nth(2);
    let name = ["demo", &arguments.join("")].concat();
    let folder = target
        .context("a program lies in the target directory")?
        .join("tmp/installations")
        .join(name);
    std::fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let made_by = folder.join("made-by");
    let wanted = makers()?.to_string();
    if std::fs::read_to_string(&made_by).ok().as_ref() != Some(&wanted) {
        let _ = std::fs::remove_file(&made_by);
        make(arguments, &folder).await?;
        std::fs::write(&made_by, &wanted)?;
    }
    Ok(Original {
        folder,
        _lock: lock,
    })
}

async fn make(arguments: &[&str], folder: &Path) -> Result<()> {
    let dir = folder.join("demo");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    // The demo makes a link of a directory that the users of its services cannot reach.
    let scratch = scratch()?;
    let (service, _) = demo(scratch.path(), arguments).await?;
    let printed = service.printed();
    let status = service.stop().await?;
    anyhow::ensure!(status.success(), "the demo ended with {status}:\n{printed}");
    let made = scratch.path().join("demo");
    let names = [&made, &dir].map(|path| path.to_string_lossy().into_owned());
    copy_folder(&made, &dir, &[names.into()])?;
    for name in OF_THE_FIRST_START {
        let path = dir.join(name);
        std::fs::remove_dir_all(&path)?;
        DirBuilder::new().mode(0o700).create(&path)?;
    }
    add_forms(&dir)?;
    std::fs::remove_dir_all(dir.join(PROPOSALS))?;
    std::fs::remove_file(dir.join(STATIC_CHALLENGE))?;
    let mark = dir.join(MARK);
    let mut told: Value = serde_json::from_slice(&std::fs::read(&mark)?)?;
    let members = told.as_object_mut().context("the mark is an object")?;
    members.insert("starts".to_owned(), 0.into());
    members.insert("fleet_challenge_id".to_owned(), Value::Null);
    std::fs::write(&mark, told.to_string())?;
    Ok(())
}

/// Adds the forms that most profiles of tests need, variations of the demo's: the HSM service reads its forms at its start alone,
/// and few tests start it again.
fn add_forms(dir: &Path) -> Result<()> {
    let file = dir.join("hsm.toml");
    let mut text = std::fs::read_to_string(&file)?;
    let own: Table = text.parse()?;
    let own = own.get("form").and_then(toml::Value::as_array);
    let mut forms = Vec::new();
    for form in own.context("the demo has forms")? {
        let mut wide = form.as_table().context("a form is a table")?.clone();
        let name = wide.get("name").and_then(toml::Value::as_str);
        let name = name.context("a form has a name")?.to_owned();
        wide.extend(toml::toml! {
            backdate_max = "4d"
            lifetime_max = "3650d"
            sans = ["dns", "ip", "email", "uri", "upn", "other"]
            keys = { rsa = { min_bits = 2048, max_bits = 8192 }, curves = ["p256", "p384", "p521"] }
        });
        let mut elliptic = wide.clone();
        wide.insert("name".to_owned(), format!("{name}-wide").into());
        elliptic.insert("name".to_owned(), format!("{name}-elliptic").into());
        elliptic.insert("key_usage".to_owned(), vec!["digitalSignature"].into());
        forms.extend([wide, elliptic]);
    }
    let more = Table::from_iter([("form".to_owned(), forms.into())]);
    text += &format!("\n{}", toml::to_string(&more)?);
    std::fs::write(&file, text)?;
    Ok(())
}

/// Another value once any program was built again, or the original has become old.
fn makers() -> Result<u64> {
    let assay = binary("assay")?;
    let folder = assay.parent().context("a binary lies in a folder")?;
    let mut programs = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains('.') || !entry.file_type()?.is_file() {
            continue;
        }
        let metadata = entry.metadata()?;
        programs.push((name, metadata.len(), metadata.modified()?));
    }
    programs.sort();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut hasher = DefaultHasher::new();
    (programs, now / RENEWED_EVERY).hash(&mut hasher);
    Ok(hasher.finish())
}

/// Copies files with their modes, replacing each first text of `changes` by the second in those that are text.
fn copy_folder(from: &Path, to: &Path, changes: &[(String, String)]) -> Result<()> {
    std::fs::create_dir(to)?;
    std::fs::set_permissions(to, from.metadata()?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to, changes)?;
            continue;
        }
        if !entry.file_type()?.is_file() {
            // A socket of a service that was stopped.
            continue;
        }
        std::fs::copy(&from, &to)?;
        let Ok(text) = std::fs::read_to_string(&to) else {
            continue;
        };
        let changed = changes
            .iter()
            .fold(text.clone(), |text, (old, new)| text.replace(old, new));
        if changed != text {
            std::fs::write(&to, changed)?;
        }
    }
    Ok(())
}
