//! A hostile signer: a process of the signer's user that reads what the signer reads and speaks the protocol as it likes, against
//! the real service under a user of its own. OpenSSL and GnuTLS judge whatever it obtains.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod attacker;
mod certificates;
mod gnutls;
mod judge;
mod mutations;
#[path = "../../../../crates/shape/tests/shape/mutator.rs"]
mod mutator;
mod reach;
mod rollbacks;
mod scene;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../../../tests/shared/tier.rs"]
mod tier;

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use assay_hsm::{KeyAlgorithm, KeyRole};
use assay_journal::{Event, Item};
use judge::Judge;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use scene::{Loot, Scene};
use support::shape::tlv;
use support::{Config, Installation, PROGRAM, der, key};

/// Numbers of users that no distribution gives out, as `assay demo` has them.
const HSM: u32 = 61_101;
const SIGNER: u32 = 61_102;

/// The directory of the scene, for the attacker's process.
const SCENE: &str = "ASSAY_HOSTILE_SCENE";
/// The one test of this binary.
const TEST: &str =
    "a_hostile_signer_obtains_leaves_of_the_forms_and_nothing_that_takes_back_a_revocation";

const ORIGIN: &str = "log.example.org/assay/hostile";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_signer_obtains_leaves_of_the_forms_and_nothing_that_takes_back_a_revocation() {
    if let Some(dir) = std::env::var_os(SCENE) {
        attacker::run(Path::new(&dir)).await;
        return;
    }
    if !has_users() {
        println!(
            "skipped: the hostile signer needs root, which can give the service a user of its own"
        );
        return;
    }
    let (installation, config, next) = installation().await;
    let mut service = start(&config);
    let scene = scene(&config, &next, &service);
    let dir = config.directory.clone();
    fs::write(dir.join("scene.json"), serde_json::to_vec(&scene).unwrap()).unwrap();
    // The same search by the service's own user finds what the attacker must not.
    let found = run(&dir, HSM);
    assert_eq!(
        found.reached,
        reach::WITHIN_REACH_OF_THE_SERVICE,
        "the search misses what is there"
    );
    let loot = run(&dir, SIGNER);
    assert!(
        service.0.try_wait().unwrap().is_none(),
        "the service ended: {}",
        fs::read_to_string(dir.join("log")).unwrap()
    );
    stop(service);

    let judge = Judge::new(&scene, &loot, &dir);
    let mut maker = installation.token.keys();
    judge.convicts(|role, data| {
        let key = config.key(role).unwrap();
        maker.sign(&key.uri, data)
    });
    // The journal opens for its owner alone, and the export is root's.
    give(&dir.join("state"), 0);
    judge.acquits(&issued(&config.export()));
    report(&loot);
    assert_eq!(loot.reached, Vec::<String>::new());
    let tried: Vec<&str> = loot.kinds.keys().map(String::as_str).collect();
    let mut kinds: Vec<&str> = [
        certificates::KINDS.as_slice(),
        rollbacks::KINDS.as_slice(),
        mutations::KINDS.as_slice(),
        reach::KINDS.as_slice(),
        &[attacker::HONEST],
    ]
    .concat();
    kinds.sort_unstable();
    assert_eq!(tried, kinds, "kinds of attacks");
    for (kind, count) in &loot.kinds {
        assert!(count.tried > 0, "{kind}");
        let may_sign = kind == attacker::HONEST || mutations::KINDS.contains(&kind.as_str());
        assert!(may_sign || count.signed == 0, "{kind}: {count:?}");
    }
}

/// Whether this process is root in a namespace that has the two users.
fn has_users() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let numbers: Vec<u64> = map.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let is_mapped = |user: u64| {
        let (ranges, _) = numbers.as_chunks();
        ranges
            .iter()
            .any(|[first, _, count]| (*first..first + count).contains(&user))
    };
    geteuid().is_root() && is_mapped(HSM.into()) && is_mapped(SIGNER.into())
}

