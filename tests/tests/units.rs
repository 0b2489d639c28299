//! The unit files agree with the programs, the example configurations and the documents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use assay_tests::installation::{binary, value};

/// Each unit, its user, and the address families that its process needs.
const UNITS: [(&str, &str); 3] = [
    ("assay-hsm", "AF_UNIX"),
    ("assay-signer", "AF_UNIX AF_INET AF_INET6"),
    ("assay-frontend", "AF_INET AF_INET6"),
];

/// The calls with which a service confines itself are in no group that every version of systemd knows.
const CALLS: &str =
    "@system-service landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp";

/// Settings that each unit has.
const HARDENING: [(&str, &str); 22] = [
    ("LimitCORE", "0"),
    ("LockPersonality", "yes"),
    ("NoNewPrivileges", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateTmp", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHome", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectProc", "invisible"),
    ("ProtectSystem", "strict"),
    ("RemoveIPC", "yes"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", CALLS),
    ("Type", "exec"),
    ("UMask", "0077"),
];

fn root() -> Result<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(tests
        .parent()
        .context("tests lie in the project")?
        .to_owned())
}

fn file(unit: &str) -> Result<PathBuf> {
    Ok(root()?.join(format!("deploy/systemd/{unit}.service")))
}

/// The settings of a unit by section and key; a key that stands twice is an error.
fn unit(name: &str) -> Result<BTreeMap<(String, String), String>> {
    let mut settings = BTreeMap::new();
    let mut section = String::new();
    for line in std::fs::read_to_string(file(name)?)?.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.clone_into(&mut section);
            continue;
        }
        let (key, value) = line.split_once('=').with_context(|| line.to_owned())?;
        let twice = settings.insert((section.clone(), key.to_owned()), value.to_owned());
        ensure!(twice.is_none(), "{name}: {key} twice");
    }
    Ok(settings)
}

/// A setting of the section `[Service]`.
fn service(name: &str, key: &str) -> Result<String> {
    let settings = unit(name)?;
    let value = settings.get(&("Service".to_owned(), key.to_owned()));
    Ok(value
        .with_context(|| format!("{name} has no {key}"))?
        .clone())
}

#[test]
fn each_unit_starts_its_program_with_options_that_it_has() -> Result<()> {
    for (name, _) in UNITS {
        let command = service(name, "ExecStart")?;
        let mut words = command.split(' ');
        let program = words.next().context("no program")?;
        assert_eq!(program, format!("/usr/bin/{name}"));
        let help = Command::new(binary(name)?).arg("--help").output()?;
        let help = String::from_utf8(help.stdout)?;
        let options: Vec<_> = words.filter(|word| word.starts_with('-')).collect();
        assert_eq!(options, ["--config"], "{name}");
        for option in options {
            ensure!(
                help.contains(&format!("{option} <")),
                "{name} {option}: {help}"
            );
        }
    }
    Ok(())
}

#[test]
fn each_unit_has_a_user_of_its_own_and_gives_up_what_it_does_not_need() -> Result<()> {
    let users = std::fs::read_to_string(root()?.join("deploy/systemd/assay.conf"))?;
    for (name, families) in UNITS {
        assert_eq!(service(name, "User")?, name);
        ensure!(users.contains(&format!("\nu {name} - ")), "{name}: {users}");
        for (key, wanted) in HARDENING {
            assert_eq!(service(name, key)?, wanted, "{name}: {key}");
        }
        assert_eq!(service(name, "RestrictAddressFamilies")?, families);
        let capabilities = service(name, "CapabilityBoundingSet")?;
        let allowed = if name == "assay-frontend" {
            "CAP_NET_BIND_SERVICE"
        } else {
            ""
        };
        assert_eq!(capabilities, allowed, "{name}");
        assert_eq!(service(name, "Restart")?, "on-failure");
        let settings = unit(name)?;
        let limit = |key: &str| settings.get(&("Unit".to_owned(), key.to_owned()));
        // More starts than the limit fit into the interval, so that the limit counts.
        assert_eq!(
            limit("StartLimitIntervalSec").map(String::as_str),
            Some("5min")
        );
        assert_eq!(limit("StartLimitBurst").map(String::as_str), Some("20"));
        assert_eq!(service(name, "RestartSec")?, "5s");
        // Users of another user namespace are not the peers that the socket's ends look for.
        ensure!(service(name, "PrivateUsers").is_err(), "{name}");
    }
    assert_eq!(service("assay-hsm", "PrivateNetwork")?, "yes");
    assert_eq!(service("assay-hsm", "IPAddressDeny")?, "any");
    Ok(())
}

