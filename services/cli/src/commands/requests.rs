//! `assay request`: what waits for an operator's decision.

use assay_console::failure::{Failure, Next, OrFail, Outcome};
use assay_console::output::{Column, Output};
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::Named;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    DecideRequestRequest, GetRequestRequest, ListRequestsReply, ListRequestsRequest, RequestInfo,
    RequestState, RuleVerdict,
};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use openssl::x509::X509Req;
use serde::Serialize;

use super::list::{NameArgs, PageArgs, RangeArgs, filter, time_text, transaction};

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
    /// Only requests in this state; an approved one was not polled for yet
    #[arg(long, default_value = RequestState::Pending.as_str(), value_parser = state())]
    state: RequestState,

    /// Only requests for this profile
    #[arg(long, value_parser = filter())]
    profile: Option<String>,

    #[command(flatten)]
    names: NameArgs,

    /// Only the request that the certificate with this serial number was issued for, hex
    #[arg(long, value_parser = filter())]
    serial: Option<String>,

    /// Only requests of this SCEP transaction
    #[arg(long, value_name = "ID", value_parser = transaction)]
    transaction: Option<String>,

    #[command(flatten)]
    created: RangeArgs,

    #[command(flatten)]
    page: PageArgs,
}

/// A state, or `all`, which filters nothing.
fn state() -> impl TypedValueParser<Value = RequestState> {
    let names = RequestState::ALL.iter().map(|state| state.as_str());
    PossibleValuesParser::new(names.chain(["all"]))
        .map(|name| RequestState::named(&name).unwrap_or_default())
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

async fn list(args: ListArgs, admin: Admin, out: Output) -> Outcome {
    let request = |page| ListRequestsRequest {
        page,
        profile: args.profile.clone().unwrap_or_default(),
        state: args.state.into(),
        subject: args.names.subject.clone().unwrap_or_default(),
        san: args.names.san.clone().unwrap_or_default(),
        serial: args.serial.clone().unwrap_or_default(),
        transaction_id: args.transaction.clone().unwrap_or_default(),
        created: args.created.into(),
    };
    let call = AdministrationClient::list_requests;
    let rows = |reply: ListRequestsReply| (reply.requests, reply.page);
    let listed = args.page.list(admin, call, request, rows).await?;
    listed.print(out, COLUMNS)
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
        info: known(reply.info)?,
        rules: reply.rules,
        csr: String::from_utf8(csr).or_fail("cannot write PEM")?,
    };
    if out.is_json() {
        return out.json(&shown);
    }
    out.one(&shown, |shown| lines(&shown.info))?;
    if shown.rules.is_empty() {
        // It is decided, and policy has no more say.
        return Ok(());
    }
    out.line("")?;
    out.table(&shown.rules, RULE_COLUMNS)
}

async fn decide(id: String, approve: bool, mut admin: Admin, out: Output) -> Outcome {
    let request = DecideRequestRequest { id, approve };
    let reply = admin
        .call(request, AdministrationClient::decide_request)
        .await
        .next(LIST)?;
    out.one(&known(reply.info)?, |request| vec![outcome(request)])
}

const LIST: &str = "`assay request list --state all` shows every request and its state";

fn known(info: Option<RequestInfo>) -> Outcome<RequestInfo> {
    info.ok_or_else(|| Failure::failed("the signer sent a request without its record"))
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    info: RequestInfo,
    rules: Vec<RuleVerdict>,
    csr: String,
}

fn approved(info: &RequestInfo) -> String {
    format!("{} of {}", info.approvals.len(), info.approvals_needed)
}

/// One line on what a decision led to.
fn outcome(info: &RequestInfo) -> String {
    let RequestInfo { id, serial, .. } = info;
    let state = info.state();
    match (state, serial.as_str()) {
        (RequestState::Pending, _) => format!("{id}: {} approvals, still pending", approved(info)),
        (state, "") => format!("{id}: {}", state.as_str()),
        (state, serial) => format!("{id}: {}, certificate {serial}", state.as_str()),
    }
}

fn lines(info: &RequestInfo) -> Vec<String> {
    let mut lines = vec![
        format!("id           {}", info.id),
        format!("state        {}", info.state().as_str()),
        format!("profile      {}", info.profile),
        format!("subject      {}", info.subject),
        format!("SANs         {}", info.sans.join(" ")),
        format!("asked        {}", time_text(info.created_at)),
        format!("expires      {}", time_text(info.expires_at)),
        format!(
            "approvals    {} {}",
            approved(info),
            info.approvals.join(" ")
        ),
        format!("transaction  {}", info.transaction_id),
    ];
    if !info.serial.is_empty() {
        lines.push(format!("certificate  {}", info.serial));
    }
    lines
}

const COLUMNS: &[Column<RequestInfo>] = &[
    ("ID", |info| info.id.clone()),
    ("STATE", |info| info.state().as_str().to_owned()),
    ("PROFILE", |info| info.profile.clone()),
    ("SUBJECT", |info| info.subject.clone()),
    ("SANS", |info| info.sans.join(" ")),
    ("APPROVALS", approved),
    ("ASKED", |info| time_text(info.created_at)),
    ("EXPIRES", |info| time_text(info.expires_at)),
    ("SERIAL", |info| info.serial.clone()),
];

const RULE_COLUMNS: &[Column<RuleVerdict>] = &[
    ("RULE", |rule| rule.rule.clone()),
    ("VERDICT", |rule| {
        if rule.holds { "holds" } else { "FAILED" }.to_owned()
    }),
    ("TITLE", |rule| rule.title.clone()),
    ("WANTED AND GOT", |rule| rule.detail.clone()),
];