/// A token with two CAs, a responder and a log, all of which belongs to the service's user.
async fn installation() -> (Installation, Config, Config) {
    let further = [
        key(KeyRole::LogSign, 6, KeyAlgorithm::Ed25519),
        key(KeyRole::OcspSign, 7, KeyAlgorithm::P256),
    ];
    let delegation = [
        der::key_usage(0x80, 7),
        der::ocsp_signing(),
        der::no_check(),
    ];
    let installation = Installation::with_keys(KeyAlgorithm::P256, &further, &delegation).await;
    let base = Config {
        peer: Some(SIGNER),
        forms: scene::FORMS.to_owned(),
        log_origin: Some(ORIGIN.to_owned()),
        // Each refusal is for the shape, and never because much was asked for.
        limits: ["certificates", "crls", "decryptions", "leaves"]
            .map(|what| format!("{what}_per_hour = 1000000\n{what}_per_day = 1000000\n"))
            .concat()
            + "revocations_per_hour = 1000000",
        ..installation.config()
    };
    let next = Config {
        keys: installation.another_ca(&der::name("Next CA")),
        name: "next".to_owned(),
        ..base.clone()
    };
    let config = Config {
        next: Some("next".to_owned()),
        more: next.ca_table(),
        ..base
    };
    config.create_journal();
    let dir = &config.directory;
    for parent in dir.ancestors().skip(1) {
        let mode = fs::metadata(parent).unwrap().mode();
        assert!(
            mode & 1 == 1,
            "{}: set TMPDIR to a directory that every user can search",
            parent.display()
        );
    }
    fs::create_dir(dir.join("run")).unwrap();
    for name in ["run", "state", "tokens", "pin", "softhsm2.conf"] {
        give(&dir.join(name), HSM);
    }
    own(&dir.join("tokens"), HSM, HSM, 0o700);
    own(&dir.join("softhsm2.conf"), HSM, HSM, 0o600);
    own(dir, HSM, HSM, 0o711);
    own(&dir.join("hsm.toml"), 0, HSM, 0o640);
    own(&dir.join("run"), HSM, SIGNER, 0o710);
    (installation, config, next)
}

fn own(path: &Path, user: u32, group: u32, mode: u32) {
    lchown(path, Some(user), Some(group)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn give(path: &Path, user: u32) {
    lchown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

/// A program as a user that may not be able to read it where it lies.
fn as_user(program: &File, user: u32) -> Command {
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.uid(user).gid(user).stdin(Stdio::null());
    command
}

/// The service, which ends with the test however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already if all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(config: &Config) -> Running {
    let log = File::create(config.directory.join("log")).unwrap();
    as_user(&File::open(PROGRAM).unwrap(), HSM)
        .arg("--config")
        .arg(config.directory.join("hsm.toml"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map(Running)
        .unwrap()
}

fn stop(mut service: Running) {
    kill_process(pid(&service), Signal::TERM).unwrap();
    let ended = service.0.wait().unwrap();
    assert!(ended.success(), "{ended}");
}

fn pid(service: &Running) -> Pid {
    Pid::from_raw(service.0.id().try_into().unwrap()).unwrap()
}

fn scene(config: &Config, next: &Config, service: &Running) -> Scene {
    let of = |config: &Config, role| config.key(role).unwrap().certificate.clone().unwrap();
    let list = [KeyRole::RaDecrypt, KeyRole::RaSign, KeyRole::CaSign];
    Scene {
        dir: config.directory.clone(),
        hsm: HSM,
        pid: pid(service).as_raw_nonzero().get(),
        origin: ORIGIN.to_owned(),
        ca: of(config, KeyRole::CaSign),
        ra_decrypt: of(config, KeyRole::RaDecrypt),
        ra_sign: of(config, KeyRole::RaSign),
        responder: of(config, KeyRole::OcspSign),
        next: list.map(|role| of(next, role)).to_vec(),
        key: support::shape::ec_key().private_key_to_pkcs8().unwrap(),
        rsa: support::shape::rsa_key().private_key_to_pkcs8().unwrap(),
    }
}

/// Runs this test as a process of a user; what it brings back.
fn run(dir: &Path, user: u32) -> Loot {
    let loot = dir.join(format!("loot-{user}"));
    fs::create_dir(&loot).unwrap();
    own(&loot, user, user, 0o700);
    let program = File::open(std::env::current_exe().unwrap()).unwrap();
    let output = as_user(&program, user)
        .args([TEST, "--exact", "--nocapture"])
        .env(SCENE, dir)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    serde_json::from_slice(&fs::read(loot.join("loot.json")).unwrap()).unwrap()
}

/// Each TBSCertificate of the journal with its signature.
fn issued(items: &[Item]) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut bodies: HashMap<u64, &Vec<u8>> = HashMap::new();
    let mut issued = HashMap::new();
    for item in items {
        if let Event::Certificate { .. } = item.entry.event {
            bodies.insert(item.number, item.body.as_ref().unwrap());
        } else if let Event::Signed { certificate, .. } = item.entry.event {
            issued.insert(bodies[&certificate].clone(), item.body.clone().unwrap());
        }
    }
    issued
}

fn report(loot: &Loot) {
    let mut all = scene::Count::default();
    println!(
        "{:<56} {:>7} {:>7} {:>7}",
        "attacks", "tried", "signed", "refused"
    );
    for (kind, count) in &loot.kinds {
        let refused = count.tried - count.signed;
        println!(
            "{kind:<56} {:>7} {:>7} {refused:>7}",
            count.tried, count.signed
        );
        all.tried += count.tried;
        all.signed += count.signed;
    }
    println!(
        "{:<56} {:>7} {:>7} {:>7}",
        "all",
        all.tried,
        all.signed,
        all.tried - all.signed
    );
}
