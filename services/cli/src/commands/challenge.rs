//! `assay challenge`: what lets a device ask for its first certificate.

use std::path::PathBuf;
use std::time::Duration;

use assay_console::failure::{Failure, Outcome};
use assay_console::files;
use assay_console::output::{Column, Output};
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::Named;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    ChallengeInfo, ChallengeItem, ChallengeState, IssueChallengesRequest, ListChallengesReply,
    ListChallengesRequest, RevokeChallengeRequest,
};
use clap::{Args, Subcommand};

use super::list::{NameArgs, PageArgs, RangeArgs, filter, named, time_text, transaction};

#[derive(Debug, Subcommand)]
pub(crate) enum ChallengeCommand {
    /// Issue challenges; prints nothing but the challenge, or one a line
    Issue(IssueArgs),
    /// List challenges (never the secrets: only keyed hashes are kept)
    List(ListArgs),
    /// Make a challenge worthless
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// Profile that the challenge is for
    #[arg(long)]
    profile: String,

    /// Subject that it allows, RFC 4514, most specific first: 'CN=box-1,O=Example'
    #[arg(long, required_unless_present_any = ["from", "static_challenge"])]
    subject: Option<String>,

    /// Subject alternative name that it allows: dns:, ip:, email:, uri:, upn: or other:; repeat for more
    #[arg(long = "san", value_name = "TYPE:VALUE", requires = "subject")]
    sans: Vec<String>,

    /// Reads one subject a line and prints one challenge a line, in that order; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subject", "static_challenge"])]
    from: Option<PathBuf>,

    /// A static challenge, shared by all names of the profile's inventory
    #[arg(long = "static", conflicts_with = "subject")]
    static_challenge: bool,

    /// Time to live, such as 1h or 7d [default: the profile's limit]
    #[arg(long, value_parser = assay_types::duration::parse)]
    ttl: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only challenges for this profile
    #[arg(long, value_parser = filter())]
    profile: Option<String>,

    /// Only challenges in this state
    #[arg(long, value_parser = named::<ChallengeState>())]
    state: Option<ChallengeState>,

    #[command(flatten)]
    names: NameArgs,

    /// Only the challenge that was spent on the certificate with this serial number, hex
    #[arg(long, value_parser = filter())]
    serial: Option<String>,

    /// Only the challenge that was spent in this SCEP transaction, or that its request reserves
    #[arg(long, value_name = "ID", value_parser = transaction)]
    transaction: Option<String>,

    #[command(flatten)]
    issued: RangeArgs,

    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// Id of the challenge, from `challenge list`
    id: String,
}

pub(crate) async fn run(
    command: ChallengeCommand,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let admin = Admin::connect(installation).await?;
    match command {
        ChallengeCommand::Issue(args) => issue(args, admin, out).await,
        ChallengeCommand::List(args) => list(args, admin, out).await,
        ChallengeCommand::Revoke(args) => revoke(args, admin, out).await,
    }
}

async fn issue(args: IssueArgs, mut admin: Admin, out: Output) -> Outcome {
    let many = args.from.is_some();
    let request = request(args)?;
    let issued = admin.issue_challenges(request).await?;
    match (out.is_json(), many) {
        (true, true) => out.json(&issued),
        (true, false) => out.json(&issued.first()),
        (false, _) => {
            let lines: String = issued
                .iter()
                .map(|issued| issued.challenge.clone() + "\n")
                .collect();
            out.bytes(lines.as_bytes())
        }
    }
}

fn request(args: IssueArgs) -> Outcome<IssueChallengesRequest> {
    let subjects = match (&args.from, args.subject) {
        (Some(file), _) => files::read_list(file)?,
        (None, subject) => subject.into_iter().collect(),
    };
    if subjects.is_empty() && !args.static_challenge {
        return Err(Failure::usage("the list names no subject")
            .next("give one subject a line, such as CN=box-1,O=Example"));
    }
    let items = subjects
        .into_iter()
        .map(|subject| ChallengeItem {
            subject,
            sans: args.sans.clone(),
        })
        .collect();
    Ok(IssueChallengesRequest {
        profile: args.profile,
        items,
        ttl: args.ttl.map(Into::into),
        static_challenge: args.static_challenge,
    })
}

async fn list(args: ListArgs, admin: Admin, out: Output) -> Outcome {
    let request = |page| ListChallengesRequest {
        page,
        profile: args.profile.clone().unwrap_or_default(),
        state: args.state.unwrap_or_default().into(),
        subject: args.names.subject.clone().unwrap_or_default(),
        san: args.names.san.clone().unwrap_or_default(),
        serial: args.serial.clone().unwrap_or_default(),
        transaction_id: args.transaction.clone().unwrap_or_default(),
        issued: args.issued.into(),
    };
    let call = AdministrationClient::list_challenges;
    let rows = |reply: ListChallengesReply| (reply.challenges, reply.page);
    let listed = args.page.list(admin, call, request, rows).await?;
    listed.print(out, COLUMNS)
}

async fn revoke(args: RevokeArgs, mut admin: Admin, out: Output) -> Outcome {
    let request = RevokeChallengeRequest {
        id: args.id.clone(),
    };
    admin
        .call(request, AdministrationClient::revoke_challenge)
        .await?;
    out.one(&serde_json::json!({ "revoked": args.id }), |_| {
        vec![format!("revoked {}", args.id)]
    })
}

const COLUMNS: &[Column<ChallengeInfo>] = &[
    ("ID", |info| info.id.clone()),
    ("PROFILE", |info| info.profile.clone()),
    ("KIND", |info| info.kind().as_str().to_owned()),
    ("STATE", |info| info.state().as_str().to_owned()),
    ("SUBJECT", |info| info.subject.clone()),
    ("SANS", |info| info.sans.join(" ")),
    ("EXPIRES", |info| time_text(info.expires_at)),
    ("ISSUED BY", |info| info.issued_by.clone()),
    ("SERIAL", |info| info.serial.clone()),
];
