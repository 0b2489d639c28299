//! Who may make which Administration call: the golden table, tried call by call as each role and as nobody.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use assay_runtime::mtls::{self, TlsFiles};
use assay_tests::contract::{calls, is_kept_out, refusal};
use assay_tests::installation::{Installation, binary};
use assay_tests::operator::administration;
use assay_tests::tool;
use tempfile::TempDir;
use tokio::process::Command;
use tonic::Code;
use tonic::client::Grpc;
use tonic::transport::Channel;

const ROLES: [&str; 3] = ["operator", "approver", "auditor"];

/// A call, and whether an operator, an approver and an auditor may make it.
const GOLDEN: &[(&str, [bool; 3])] = &[
    ("Status", [true, true, true]),
    ("IssueChallenges", [true, false, false]),
    ("ListChallenges", [true, true, true]),
    ("RevokeChallenge", [true, false, false]),
    ("AddInventory", [true, false, false]),
    ("ResetInventory", [true, false, false]),
    ("RemoveInventory", [true, false, false]),
    ("ListInventory", [true, true, true]),
    ("PlanRollover", [true, true, true]),
    ("ListCertificates", [true, true, true]),
    ("GetCertificate", [true, true, true]),
    ("GetLineage", [true, true, true]),
    ("ListExpiring", [true, true, true]),
    ("CountExpiring", [true, true, true]),
    ("RevokeCertificate", [true, false, false]),
    ("ReleaseCertificate", [true, false, false]),
    ("GetCrl", [true, true, true]),
    ("ListRequests", [true, true, true]),
    ("GetRequest", [true, true, true]),
    ("DecideRequest", [true, false, false]),
    ("ListLegacy", [true, true, true]),
    ("PolicyBasis", [true, true, true]),
    ("CheckPolicy", [true, true, true]),
    ("ActivatePolicy", [true, true, false]),
    ("ListPolicies", [true, true, true]),
    ("GetPolicy", [true, true, true]),
    ("StopProfile", [true, false, false]),
    ("AcceptClock", [true, false, false]),
    ("ListAudit", [true, true, true]),
    ("GetCheckpoint", [true, true, true]),
    ("ProveConsistency", [true, false, true]),
    ("AddCosignature", [true, false, true]),
    ("GetReceipt", [true, true, true]),
    ("Export", [true, false, true]),
];

#[tokio::test]
async fn each_role_may_make_its_calls_and_no_other() -> Result<()> {
    let golden: BTreeMap<&str, [bool; 3]> = GOLDEN.iter().copied().collect();
    let calls = calls("Administration")?;
    assert_eq!(golden.len(), calls.len(), "a call more or less than listed");
    let installation = Installation::start().await?;
    let dir = &installation.ready().dir;
    for (at, role) in ROLES.iter().enumerate() {
        let mut caller = caller(dir, dir, role).await?;
        for call in &calls {
            let wanted = golden
                .get(call.as_str())
                .and_then(|row| row.get(at))
                .with_context(|| format!("{call} is not in the golden table"))?;
            let refused = refusal(&mut caller, "Administration", call).await;
            let kept_out = refused
                .as_ref()
                .is_some_and(|status| status.code() == Code::PermissionDenied);
            assert_eq!(!kept_out, *wanted, "{role} {call}: {refused:?}");
            // What is not refused for the role reached its handler.
            let unreachable = refused.is_some_and(|status| status.code() == Code::Unavailable);
            assert!(!unreachable, "{role} {call} did not arrive");
        }
    }
    Ok(())
}

#[tokio::test]
async fn nobody_may_make_any_call() -> Result<()> {
    let installation = Installation::start().await?;
    let dir = &installation.ready().dir;
    // The same identities under an anchor of somebody else.
    let elsewhere = TempDir::with_prefix("assay-tests-")?;
    let mut ceremony = Command::new(binary("assay-ceremony")?);
    ceremony.arg("--dir").arg(elsewhere.path()).arg("transport");
    tool::run(&mut ceremony, &[]).await?.succeeded()?;
    for role in ROLES {
        let mut stranger = caller(dir, elsewhere.path(), role).await?;
        for call in calls("Administration")? {
            let refused = refusal(&mut stranger, "Administration", &call).await;
            assert!(is_kept_out(refused.as_ref()), "{role} {call}: {refused:?}");
        }
    }
    // The listener was there all the while.
    let mut known = caller(dir, dir, "auditor").await?;
    assert!(
        refusal(&mut known, "Administration", "Status")
            .await
            .is_none()
    );
    Ok(())
}

/// A connection to the installation with the credentials of a role that were made in `credentials`.
async fn caller(dir: &Path, credentials: &Path, role: &str) -> Result<Grpc<Channel>> {
    let files = TlsFiles {
        certificate: credentials.join(format!("transport/{role}.pem")),
        private_key: credentials.join(format!("transport/{role}.key")),
        trust_anchors: dir.join("transport/anchors-signers.pem"),
    };
    let (address, signer) = administration(dir)?;
    Ok(Grpc::new(mtls::connect(&address, &files, signer).await?))
}
