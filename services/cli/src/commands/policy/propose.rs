//! `assay policy propose`: files and the signer's basis become a proposal that its author signed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_policy::{PolicyFile, ProfileName, Proposal, Semantics};
use assay_proto::v1::PolicyBasisReply;
use assay_types::Hash;
use clap::Args;
use serde::Serialize;

use super::basis;
use super::files::{FilesArgs, load};
use super::folder::{Credential, Folder};

#[derive(Debug, Args)]
pub(crate) struct ProposeArgs {
    #[command(flatten)]
    files: FilesArgs,

    /// The change ticket
    #[arg(long)]
    ticket: String,

    /// When the version ends: 365d, 2027-06-30 or 2027-06-30T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    expires: SystemTime,

    /// A stopped profile that is to issue again; repeat for more
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    resume: Vec<ProfileName>,

    /// SHA-256 of the HSM service's configuration that goes with the version, as `assay-hsm --check` prints it
    ///
    /// `assay-audit verify --journal` reports each interval in which the HSM service ran with another one.
    #[arg(long, value_name = "SHA256")]
    hsm_configuration: Option<Hash>,

    /// Work from a saved `assay policy basis --json` instead of asking the signer
    #[arg(long, value_name = "FILE")]
    basis: Option<PathBuf>,

    #[command(flatten)]
    author: Credential,

    /// Directory of the proposal; it is made
    #[arg(short, long, value_name = "PROPOSAL_DIR")]
    output: PathBuf,
}

/// What a proposal says besides its files and its basis.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) ticket: String,
    pub(crate) expires: SystemTime,
    pub(crate) resumes: Vec<ProfileName>,
    pub(crate) hsm_configuration: Option<Hash>,
}

pub(super) async fn run(args: ProposeArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let policy = args.files.read(dir)?;
    load(&policy)?;
    let basis = match &args.basis {
        Some(file) => serde_json::from_slice(&files::read(file)?)
            .or_usage(format!("{} is no basis", file.display()))
            .map_err(|failure| failure.next("save one with `assay policy basis --json`"))?,
        None => basis::fetch(&mut Admin::connect(&Installation::find(dir)?).await?).await?,
    };
    let wanted = Wanted {
        ticket: args.ticket,
        expires: args.expires,
        resumes: args.resume,
        hsm_configuration: args.hsm_configuration,
    };
    let folder = Folder::at(args.output);
    let proposed = propose(&policy, &basis, &wanted, &args.author, &folder)?;
    out.one(&proposed, |proposed| {
        vec![
            format!(
                "version {} is proposed in {}: {}",
                proposed.number,
                proposed.directory.display(),
                proposed.profiles.join(", ")
            ),
            format!("expires  {}", proposed.expires),
            format!("sha256   {}", proposed.sha256),
            format!(
                "next: `assay policy approve {}` by {} other than the author",
                proposed.directory.display(),
                match proposed.approvals_needed {
                    1 => "one person".to_owned(),
                    several => format!("{several} people"),
                }
            ),
        ]
    })
}

/// Writes a proposal and its author's signature to `folder`, which is made.
pub(crate) fn propose(
    policy: &[PolicyFile],
    basis: &PolicyBasisReply,
    wanted: &Wanted,
    author: &Credential,
    folder: &Folder,
) -> Outcome<Proposed> {
    let bundle = load(policy)?;
    let proposal = Proposal {
        number: basis.next_number,
        predecessor: match basis.predecessor.as_str() {
            "" => None,
            hash => Some(sha256("predecessor", hash)?),
        },
        files: bundle.file_hash(),
        model: bundle.model_hash(),
        semantics: Semantics::CURRENT,
        issuer: sha256("issuer", &basis.issuer)?,
        hsm_configuration: wanted.hsm_configuration,
        not_before: SystemTime::now().into(),
        expires: wanted.expires.into(),
        ticket: wanted.ticket.clone(),
        resumes: wanted.resumes.iter().cloned().collect::<BTreeSet<_>>(),
        settings: basis.settings.clone(),
        inventories: inventories(&basis.inventories)?,
    };
    proposal
        .check()
        .or_usage("the proposal would not be read")?;
    let text = proposal.to_toml();
    let signature = author.sign(text.as_bytes())?;
    folder.create(policy, text.as_bytes(), &signature)?;
    Ok(Proposed {
        number: proposal.number,
        directory: folder.path().to_owned(),
        sha256: Hash::of(text.as_bytes()).to_string(),
        expires: proposal.expires.to_string(),
        profiles: bundle.profiles().keys().map(ToString::to_string).collect(),
        approvals_needed: basis.approvals,
    })
}

#[derive(Debug, Serialize)]
pub(crate) struct Proposed {
    number: u64,
    directory: PathBuf,
    sha256: String,
    expires: String,
    profiles: Vec<String>,
    approvals_needed: u32,
}

fn inventories(heads: &BTreeMap<String, String>) -> Outcome<BTreeMap<ProfileName, Hash>> {
    heads
        .iter()
        .map(|(name, head)| {
            let profile = profile(name).or_usage("the basis names an inventory")?;
            Ok((profile, sha256("inventories", head)?))
        })
        .collect()
}

fn sha256(key: &str, text: &str) -> Outcome<Hash> {
    text.parse()
        .map_err(|_| Failure::usage(format!("the basis has no SHA-256 in {key}")))
}

fn profile(text: &str) -> Result<ProfileName, String> {
    ProfileName::parse(text).ok_or_else(|| format!("{text:?} is no name of a profile"))
}

/// Latest expiry: what fits into four digits of a year.
const MOST: Duration = Duration::from_secs(100 * 365 * 86_400);

fn expiry(text: &str) -> Result<SystemTime, String> {
    let wanted = "wanted a time such as 365d, 2027-06-30 or 2027-06-30T12:00:00Z";
    let now = SystemTime::now();
    let time = assay_types::duration::parse(text)
        .ok()
        .and_then(|after| now.checked_add(after))
        .or_else(|| humantime::parse_rfc3339(text).ok())
        .or_else(|| humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).ok())
        .ok_or(wanted)?;
    if time <= now || time > now + MOST {
        return Err("wanted a time from now to 100 years from now".to_owned());
    }
    Ok(time)
}
