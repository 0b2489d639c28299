//! `assay cert`: what was issued, and what became of it.

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::output::{Column, Output};
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::Named;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    CertificateInfo, CertificateState, GetCertificateRequest, ListCertificatesReply,
    ListCertificatesRequest,
};
use clap::{Args, Subcommand};
use openssl::x509::X509;
use serde::Serialize;

use super::lineage::Lineage;
use super::list::{NameArgs, PageArgs, RangeArgs, filter, named, time_text, transaction};
use super::{expiring, revocation};

#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// List issued certificates, newest first
    List(ListArgs),
    /// Show one certificate, those that it renews and those that renewed it
    Show(ShowArgs),
    /// List certificates that end soon and were not renewed, soonest first
    Expiring(expiring::ExpiringArgs),
    Revoke(revocation::RevokeArgs),
    /// Put a certificate on hold: revoked until it is released
    Hold(revocation::HoldArgs),
    /// Make a certificate on hold valid again
    Release(revocation::SerialArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only certificates of this profile
    #[arg(long, value_parser = filter())]
    profile: Option<String>,

    /// Only certificates in this state
    #[arg(long, value_parser = named::<CertificateState>())]
    state: Option<CertificateState>,

    #[command(flatten)]
    names: NameArgs,

    /// Only the certificate with this serial number, hex, with or without colons
    #[arg(long, value_parser = filter())]
    serial: Option<String>,

    /// Only certificates of this SCEP transaction
    #[arg(long, value_name = "ID", value_parser = transaction)]
    transaction: Option<String>,

    #[command(flatten)]
    issued: RangeArgs,

    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Serial number, hex, with or without colons
    serial: String,

    /// Print the PEM certificate alone
    #[arg(long)]
    pem: bool,

    #[command(flatten)]
    renewals: PageArgs,
}

pub(crate) async fn run(command: CertCommand, installation: &Installation, out: Output) -> Outcome {
    let admin = Admin::connect(installation).await?;
    match command {
        CertCommand::List(args) => list(args, admin, out).await,
        CertCommand::Show(args) => show(args, admin, out).await,
        CertCommand::Expiring(args) => expiring::run(args, admin, out).await,
        CertCommand::Revoke(args) => revocation::revoke(args, admin, installation, out).await,
        CertCommand::Hold(args) => revocation::hold(args, admin, installation, out).await,
        CertCommand::Release(args) => revocation::release(args, admin, installation, out).await,
    }
}

async fn list(args: ListArgs, admin: Admin, out: Output) -> Outcome {
    let request = |page| ListCertificatesRequest {
        page,
        profile: args.profile.clone().unwrap_or_default(),
        state: args.state.unwrap_or_default().into(),
        subject: args.names.subject.clone().unwrap_or_default(),
        san: args.names.san.clone().unwrap_or_default(),
        serial: args.serial.clone().unwrap_or_default(),
        transaction_id: args.transaction.clone().unwrap_or_default(),
        issued: args.issued.into(),
    };
    let call = AdministrationClient::list_certificates;
    let rows = |reply: ListCertificatesReply| (reply.certificates, reply.page);
    let listed = args.page.list(admin, call, request, rows).await?;
    listed.print(out, COLUMNS)
}

async fn show(args: ShowArgs, mut admin: Admin, out: Output) -> Outcome {
    let request = GetCertificateRequest {
        serial: args.serial.clone(),
    };
    let reply = admin
        .call(request, AdministrationClient::get_certificate)
        .await?;
    let info = reply
        .info
        .ok_or_else(|| Failure::failed("the signer sent a certificate without its record"))?;
    let certificate = X509::from_der(&reply.der).or_fail("the signer sent no certificate")?;
    let pem = String::from_utf8(certificate.to_pem().or_fail("cannot write PEM")?)
        .or_fail("cannot write PEM")?;
    if args.pem && !out.is_json() {
        return out.bytes(pem.as_bytes());
    }
    let renewals = Lineage::fetch(args.serial, args.renewals, &mut admin).await?;
    let shown = Shown {
        info,
        renewals,
        pem,
    };
    if out.is_json() {
        return out.json(&shown);
    }
    let text = certificate
        .to_text()
        .or_fail("cannot print the certificate")?;
    out.one(&shown, |shown| {
        let lineage = shown.renewals.lines(&shown.info);
        [lines(&shown.info), lineage].concat()
    })?;
    shown.renewals.note_more();
    out.line("")?;
    out.bytes(&text)?;
    out.bytes(shown.pem.as_bytes())
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    info: CertificateInfo,
    #[serde(flatten)]
    renewals: Lineage,
    pem: String,
}

fn lines(info: &CertificateInfo) -> Vec<String> {
    // One that is recovered and revoked or on hold is known by having no profile.
    let is_imported = info.profile.is_empty();
    let mut lines = vec![
        format!("serial       {}", info.serial),
        format!("state        {}", state(info)),
        if is_imported {
            "origin       the journal of the HSM service; the signer has no request for it"
                .to_owned()
        } else {
            format!("profile      {}", info.profile)
        },
        format!("subject      {}", info.subject),
        format!("SANs         {}", info.sans.join(" ")),
        format!(
            "valid        {} to {}",
            time_text(info.not_before),
            time_text(info.not_after)
        ),
        format!(
            "{:<13}{}",
            if is_imported { "taken up" } else { "issued" },
            time_text(info.issued_at)
        ),
        format!("SHA-256      {}", info.sha256),
    ];
    if !is_imported {
        lines.push(format!("transaction  {}", info.transaction_id));
        lines.push(format!("policy       {}", info.policy_hash));
    }
    if !info.renewal_of.is_empty() {
        lines.push(format!("renews       {}", info.renewal_of));
    }
    if !info.superseded_by.is_empty() {
        lines.push(format!("replaced by  {}", info.superseded_by));
    }
    lines
}

/// The state with time and reason of a revocation.
pub(super) fn state(info: &CertificateInfo) -> String {
    let state = if info.state() == CertificateState::Imported {
        "imported from the journal, revoked"
    } else {
        info.state().as_str()
    };
    match (info.revoked_at, info.revocation_reason) {
        (None, _) => state.to_owned(),
        (Some(at), None) => format!("{state} since {at}"),
        (Some(at), Some(_)) => {
            format!("{state} since {at} ({})", info.revocation_reason().as_str())
        }
    }
}

const COLUMNS: &[Column<CertificateInfo>] = &[
    ("SERIAL", |info| info.serial.clone()),
    ("STATE", |info| info.state().as_str().to_owned()),
    ("PROFILE", |info| info.profile.clone()),
    ("SUBJECT", |info| info.subject.clone()),
    ("SANS", |info| info.sans.join(" ")),
    ("NOT AFTER", |info| time_text(info.not_after)),
    ("ISSUED", |info| time_text(info.issued_at)),
    ("REPLACED BY", |info| info.superseded_by.clone()),
];
