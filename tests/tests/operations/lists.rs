//! Lists of the signer: filtered by what is known, newest first, page by page, and never cut without a word.

use anyhow::{Context, Result};
use assay_proto::v1::{
    ListAuditRequest, ListCertificatesRequest, ListChallengesRequest, ListInventoryRequest,
    ListLegacyRequest, ListPoliciesRequest, ListRequestsRequest, PageRequest,
};
use assay_tests::installation::Installation;
use assay_tests::operator::Operator;
use serde_json::Value;
use tonic::Code;

const LISTS: [&[&str]; 7] = [
    &["audit", "list"],
    &["cert", "list"],
    &["cert", "expiring"],
    &["challenge", "list"],
    &["legacy", "list"],
    &["policy", "history"],
    &["request", "list"],
];

async fn json(installation: &Installation, arguments: &[&str]) -> Result<Vec<Value>> {
    let ran = installation
        .assay(&[&["--json"], arguments].concat())
        .await?;
    Ok(serde_json::from_slice(&ran.succeeded()?.stdout)?)
}

#[tokio::test]
async fn an_unknown_value_of_a_filter_is_refused_with_those_that_are_known() -> Result<()> {
    let installation = Installation::start().await?;
    for list in LISTS {
        let ran = installation
            .assay(&[list, &["--profile", "devcies"]].concat())
            .await?;
        assert_eq!(ran.status.code(), Some(1), "{list:?}");
        let known = "no profile `devcies`; the known profiles are devices, fleet";
        assert!(ran.stderr.contains(known), "{list:?}: {}", ran.stderr);
        let ran = installation
            .assay(&[list, &["--limit", "0"]].concat())
            .await?;
        assert_eq!(ran.status.code(), Some(2), "{list:?}");
    }
    for (list, filter, value, said) in [
        (
            "challenge",
            "--state",
            "lost",
            "open, reserved, spent, revoked, expired",
        ),
        (
            "request",
            "--state",
            "lost",
            "pending, approved, issued, denied, expired, all",
        ),
        (
            "cert",
            "--state",
            "lost",
            "intent, issued, held, revoked, abandoned",
        ),
        ("audit", "--kind", "request.lost", "request.issued"),
    ] {
        let ran = installation.assay(&[list, "list", filter, value]).await?;
        assert_eq!(ran.status.code(), Some(2), "{list}");
        assert!(ran.stderr.contains(said), "{list}: {}", ran.stderr);
    }
    for (list, filter, value) in [
        ("cert", "--subject", "pump-1"),
        ("challenge", "--san", "pump-1"),
        ("request", "--serial", "pump-1"),
        ("audit", "--serial", "pump-1"),
    ] {
        let ran = installation.assay(&[list, "list", filter, value]).await?;
        assert_eq!(ran.status.code(), Some(1), "{list}");
        assert!(ran.stderr.contains("`pump-1`"), "{list}: {}", ran.stderr);
    }

    // The signer itself refuses what the command line cannot express.
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    let client = operator.client();
    let page = Some(PageRequest {
        size: 1_001,
        token: String::new(),
    });
    macro_rules! refused {
        ($($call:ident: $request:expr;)+) => {$(
            let status = client.$call($request).await.err().context(stringify!($call))?;
            assert_eq!(status.code(), Code::InvalidArgument, "{}: {status}", stringify!($call));
        )+};
    }
    refused! {
        list_certificates: ListCertificatesRequest { page: page.clone(), ..Default::default() };
        list_certificates: ListCertificatesRequest { state: 99, ..Default::default() };
        list_challenges: ListChallengesRequest { page: page.clone(), ..Default::default() };
        list_challenges: ListChallengesRequest { state: 99, ..Default::default() };
        list_requests: ListRequestsRequest { page: page.clone(), ..Default::default() };
        list_requests: ListRequestsRequest { state: 99, ..Default::default() };
        list_inventory: ListInventoryRequest { page: page.clone(), ..Default::default() };
        list_inventory: ListInventoryRequest {
            profile: "fleet".to_owned(), state: 99, ..Default::default()
        };
        list_legacy: ListLegacyRequest { page: page.clone(), ..Default::default() };
        list_policies: ListPoliciesRequest { page: page.clone(), ..Default::default() };
        list_audit: ListAuditRequest { page: page.clone(), ..Default::default() };
        list_audit: ListAuditRequest { kind: "request.lost".to_owned(), ..Default::default() };
    }
    macro_rules! refuses_transaction {
        ($($call:ident: $request:ident;)+) => {$(
            let request = $request { transaction_id: "zwölf".to_owned(), ..Default::default() };
            let status = client.$call(request).await.err().context(stringify!($call))?;
            assert_eq!(status.code(), Code::InvalidArgument, "{}: {status}", stringify!($call));
            let said = "transaction `zwölf`: a transactionID has 1 to 255 printable ASCII characters";
            assert_eq!(status.message(), said, "{}", stringify!($call));
        )+};
    }
    refuses_transaction! {
        list_certificates: ListCertificatesRequest;
        list_challenges: ListChallengesRequest;
        list_requests: ListRequestsRequest;
        list_audit: ListAuditRequest;
    }
    Ok(())
}

