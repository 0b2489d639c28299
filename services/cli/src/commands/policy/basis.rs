//! `assay policy basis`: what the signer wants the next proposal to say, to be carried where proposals are made.

use std::collections::BTreeMap;

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{PolicyApprover, PolicyBasisReply, PolicyBasisRequest, StoppedProfile};
use serde::{Deserialize, Serialize};

use crate::admin::Admin;
use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::{self, Output};

/// The signer's answer, as it is printed and read back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basis {
    /// Of the newest version; 0 before the first.
    pub(super) number: u64,
    pub(super) predecessor: String,
    pub(super) issuer: String,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) inventories: BTreeMap<String, String>,
    pub(super) approvals: u32,
    pub(super) approvers: Vec<Pinned>,
    pub(super) stopped: Vec<Stopped>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pinned {
    pub(super) person: String,
    pub(super) spki_sha256: String,
    pub(super) retired: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stopped {
    pub(super) profile: String,
    pub(super) reason: String,
    pub(super) stopped_at: String,
    pub(super) stopped_by: String,
}

pub(super) async fn run(installation: &Installation, out: Output) -> Outcome {
    let basis = Basis::fetch(&mut Admin::connect(installation).await?).await?;
    out.one(&basis, Basis::lines)
}

impl Basis {
    pub(crate) async fn fetch(admin: &mut Admin) -> Outcome<Self> {
        let reply = admin
            .call(PolicyBasisRequest {}, AdministrationClient::policy_basis)
            .await?;
        Ok(reply.into())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("next version  {}", self.number + 1),
            format!("predecessor   {}", self.predecessor),
            format!("issuer        {}", self.issuer),
        ];
        let named = |label: &str, table: &BTreeMap<String, String>| -> Vec<String> {
            table
                .iter()
                .map(|(name, value)| format!("{label}{name} = {value}"))
                .collect()
        };
        lines.extend(named("setting       ", &self.settings));
        lines.extend(named("inventory     ", &self.inventories));
        lines.extend(self.people());
        lines
    }

    /// Approvers and stopped profiles.
    pub(super) fn people(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "approvals     {} besides the author",
            self.approvals
        )];
        for pinned in &self.approvers {
            let retired = if pinned.retired { ", retired" } else { "" };
            lines.push(format!(
                "approver      {}{retired}, key {}",
                pinned.person, pinned.spki_sha256
            ));
        }
        for stop in &self.stopped {
            lines.push(format!(
                "stopped       {} since {} by {}: {}",
                stop.profile, stop.stopped_at, stop.stopped_by, stop.reason
            ));
        }
        lines
    }
}

impl From<PolicyBasisReply> for Basis {
    fn from(reply: PolicyBasisReply) -> Self {
        let PolicyBasisReply {
            number,
            predecessor,
            issuer,
            settings,
            inventories,
            approvals,
            approvers,
            stopped,
        } = reply;
        Self {
            number,
            predecessor,
            issuer,
            settings: settings.into_iter().collect(),
            inventories: inventories.into_iter().collect(),
            approvals,
            approvers: approvers.into_iter().map(Pinned::from).collect(),
            stopped: stopped.into_iter().map(Stopped::from).collect(),
        }
    }
}

impl From<PolicyApprover> for Pinned {
    fn from(approver: PolicyApprover) -> Self {
        let PolicyApprover {
            person,
            spki_sha256,
            retired,
        } = approver;
        Self {
            person,
            spki_sha256,
            retired,
        }
    }
}

impl From<StoppedProfile> for Stopped {
    fn from(stop: StoppedProfile) -> Self {
        let StoppedProfile {
            profile,
            reason,
            stopped_at,
            stopped_by,
        } = stop;
        Self {
            profile,
            reason,
            stopped_at: output::time(stopped_at),
            stopped_by,
        }
    }
}
