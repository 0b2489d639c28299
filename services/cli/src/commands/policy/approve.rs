//! `assay policy approve`: a person looks at a proposal and signs its very bytes.

use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_policy::{Bundle, PolicyFile, Proposal, diff, diff_proposals};
use assay_proto::v1::GetPolicyRequest;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_types::Hash;
use clap::Args;
use serde::Serialize;

use super::files::load;
use super::folder::{Credential, Folder};

#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Directory of the proposal
    proposal: PathBuf,

    /// Certificate that is pinned in signer.toml, PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,

    /// Its private key, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "print_command")]
    key: Option<PathBuf>,

    /// Sign nothing: print the openssl command that signs the same, for a key on a smart card
    #[arg(long)]
    print_command: bool,
}

pub(super) async fn run(args: ApproveArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let folder = Folder::at(&args.proposal);
    let name = name_of(&args.certificate)?;
    if args.print_command {
        folder.read()?;
        return out.line(&command(
            &folder,
            &args.certificate,
            args.key.as_deref(),
            &name,
        ));
    }
    let Some(key) = args.key else {
        return Err(Failure::usage("no key given").next("give --key, or --print-command"));
    };
    let credential = Credential {
        certificate: args.certificate,
        key,
    };
    let changes = changes(&folder, dir).await?;
    let approved = approve(&folder, &credential, changes)?;
    out.one(&approved, Approval::lines)
}

/// Signs, into `approvals/` under the name of the certificate's file.
pub(crate) fn approve(
    folder: &Folder,
    credential: &Credential,
    changes: Option<Vec<String>>,
) -> Outcome<Approval> {
    let (proposal, text, policy) = folder.read()?;
    let signature = credential.sign(&text)?;
    let file = folder.approval_file(&name_of(&credential.certificate)?);
    files::create(&file, &signature, files::PUBLIC)?;
    Ok(Approval {
        number: proposal.number,
        ticket: proposal.ticket,
        not_before: proposal.not_before.to_string(),
        expires: proposal.expires.to_string(),
        resumes: proposal.resumes.iter().map(ToString::to_string).collect(),
        files: policy.into_iter().map(|file| file.name).collect(),
        changes,
        sha256: Hash::of(&text).to_string(),
        signature: file,
    })
}

#[derive(Debug, Serialize)]
pub(crate) struct Approval {
    number: u64,
    ticket: String,
    not_before: String,
    expires: String,
    resumes: Vec<String>,
    files: Vec<String>,
    /// Against the version in force; null where the signer was not asked.
    changes: Option<Vec<String>>,
    sha256: String,
    signature: PathBuf,
}

impl Approval {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("version  {}", self.number),
            format!("ticket   {}", self.ticket),
            format!("from     {}", self.not_before),
            format!("expires  {}", self.expires),
            format!("files    {}", self.files.join(", ")),
        ];
        if !self.resumes.is_empty() {
            lines.push(format!("resumes  {}", self.resumes.join(", ")));
        }
        match &self.changes {
            None => lines.push("changes  unknown: the signer was not asked".to_owned()),
            Some(changes) if changes.is_empty() => lines.push("changes  none".to_owned()),
            Some(changes) => {
                lines.extend(changes.iter().map(|change| format!("changes  {change}")));
            }
        }
        lines.push(format!("sha256   {}", self.sha256));
        lines.push(format!("signed   {}", self.signature.display()));
        lines
    }
}

/// Of a proposal, what no two versions share; the lines above tell it.
const NEW_EACH_TIME: [&str; 5] = [
    "proposal.number",
    "proposal.predecessor",
    "proposal.ticket",
    "proposal.not_before",
    "proposal.expires",
];

/// What is other than in the version in force, by meaning, where its signer can be asked; an approver's own machine often cannot.
async fn changes(folder: &Folder, dir: Option<&Path>) -> Outcome<Option<Vec<String>>> {
    let (proposal, _, policy) = folder.read()?;
    let Ok(installation) = Installation::find(dir) else {
        return Ok(None);
    };
    let Ok(mut admin) = Admin::connect(&installation).await else {
        return Ok(None);
    };
    let in_force = admin
        .call(
            GetPolicyRequest { number: 0 },
            AdministrationClient::get_policy,
        )
        .await;
    let Some(old) = in_force.ok().and_then(|reply| reply.proposal) else {
        return Ok(None);
    };
    let files: Vec<PolicyFile> = old
        .files
        .into_iter()
        .map(|assay_proto::v1::PolicyFile { name, content }| PolicyFile { name, content })
        .collect();
    let (Ok(before), Ok(old)) = (Bundle::load(&files), Proposal::parse(&old.proposal)) else {
        let unreadable = "unknown: this release cannot read the version in force".to_owned();
        return Ok(Some(vec![unreadable]));
    };
    let of_proposal = diff_proposals(&old, &proposal)
        .into_iter()
        .filter(|change| {
            !change
                .paths
                .iter()
                .any(|path| NEW_EACH_TIME.contains(&path.as_str()))
        });
    let of_files = diff(&before, &load(&policy)?);
    let changes = of_proposal.chain(of_files);
    Ok(Some(changes.map(|change| change.to_string()).collect()))
}

fn name_of(certificate: &Path) -> Outcome<String> {
    certificate
        .file_stem()
        .and_then(|stem| stem.to_str())
        .map(str::to_owned)
        .ok_or_else(|| Failure::usage(format!("{} has no usable name", certificate.display())))
}

fn command(folder: &Folder, certificate: &Path, key: Option<&Path>, name: &str) -> String {
    let key = key.map_or("KEY".to_owned(), quoted);
    format!(
        "openssl cms -sign -binary -nocerts -md sha256 -in {} -signer {} -inkey {key} -outform DER -out {}",
        quoted(&folder.text_file()),
        quoted(certificate),
        quoted(&folder.approval_file(name)),
    )
}

/// For a POSIX shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
