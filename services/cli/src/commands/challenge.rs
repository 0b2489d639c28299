//! `assay challenge`: what lets a device ask for its first certificate.

use std::path::PathBuf;
use std::time::Duration;

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    ChallengeInfo, ChallengeItem, IssueChallengesRequest, IssuedChallenge, ListChallengesRequest,
    RevokeChallengeRequest,
};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::admin::Admin;
use crate::failure::{Failure, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::output::{self, Output, Row};

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

    /// Subject alternative name that it allows: dns:, ip:, email:, uri: or upn:; repeat for more
    #[arg(long = "san", value_name = "TYPE:VALUE", requires = "subject")]
    sans: Vec<String>,

    /// Reads one subject a line and prints one challenge a line, in that order; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subject", "static_challenge"])]
    from: Option<PathBuf>,

    /// A static challenge, shared by all names of the profile's inventory
    #[arg(long = "static", conflicts_with = "subject")]
    static_challenge: bool,

    /// Time to live, such as 1h or 7d [default: the profile's limit]
    #[arg(long, value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this profile's
    #[arg(long, default_value = "")]
    profile: String,

    /// Only those in this state
    #[arg(long)]
    state: Option<ChallengeState>,

    /// At most so many, newest first
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ChallengeState {
    Open,
    Spent,
    Revoked,
    Expired,
}

impl ChallengeState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Spent => "spent",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
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
    let views: Vec<_> = issued.into_iter().map(IssuedView::from).collect();
    match (out.is_json(), many) {
        (true, true) => out.json(&views),
        (true, false) => out.json(&views.first()),
        (false, _) => {
            let lines: String = views
                .iter()
                .map(|view| view.challenge.clone() + "\n")
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
        ttl_seconds: args.ttl.map_or(0, |ttl| ttl.as_secs().max(1)),
        static_challenge: args.static_challenge,
    })
}

async fn list(args: ListArgs, mut admin: Admin, out: Output) -> Outcome {
    let request = ListChallengesRequest {
        profile: args.profile,
        state: args.state.map_or("", ChallengeState::as_str).to_owned(),
        limit: args.limit,
    };
    let reply = admin
        .call(request, AdministrationClient::list_challenges)
        .await?;
    let rows: Vec<_> = reply
        .challenges
        .into_iter()
        .map(ChallengeView::from)
        .collect();
    out.list(&rows)
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

#[derive(Debug, Serialize)]
struct IssuedView {
    id: String,
    challenge: String,
}

impl From<IssuedChallenge> for IssuedView {
    fn from(IssuedChallenge { id, challenge }: IssuedChallenge) -> Self {
        Self { id, challenge }
    }
}

#[derive(Debug, Serialize)]
struct ChallengeView {
    id: String,
    profile: String,
    kind: String,
    state: String,
    subject: String,
    sans: Vec<String>,
    issued_at: String,
    expires_at: String,
    issued_by: String,
    serial: String,
}

impl From<ChallengeInfo> for ChallengeView {
    fn from(info: ChallengeInfo) -> Self {
        let ChallengeInfo {
            id,
            profile,
            kind,
            state,
            subject,
            sans,
            issued_at,
            expires_at,
            issued_by,
            serial,
        } = info;
        Self {
            id,
            profile,
            kind,
            state,
            subject,
            sans,
            issued_at: output::time(issued_at),
            expires_at: output::time(expires_at),
            issued_by,
            serial,
        }
    }
}

impl Row for ChallengeView {
    const HEADERS: &'static [&'static str] = &[
        "ID",
        "PROFILE",
        "KIND",
        "STATE",
        "SUBJECT",
        "SANS",
        "EXPIRES",
        "ISSUED BY",
        "SERIAL",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.profile.clone(),
            self.kind.clone(),
            self.state.clone(),
            self.subject.clone(),
            self.sans.join(" "),
            self.expires_at.clone(),
            self.issued_by.clone(),
            self.serial.clone(),
        ]
    }
}
