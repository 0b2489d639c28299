//! A SoftHSM and a directory for one test, and an offline root.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509NameBuilder, X509Req};

pub(crate) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
pub(crate) const SERVICE: &str = "service";
pub(crate) const ROOT: &str = "root";
/// Key generation is the slow part; four thousand bits took ten seconds on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A SoftHSM with two empty tokens, and room for an installation.
pub(crate) struct Bench {
    scratch: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Result<Self> {
        let bench = Self {
            scratch: tempfile::tempdir()?,
        };
        std::fs::create_dir(bench.path("tokens"))?;
        let config = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            bench.path("tokens").display()
        );
        std::fs::write(bench.path("softhsm2.conf"), config)?;
        bench.write_pin("pin", "1234")?;
        for label in [SERVICE, ROOT] {
            let made = Command::new("softhsm2-util")
                .env("SOFTHSM2_CONF", bench.path("softhsm2.conf"))
                .args([
                    "--init-token",
                    "--free",
                    "--label",
                    label,
                    "--pin",
                    "1234",
                    "--so-pin",
                    "5678",
                ])
                .output()
                .context("softhsm2-util: apt-get install softhsm2")?;
            ensure!(made.status.success(), "{made:?}");
        }
        Ok(bench)
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.scratch.path().join(relative)
    }

    pub(crate) fn write_pin(&self, file: &str, pin: &str) -> Result<()> {
        std::fs::write(self.path(file), pin)?;
        let owner_only = std::fs::Permissions::from_mode(0o600);
        Ok(std::fs::set_permissions(self.path(file), owner_only)?)
    }

    pub(crate) fn token(&self, label: &str, pin_file: &str) -> String {
        format!(
            "pkcs11:token={label}?pin-source=file:{}",
            self.path(pin_file).display()
        )
    }

    /// `assay-ceremony --dir DIR create …` with the service token.
    pub(crate) fn create(&self, dir: &str, pin_file: &str, more: &[&str]) -> Command {
        let mut command = self.run(
            dir,
            &[
                "create",
                "--module",
                MODULE,
                "--token",
                &self.token(SERVICE, pin_file),
                "--token-env",
            ],
        );
        command
            .arg(format!(
                "SOFTHSM2_CONF={}",
                self.path("softhsm2.conf").display()
            ))
            .args(more);
        command
    }

    pub(crate) fn under_root(&self, dir: &str) -> Command {
        self.create(dir, "pin", &["--root-token", &self.token(ROOT, "pin")])
    }

    /// `assay-ceremony --dir DIR …` as it is.
    pub(crate) fn run(&self, dir: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay-ceremony"));
        command.arg("--dir").arg(self.path(dir)).args(more);
        command
    }

    pub(crate) fn import(&self, dir: &str, certificate: &Path, chain: &Path) -> Result<Output> {
        let mut command = self.run(dir, &["import", "--certificate"]);
        Ok(command
            .arg(certificate)
            .arg("--chain")
            .arg(chain)
            .output()?)
    }

    pub(crate) fn certificate(&self, file: &str) -> Result<X509> {
        Ok(X509::from_pem(
            &std::fs::read(self.path(file)).context(file.to_owned())?,
        )?)
    }
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A root that no HSM of ours holds.
pub(crate) struct OfflineRoot {
    key: PKey<Private>,
    pub(crate) certificate: X509,
}

impl OfflineRoot {
    pub(crate) fn new() -> Result<Self> {
        let key = PKey::from_rsa(Rsa::generate(2048)?)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", "Offline Root")?;
        let name = name.build();
        let mut builder = builder()?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_pubkey(&key)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(identifier)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let certificate = builder.build();
        Ok(Self { key, certificate })
    }

    pub(crate) fn certify(
        &self,
        request: &X509Req,
        key: &PKey<openssl::pkey::Public>,
    ) -> Result<X509> {
        let mut builder = builder()?;
        builder.set_subject_name(request.subject_name())?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.set_pubkey(key)?;
        builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
        builder.append_extension(
            KeyUsage::new()
                .critical()
                .key_cert_sign()
                .crl_sign()
                .build()?,
        )?;
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let identifiers = [
            SubjectKeyIdentifier::new().build(&context)?,
            AuthorityKeyIdentifier::new().keyid(true).build(&context)?,
        ];
        for identifier in identifiers {
            builder.append_extension(identifier)?;
        }
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(builder.build())
    }
}

fn builder() -> Result<X509Builder> {
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    let (not_before, not_after) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(10)?);
    builder.set_not_before(&not_before)?;
    builder.set_not_after(&not_after)?;
    Ok(builder)
}
