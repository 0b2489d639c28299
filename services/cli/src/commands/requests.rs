//! `assay request`: what waits for an operator's decision.

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    DecideRequestRequest, FieldVerdict, GetRequestRequest, ListRequestsRequest, RequestInfo,
};
use clap::{Args, Subcommand, ValueEnum};
use openssl::x509::X509Req;
use serde::Serialize;

use crate::admin::Admin;
use crate::failure::{Failure, Next, OrFail, Outcome};
use crate::installation::Installation;
use crate::output::{self, Output, Row};

#[derive(Debug, Subcommand)]
pub(crate) enum RequestCommand {
    /// List requests, those that wait unless told otherwise
    List(ListArgs),
    Show(ShowArgs),
    Approve(IdArgs),
    /// Deny a request; the device's next poll is told so
    Deny(IdArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those in this state
    #[arg(long, value_enum, default_value_t = State::Pending)]
    state: State,

    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Pending,
    /// Approved, and not polled for yet
    Approved,
    Issued,
    Denied,
    Expired,
    All,
}

#[derive(Debug, Args)]
#[command(about = "Show a request, with every rule that policy held it to")]
#[command(long_about = "\
Shows a request and every rule that the policy in force now holds it to: what holds, and where one does not, what was \
wanted and what came. Policy was satisfied when the device asked; it is asked again before anything is issued. A \
request that was decided has no rules to show.")]
pub(crate) struct ShowArgs {
    /// Id of the request, as `assay request list` shows it
    id: String,

    /// Print the CSR alone, PEM
    #[arg(long)]
    csr: bool,
}

#[derive(Debug, Args)]
#[command(about = "Approve a request")]
#[command(long_about = "\
Approves a request in the name of this operator. With the last approval that its profile asks for (two, by different \
operators, under four_eyes) the device's next poll gets the certificate, if policy still permits it.")]
pub(crate) struct IdArgs {
    /// Id of the request, as `assay request list` shows it
    id: String,
}

pub(crate) async fn run(
    command: RequestCommand,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let admin = Admin::connect(installation).await?;
    match command {
        RequestCommand::List(args) => list(args, admin, out).await,
        RequestCommand::Show(args) => show(args, admin, out).await,
        RequestCommand::Approve(args) => decide(args.id, true, admin, out).await,
        RequestCommand::Deny(args) => decide(args.id, false, admin, out).await,
    }
}

async fn list(args: ListArgs, mut admin: Admin, out: Output) -> Outcome {
    let state = match args.state {
        State::Pending => "pending",
        State::Approved => "approved",
        State::Issued => "issued",
        State::Denied => "denied",
        State::Expired => "expired",
        State::All => "",
    };
    let request = ListRequestsRequest {
        state: state.to_owned(),
        limit: args.limit,
    };
    let reply = admin
        .call(request, AdministrationClient::list_requests)
        .await?;
    let rows: Vec<_> = reply.requests.into_iter().map(RequestView::from).collect();
    out.list(&rows)
}

async fn show(args: ShowArgs, mut admin: Admin, out: Output) -> Outcome {
    let request = GetRequestRequest { id: args.id };
    let reply = admin
        .call(request, AdministrationClient::get_request)
        .await
        .next(LIST)?;
    let csr = X509Req::from_der(&reply.csr)
        .and_then(|csr| csr.to_pem())
        .or_fail("the signer sent no CSR")?;
    if args.csr && !out.is_json() {
        return out.bytes(&csr);
    }
    let shown = Shown {
        info: view(reply.info)?,
        rules: reply.fields.into_iter().map(RuleView::from).collect(),
        csr: String::from_utf8(csr).or_fail("cannot write PEM")?,
    };
    if out.is_json() {
        return out.json(&shown);
    }
    out.one(&shown, |shown| shown.info.lines())?;
    if shown.rules.is_empty() {
        // It is decided, and policy has no more say.
        return Ok(());
    }
    out.line("")?;
    out.list(&shown.rules)
}

async fn decide(id: String, approve: bool, mut admin: Admin, out: Output) -> Outcome {
    let request = DecideRequestRequest { id, approve };
    let reply = admin
        .call(request, AdministrationClient::decide_request)
        .await
        .next(LIST)?;
    out.one(&view(reply.info)?, |request| vec![request.standing()])
}

const LIST: &str = "`assay request list --state all` shows every request and its state";

fn view(info: Option<RequestInfo>) -> Outcome<RequestView> {
    info.map(RequestView::from)
        .ok_or_else(|| Failure::failed("the signer sent a request without its record"))
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    info: RequestView,
    rules: Vec<RuleView>,
    csr: String,
}

#[derive(Debug, Serialize)]
struct RequestView {
    id: String,
    profile: String,
    state: String,
    subject: String,
    sans: Vec<String>,
    transaction_id: String,
    created_at: String,
    expires_at: String,
    approvals: Vec<String>,
    approvals_needed: u32,
    serial: String,
}

impl From<RequestInfo> for RequestView {
    fn from(info: RequestInfo) -> Self {
        let RequestInfo {
            id,
            profile,
            state,
            subject,
            sans,
            transaction_id,
            created_at,
            expires_at,
            approvals,
            approvals_needed,
            serial,
        } = info;
        Self {
            id,
            profile,
            state,
            subject,
            sans,
            transaction_id,
            created_at: output::time(created_at),
            expires_at: output::time(expires_at),
            approvals,
            approvals_needed,
            serial,
        }
    }
}

impl RequestView {
    fn approved(&self) -> String {
        format!("{} of {}", self.approvals.len(), self.approvals_needed)
    }

