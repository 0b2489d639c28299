//! `assay policy history`: every version, and who stood for it.

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{ListPoliciesRequest, PolicyInfo};
use serde::Serialize;

use crate::admin::Admin;
use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::{self, Output, Row};

pub(super) async fn run(installation: &Installation, out: Output) -> Outcome {
    let mut admin = Admin::connect(installation).await?;
    let reply = admin
        .call(ListPoliciesRequest {}, AdministrationClient::list_policies)
        .await?;
    let rows: Vec<_> = reply.policies.into_iter().map(Version::from).collect();
    out.list(&rows)
}

#[derive(Debug, Serialize)]
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) active: bool,
    pub(super) profiles: Vec<String>,
    pub(super) ticket: String,
    pub(super) author: String,
    pub(super) approvers: Vec<String>,
    pub(super) not_before: String,
    pub(super) expires: String,
    pub(super) activated_at: String,
    pub(super) activated_by: String,
    pub(super) file_hash: String,
    pub(super) model_hash: String,
    pub(super) proposal_sha256: String,
}

impl From<PolicyInfo> for Version {
    fn from(info: PolicyInfo) -> Self {
        let PolicyInfo {
            number,
            file_hash,
            model_hash,
            activated_at,
            activated_by,
            active,
            profiles,
            proposal_sha256,
            ticket,
            author,
            approvers,
            not_before,
            expires,
        } = info;
        Self {
            number,
            active,
            profiles,
            ticket,
            author,
            approvers,
            not_before: output::time(not_before),
            expires: output::time(expires),
            activated_at: output::time(activated_at),
            activated_by,
            file_hash,
            model_hash,
            proposal_sha256,
        }
    }
}

impl Version {
    pub(super) fn lines(&self) -> Vec<String> {
        let in_force = if self.active { ", in force" } else { "" };
        vec![
            format!("version       {}{in_force}", self.number),
            format!("profiles      {}", self.profiles.join(", ")),
            format!("ticket        {}", self.ticket),
            format!("author        {}", self.author),
            format!("approved by   {}", self.approvers.join(", ")),
            format!(
                "activated     {} by {}",
                self.activated_at, self.activated_by
            ),
            format!("expires       {}", self.expires),
            format!("file hash     {}", self.file_hash),
            format!("model hash    {}", self.model_hash),
            format!("proposal      {}", self.proposal_sha256),
        ]
    }
}

impl Row for Version {
    const HEADERS: &'static [&'static str] = &[
        "NUMBER",
        "ACTIVE",
        "PROFILES",
        "TICKET",
        "AUTHOR",
        "APPROVED BY",
        "ACTIVATED",
        "BY",
        "EXPIRES",
        "FILE HASH",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.number.to_string(),
            if self.active { "yes" } else { "" }.to_owned(),
            self.profiles.join(" "),
            self.ticket.clone(),
            self.author.clone(),
            self.approvers.join(" "),
            self.activated_at.clone(),
            self.activated_by.clone(),
            self.expires.clone(),
            self.file_hash.clone(),
        ]
    }
}
