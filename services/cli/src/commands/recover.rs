//! `assay recover`: people sign what is recovered from a backup, and what from the journal of the HSM service.

use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_policy::RecoveryStatement;
use assay_types::Hash;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::policy::folder::Credential;

#[derive(Debug, Subcommand)]
pub(crate) enum RecoverCommand {
    /// Sign a statement that `assay-signer --propose-recovery` printed
    ///
    /// The signature is written beside the statement, under the name of the certificate's file. `assay-signer --recover` takes
    /// it. Example: assay recover approve statement.json --certificate alice.pem --key alice.key
    Approve(ApproveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The statement
    statement: PathBuf,

    #[command(flatten)]
    credential: Credential,
}

#[derive(Debug, Serialize)]
struct Approval {
    #[serde(flatten)]
    statement: RecoveryStatement,
    sha256: String,
    signature: PathBuf,
}

pub(crate) fn run(command: RecoverCommand, out: Output) -> Outcome {
    match command {
        RecoverCommand::Approve(args) => {
            let text = files::read(&args.statement)?;
            let statement = RecoveryStatement::parse(&text)
                .or_fail(format!("{} cannot be signed", args.statement.display()))
                .map_err(|failure| {
                    failure
                        .next("name the very file that `assay-signer --propose-recovery` printed")
                })?;
            let signature = signature_file(&args.statement, &args.credential.certificate)?;
            let signed = args.credential.sign(&text)?;
            files::create(&signature, &signed, files::PUBLIC)?;
            let approval = Approval {
                statement,
                sha256: Hash::of(&text).to_string(),
                signature,
            };
            out.one(&approval, Approval::lines)
        }
    }
}

/// `STATEMENT.NAME.p7s`.
fn signature_file(statement: &Path, certificate: &Path) -> Outcome<PathBuf> {
    let name = certificate.file_stem().and_then(|stem| stem.to_str());
    let name = name
        .ok_or_else(|| Failure::usage(format!("{} has no usable name", certificate.display())))?;
    let mut file = statement.as_os_str().to_owned();
    file.push(format!(".{name}.p7s"));
    Ok(file.into())
}

impl Approval {
    fn lines(&self) -> Vec<String> {
        let RecoveryStatement {
            journal,
            log_size,
            restored_size,
            hash_only,
            policy_floor,
            reason,
            time,
            ..
        } = &self.statement;
        vec![
            format!("reason    {reason}"),
            format!("made      {time}"),
            format!("journal   {journal}"),
            format!("log       {log_size} records, of which the backup has {restored_size}"),
            format!("lost      {hash_only} records, which enter the log as hashes alone"),
            format!("policy    the next version has a number above {policy_floor}"),
            format!("sha256    {}", self.sha256),
            format!("signed    {}", self.signature.display()),
        ]
    }
}
