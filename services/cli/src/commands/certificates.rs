//! `assay cert`: what was issued, and what became of it.

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{CertificateInfo, GetCertificateRequest, ListCertificatesRequest};
use clap::{Args, Subcommand};
use openssl::x509::X509;
use serde::Serialize;

use super::{expiring, revocation};
use crate::admin::Admin;
use crate::failure::{Failure, OrFail, Outcome};
use crate::installation::Installation;
use crate::output::{self, Output, Row};

#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// List issued certificates, newest first
    List(ListArgs),
    /// Show one certificate
    Show(ShowArgs),
    /// List certificates that end soon and were not renewed, soonest first
    Expiring(expiring::ExpiringArgs),
    Revoke(revocation::RevokeArgs),
    /// Put a certificate on hold: revoked until it is released
    Hold(revocation::SerialArgs),
    /// Make a certificate on hold valid again
    Release(revocation::SerialArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this profile's
    #[arg(long, default_value = "")]
    profile: String,

    /// Only those issued before this position, for the next page
    #[arg(long, default_value_t = 0)]
    before: u64,

    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Serial number, hex, with or without colons
    serial: String,

    /// Print the PEM certificate alone
    #[arg(long)]
    pem: bool,
}

pub(crate) async fn run(command: CertCommand, installation: &Installation, out: Output) -> Outcome {
    let admin = Admin::connect(installation).await?;
    match command {
        CertCommand::List(args) => list(args, admin, out).await,
        CertCommand::Show(args) => show(args, admin, out).await,
        CertCommand::Expiring(args) => expiring::run(args, admin, out).await,
        CertCommand::Revoke(args) => revocation::revoke(args, admin, out).await,
        CertCommand::Hold(args) => revocation::hold(args, admin, out).await,
        CertCommand::Release(args) => revocation::release(args, admin, out).await,
    }
}

async fn list(args: ListArgs, mut admin: Admin, out: Output) -> Outcome {
    let request = ListCertificatesRequest {
        profile: args.profile,
        before: args.before,
        limit: args.limit,
    };
    let reply = admin
        .call(request, AdministrationClient::list_certificates)
        .await?;
    let rows: Vec<_> = reply
        .certificates
        .into_iter()
        .map(CertificateView::from)
        .collect();
    out.list(&rows)
}

async fn show(args: ShowArgs, mut admin: Admin, out: Output) -> Outcome {
    let request = GetCertificateRequest {
        serial: args.serial,
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
    let shown = Shown {
        info: info.into(),
        pem,
    };
    if out.is_json() {
        return out.json(&shown);
    }
    let text = certificate
        .to_text()
        .or_fail("cannot print the certificate")?;
    out.one(&shown, |shown| shown.info.lines())?;
    out.line("")?;
    out.bytes(&text)?;
    out.bytes(shown.pem.as_bytes())
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    info: CertificateView,
    pem: String,
}

#[derive(Debug, Serialize)]
pub(super) struct CertificateView {
    position: u64,
    pub(super) serial: String,
    pub(super) profile: String,
    pub(super) subject: String,
    pub(super) sans: Vec<String>,
    not_before: String,
    pub(super) not_after: String,
    issued_at: String,
    sha256: String,
    transaction_id: String,
    policy_hash: String,
    /// issued, abandoned, held or revoked.
    state: String,
    revoked_at: String,
    revocation_reason: String,
    pub(super) superseded_by: String,
}

impl From<CertificateInfo> for CertificateView {
    fn from(info: CertificateInfo) -> Self {
        let CertificateInfo {
            position,
            serial,
            profile,
            subject,
            sans,
            not_before,
            not_after,
            issued_at,
            sha256,
            transaction_id,
            policy_hash,
            state,
            revoked_at,
            revocation_reason,
            superseded_by,
        } = info;
        Self {
            position,
            serial,
            profile,
            subject,
            sans,
            not_before: output::time(not_before),
            not_after: output::time(not_after),
            issued_at: output::time(issued_at),
            sha256,
            transaction_id,
            policy_hash,
            state,
            revoked_at: output::time(revoked_at),
            revocation_reason,
            superseded_by,
        }
    }
}

impl CertificateView {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("serial       {}", self.serial),
            format!("state        {}", self.standing()),
            format!("profile      {}", self.profile),
            format!("subject      {}", self.subject),
            format!("SANs         {}", self.sans.join(" ")),
            format!("valid        {} to {}", self.not_before, self.not_after),
            format!("issued       {}", self.issued_at),
            format!("SHA-256      {}", self.sha256),
            format!("transaction  {}", self.transaction_id),
            format!("policy       {}", self.policy_hash),
        ];
        if !self.superseded_by.is_empty() {
            lines.push(format!("replaced by  {}", self.superseded_by));
        }
        lines
    }

    /// The state with reason and time of a revocation.
    fn standing(&self) -> String {
        if self.revoked_at.is_empty() {
            return self.state.clone();
        }
        format!(
            "{} since {} ({})",
            self.state, self.revoked_at, self.revocation_reason
        )
    }
}

impl Row for CertificateView {
    const HEADERS: &'static [&'static str] = &[
        "POSITION",
        "SERIAL",
        "STATE",
        "PROFILE",
        "SUBJECT",
        "SANS",
        "NOT AFTER",
        "ISSUED",
        "REPLACED BY",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.position.to_string(),
            self.serial.clone(),
            self.state.clone(),
            self.profile.clone(),
            self.subject.clone(),
            self.sans.join(" "),
            self.not_after.clone(),
            self.issued_at.clone(),
            self.superseded_by.clone(),
        ]
    }
}