    /// One line on what a decision led to.
    fn standing(&self) -> String {
        let Self {
            id, state, serial, ..
        } = self;
        let approved = self.approved();
        match (state.as_str(), serial.is_empty()) {
            ("pending", _) => format!("{id}: {approved} approvals, still pending"),
            (_, true) => format!("{id}: {state}"),
            (_, false) => format!("{id}: {state}, certificate {serial}"),
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("id           {}", self.id),
            format!("state        {}", self.state),
            format!("profile      {}", self.profile),
            format!("subject      {}", self.subject),
            format!("SANs         {}", self.sans.join(" ")),
            format!("asked        {}", self.created_at),
            format!("expires      {}", self.expires_at),
            format!(
                "approvals    {} {}",
                self.approved(),
                self.approvals.join(" ")
            ),
            format!("transaction  {}", self.transaction_id),
        ];
        if !self.serial.is_empty() {
            lines.push(format!("certificate  {}", self.serial));
        }
        lines
    }
}

impl Row for RequestView {
    const HEADERS: &'static [&'static str] = &[
        "ID",
        "STATE",
        "PROFILE",
        "SUBJECT",
        "SANS",
        "APPROVALS",
        "ASKED",
        "EXPIRES",
        "SERIAL",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.state.clone(),
            self.profile.clone(),
            self.subject.clone(),
            self.sans.join(" "),
            self.approved(),
            self.created_at.clone(),
            self.expires_at.clone(),
            self.serial.clone(),
        ]
    }
}

/// One rule of the decision.
#[derive(Debug, Serialize)]
struct RuleView {
    rule: String,
    title: String,
    holds: bool,
    detail: String,
}

impl From<FieldVerdict> for RuleView {
    fn from(field: FieldVerdict) -> Self {
        let FieldVerdict {
            rule,
            title,
            holds,
            detail,
        } = field;
        Self {
            rule,
            title,
            holds,
            detail,
        }
    }
}

impl Row for RuleView {
    const HEADERS: &'static [&'static str] = &["RULE", "VERDICT", "TITLE", "WANTED AND GOT"];

    fn cells(&self) -> Vec<String> {
        let verdict = if self.holds { "holds" } else { "FAILED" };
        vec![
            self.rule.clone(),
            verdict.to_owned(),
            self.title.clone(),
            self.detail.clone(),
        ]
    }
}