#[test]
fn the_units_paths_and_users_are_those_of_the_configurations() -> Result<()> {
    let example = |service: &str, path: &[&str]| -> Result<String> {
        let file = root()?.join(format!("services/{service}/{service}.toml.example"));
        let value = value(&file, path)?;
        Ok(value.as_str().context("no string")?.to_owned())
    };
    let socket = example("hsm", &["socket"])?;
    let run = format!("/run/{}/", service("assay-hsm", "RuntimeDirectory")?);
    ensure!(socket.starts_with(&run), "{socket}");
    assert_eq!(example("signer", &["hsm", "socket"])?, socket);
    // The signer's group alone passes the directory of the socket.
    assert_eq!(service("assay-hsm", "RuntimeDirectoryMode")?, "0710");
    assert_eq!(
        service("assay-hsm", "Group")?,
        service("assay-signer", "Group")?
    );

    let state = format!("/var/lib/{}", service("assay-hsm", "StateDirectory")?);
    assert_eq!(example("hsm", &["state"])?, state);
    let state = format!("/var/lib/{}/", service("assay-signer", "StateDirectory")?);
    let database = example("signer", &["state", "path"])?;
    ensure!(database.starts_with(&state), "{database}");
    for name in ["assay-hsm", "assay-signer"] {
        assert_eq!(service(name, "StateDirectoryMode")?, "0700");
    }
    ensure!(
        unit("assay-frontend")?
            .keys()
            .all(|(_, key)| !key.ends_with("Directory"))
    );

    assert_eq!(example("hsm", &["peer"])?, service("assay-signer", "User")?);
    assert_eq!(
        example("signer", &["hsm", "user"])?,
        service("assay-hsm", "User")?
    );

    let readme = std::fs::read_to_string(root()?.join("README.md"))?;
    let said = [socket, database, "/var/lib/assay-hsm".to_owned()];
    let configurations = UNITS.map(|(name, _)| {
        let short = name.trim_start_matches("assay-");
        format!("/etc/assay/{short}.toml")
    });
    for path in said.iter().chain(&configurations) {
        ensure!(readme.contains(path), "README.md does not name {path}");
    }
    for ((name, _), configuration) in UNITS.iter().zip(configurations) {
        ensure!(service(name, "ExecStart")?.ends_with(&configuration));
    }
    Ok(())
}

/// Where systemd is there, it reads the units as they are, with another place of the programs.
#[test]
fn systemd_takes_the_units() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut files = Vec::new();
    for (name, _) in UNITS {
        let text = std::fs::read_to_string(file(name)?)?;
        let built = binary(name)?.display().to_string();
        let text = text.replace(&format!("/usr/bin/{name}"), &built);
        // A page that is installed with the programs.
        let text = text.replace("Documentation=", "#Documentation=");
        let file = dir.path().join(format!("{name}.service"));
        std::fs::write(&file, text)?;
        files.push(file);
    }
    let verify = Command::new("systemd-analyze")
        .arg("verify")
        .args(files)
        .output();
    let Ok(verified) = verify else {
        return Ok(());
    };
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("assay-"))
        .collect();
    ensure!(verified.status.success() && ours.is_empty(), "{said}");
    Ok(())
}
