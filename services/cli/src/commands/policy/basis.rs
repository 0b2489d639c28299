//! `assay policy basis`: what the signer wants the next proposal to say, to be carried where proposals are made.

use std::collections::BTreeMap;

use assay_console::failure::Outcome;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{PolicyBasisReply, PolicyBasisRequest};

use super::super::list::time_text;

pub(super) async fn run(installation: &Installation, out: Output) -> Outcome {
    let basis = fetch(&mut Admin::connect(installation).await?).await?;
    out.one(&basis, lines)
}

/// The signer's answer, as it is printed and read back.
pub(crate) async fn fetch(admin: &mut Admin) -> Outcome<PolicyBasisReply> {
    admin
        .call(PolicyBasisRequest {}, AdministrationClient::policy_basis)
        .await
}

fn lines(basis: &PolicyBasisReply) -> Vec<String> {
    let mut lines = vec![
        format!("next version  {}", basis.next_number),
        format!("predecessor   {}", basis.predecessor),
        format!("issuer        {}", basis.issuer),
    ];
    let named = |label: &str, table: &BTreeMap<String, String>| -> Vec<String> {
        table
            .iter()
            .map(|(name, value)| format!("{label}{name} = {value}"))
            .collect()
    };
    lines.extend(named("setting       ", &basis.settings));
    lines.extend(named("inventory     ", &basis.inventories));
    lines.extend(people(basis));
    lines
}

/// Approvers and stopped profiles.
pub(super) fn people(basis: &PolicyBasisReply) -> Vec<String> {
    let mut lines = vec![format!(
        "approvals     {} besides the author",
        basis.approvals
    )];
    for pinned in &basis.approvers {
        let retired = if pinned.retired { ", retired" } else { "" };
        lines.push(format!(
            "approver      {}{retired}, key {}",
            pinned.person, pinned.spki_sha256
        ));
    }
    for stop in &basis.stopped {
        lines.push(format!(
            "stopped       {} since {} by {}: {}",
            stop.profile,
            time_text(stop.stopped_at),
            stop.stopped_by,
            stop.reason
        ));
    }
    lines
}