#[tokio::test]
async fn a_list_is_newest_first_and_goes_on_with_its_token() -> Result<()> {
    let installation = Installation::start().await?;
    for number in 1..=5 {
        let subject = format!("CN=pump-{number},O=Example");
        installation.challenge(&subject, &[]).await?;
    }
    let list = ["challenge", "list", "--profile", "devices"];
    let all = json(&installation, &list).await?;
    let of = |rows: &[Value]| -> Vec<String> {
        let subject = |row: &Value| row["subject"].as_str().unwrap_or_default().to_owned();
        rows.iter().map(subject).collect()
    };
    let newest = of(&all);
    assert_eq!(newest[..2], ["CN=pump-5,O=Example", "CN=pump-4,O=Example"]);
    let first = installation
        .assay(&[&list[..], &["--limit", "2"]].concat())
        .await?
        .succeeded()?;
    let token = first.stderr.split("--page ").nth(1).context("no token")?;
    let token = token.trim_end();
    let rest = json(&installation, &[&list[..], &["--page", token]].concat()).await?;
    assert_eq!(of(&rest), newest[2..]);
    let other = ["challenge", "list", "--page", token];
    let ran = installation.assay(&other).await?;
    assert_eq!(ran.status.code(), Some(1));
    assert!(ran.stderr.contains("other filters"), "{}", ran.stderr);

    let records = json(&installation, &["audit", "list"]).await?;
    let sequences = records.iter().map(|record| record["sequence"].as_u64());
    assert!(sequences.is_sorted_by(|a, b| a > b));
    Ok(())
}

#[tokio::test]
async fn what_is_asked_for_is_found_and_nothing_else() -> Result<()> {
    let installation = Installation::start().await?;
    installation.challenge("CN=pump-1,O=Example", &[]).await?;
    let short = [
        "challenge",
        "issue",
        "--profile",
        "devices",
        "--subject",
        "CN=short,O=Example",
        "--ttl",
        "1s",
    ];
    installation.assay(&short).await?.succeeded()?;
    let found = async |arguments: &[&str]| -> Result<Vec<Value>> {
        json(&installation, &[&["challenge", "list"], arguments].concat()).await
    };
    // Nothing but the time makes it an expired one.
    let expired = assay_tests::wait::until("its end", assay_tests::wait::REACTION, async || {
        let rows = found(&["--state", "expired"]).await?;
        Ok((!rows.is_empty()).then_some(rows))
    });
    let expired = expired.await?;
    assert_eq!(expired[0]["subject"], "CN=short,O=Example");
    assert_eq!(expired[0]["state"], "expired");
    assert_eq!(expired[0]["kind"], "one-time");
    let open = found(&["--state", "open", "--subject", "cn=pump-1, o=Example"]).await?;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0]["serial"], "");
    assert_eq!(found(&["--to", "2001-01-01"]).await?, [Value::Null; 0]);
    assert!(!found(&["--from", "2001-01-01"]).await?.is_empty());

    // The demo's own device, by all that names it.
    let certificates = json(&installation, &["cert", "list"]).await?;
    let device = certificates
        .first()
        .context("the demo has no certificate")?;
    let text = |key: &str| device[key].as_str().context(key.to_owned());
    assert!(text("issued_at")?.ends_with('Z'));
    assert_eq!(device["revoked_at"], Value::Null);
    assert_eq!(device["revocation_reason"], Value::Null);
    let (serial, transaction) = (text("serial")?, text("transaction_id")?);
    for filter in [
        ["--serial", serial],
        ["--transaction", transaction],
        ["--subject", text("subject")?],
        ["--state", "issued"],
    ] {
        let rows = json(&installation, &[&["cert", "list"][..], &filter].concat()).await?;
        assert!(rows.contains(device), "{filter:?}");
    }
    let spent = found(&["--transaction", transaction]).await?;
    assert_eq!(spent.len(), 1);
    assert_eq!(spent[0]["serial"], serial);
    let issued = [
        "audit",
        "list",
        "--kind",
        "request.issued",
        "--serial",
        serial,
    ];
    let records = json(&installation, &issued).await?;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["transaction_id"], transaction);
    let revoked = json(&installation, &["cert", "list", "--state", "revoked"]).await?;
    assert!(revoked.is_empty());
    Ok(())
}
