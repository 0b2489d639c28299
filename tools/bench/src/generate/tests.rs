mod altered;
mod uniform;

use std::path::Path;

use assay_types::Timestamp;
use assay_verify::Verdict;
use clap::CommandFactory as _;
use tempfile::TempDir;

use super::*;
use crate::Cli;

/// A generated store, with whom it takes to start a signer over it again.
struct Made {
    _folder: TempDir,
    path: PathBuf,
    own: Own,
}

/// Enrols `certificates` devices over `days` days.
async fn made(certificates: u32, days: u32) -> Made {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store");
    make_dir(&path).unwrap();
    let own = Own::new(&path, DAY * days).unwrap();
    let signer = own.start().await.unwrap();
    own.activate_policy(&signer).await.unwrap();
    own.enrol(&signer, certificates).await.unwrap();
    own.stop(&signer).await.unwrap();
    Made {
        _folder: folder,
        path,
        own,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

fn arguments(out: PathBuf, days: u32) -> Generate {
    Generate {
        certificates: 3,
        days,
        out,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_span_is_proven_and_no_secret_stays() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("store");
    let made = generate(&arguments(out.clone(), MAX_DAYS)).await.unwrap();
    let report = altered::verified(&out, &out.join("export"));
    assert_eq!(
        report.verdict,
        Verdict::Proven,
        "{:?} {:?}",
        report.bad,
        report.open
    );
    assert_eq!(report.decided_again, 3);

    // It was measured when the WAL was in it: a store without any row is smaller.
    let file = std::fs::metadata(out.join("signer.db")).unwrap().len();
    assert_eq!(made.store_bytes, file);
    assert!(made.store_bytes > 80_000, "{}", made.store_bytes);

    let stays = [
        "approvers.toml",
        "author.pem",
        "ca.pem",
        "export",
        "log.vkey",
        "second.pem",
        "signer.db",
        "signer.db.reserve",
        "third.pem",
    ];
    let mut names = names(&out);
    // The file that a store is locked by.
    names.retain(|name| !name.ends_with("lock"));
    assert_eq!(names, stays);
}

#[tokio::test]
async fn a_directory_that_exists_is_refused_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, "another").unwrap();
    let failure = generate(&arguments(folder.path().to_owned(), 0)).await;
    let failure = failure.unwrap_err().to_string();
    assert!(failure.contains("File exists"), "{failure}");
    assert!(failure.contains("--out"), "{failure}");
    let inside = folder.path().join("not/there");
    let failure = generate(&arguments(inside, 0)).await.unwrap_err();
    assert!(failure.to_string().contains("No such file"), "{failure}");
    assert_eq!(names(folder.path()), ["ca.pem"]);
    assert_eq!(std::fs::read(&ca).unwrap(), b"another");
}

#[test]
fn a_signers_configuration_does_not_overwrite_another() {
    let folder = TempDir::new().unwrap();
    let key = || openssl::pkey::PKey::generate_ed25519().unwrap();
    let validity = Timestamp::from_seconds(0)..Timestamp::from_seconds(1);
    let ca = assay_software_token::Ca::new("CA", key(), key(), &validity).unwrap();
    let people = assay_software_token::People::new(&validity).unwrap();
    let write = |folder: &Path| assay_software_token::write(folder, &ca, &people, &[1; 32], "");
    write(folder.path()).unwrap();
    for name in names(folder.path()) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(&name);
        std::fs::write(&path, "another").unwrap();
        let error = write(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&name), "{name}: {error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"another", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_rule() {
    let made = made(1, 0).await;
    let own = &made.own;
    let signer = own.start().await.unwrap();
    own.clock.forward(DAY * 400);
    let failure = own.enrol(&signer, 1).await.unwrap_err().to_string();
    assert!(failure.contains("POL-03"), "{failure}");
}

#[test]
fn only_what_uses_an_installation_offers_its_directory() {
    let offers = |command: &clap::Command| command.get_arguments().any(|arg| arg.get_id() == "dir");
    let command = Cli::command();
    let with_it = command.get_subcommands().filter(|command| offers(command));
    let with_it: Vec<&str> = with_it.map(clap::Command::get_name).collect();
    assert_eq!(with_it, ["token", "enrol", "other", "refusals"]);
}
