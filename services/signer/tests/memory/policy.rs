//! How a version of the policy comes into force, and how a profile is stopped.

use assay_store::PolicyQuery;

use std::time::Duration;

use assay_policy::{Bundle, PolicyFile, ProfileName};
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_shape::Form;

use crate::support::{Answer, BEGIN, DEVICES, Device, Proposed, Setup, Stand, changed, subject};

fn devices() -> Vec<(&'static str, String)> {
    vec![("devices", DEVICES.to_owned())]
}

async fn refused(stand: &Stand, proposed: &Proposed, wanted: &str) {
    let before = stand
        .store
        .list_policies(PolicyQuery::default())
        .await
        .unwrap()
        .rows
        .len();
    let checked = stand.check(proposed).await;
    assert!(!checked.ready);
    let told = checked
        .problems
        .iter()
        .any(|problem| problem.contains(wanted));
    assert!(told, "{wanted}: {:?}", checked.problems);
    let refused = stand.activate(proposed).await.unwrap_err();
    assert!(refused.message().contains(wanted), "{refused}");
    assert_eq!(
        stand
            .store
            .list_policies(PolicyQuery::default())
            .await
            .unwrap()
            .rows
            .len(),
        before
    );
}

#[tokio::test]
async fn approvals_are_counted_by_person_and_the_author_is_none_of_them() {
    let stand = Stand::new().await;
    let mut proposed = stand.propose(&devices()).await;
    for (approvers, wanted) in [
        (vec![], "0 of 2 approvals"),
        (vec!["second"], "1 of 2 approvals"),
        (vec!["second", "second"], "second approved it before"),
        (vec!["second", "author"], "author wrote the proposal"),
    ] {
        proposed.approvers = approvers;
        refused(&stand, &proposed, wanted).await;
    }
    proposed.approvers = vec!["second", "third"];
    assert_eq!(stand.activate(&proposed).await.unwrap().number, 2);
    let activated = stand.last("policy.activated").await;
    assert_eq!(activated["author"], "author");
    assert_eq!(
        activated["approvers"],
        serde_json::json!(["second", "third"])
    );
}

#[tokio::test]
async fn a_version_of_another_place_time_or_signer_is_refused() {
    let stand = Stand::new().await;
    let proposed = stand.propose(&devices()).await;
    let mut wrong = proposed.clone();
    wrong.proposal.predecessor = Some([9; 32].into());
    refused(&stand, &wrong, "predecessor:").await;
    let mut wrong = proposed.clone();
    wrong.proposal.number += 1;
    refused(&stand, &wrong, "number:").await;
    let mut wrong = proposed.clone();
    wrong.proposal.not_before = wrong.proposal.not_before + Duration::from_secs(10);
    refused(&stand, &wrong, "not_before:").await;
    let mut wrong = proposed.clone();
    wrong.proposal.issuer = [9; 32].into();
    refused(&stand, &wrong, "issuer:").await;
    let mut wrong = proposed.clone();
    let settings = &mut wrong.proposal.settings;
    settings.insert("limits.intent_ttl".to_owned(), "2h".to_owned());
    refused(&stand, &wrong, "settings.limits.intent_ttl:").await;
    let mut wrong = proposed.clone();
    wrong.proposal.files = [9; 32].into();
    refused(&stand, &wrong, "files:").await;
    let mut wrong = proposed.clone();
    wrong.proposal.expires = wrong.proposal.not_before + Duration::from_secs(5);
    stand.clock.advance(Duration::from_secs(5));
    refused(&stand, &wrong, "expires:").await;

    // The right one counts once.
    stand.activate(&proposed).await.unwrap();
    refused(&stand, &proposed, "number:").await;
}

#[tokio::test]
async fn a_stop_holds_at_once_and_over_a_restart_until_an_approved_version_resumes() {
    let mut stand = Stand::new().await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    assert!(stand.stop("devices").await);
    assert!(!stand.stop("devices").await, "it was stopped before");
    let stopped = stand.status().await.stopped;
    let named: Vec<_> = stopped.iter().map(|stop| stop.profile.as_str()).collect();
    assert_eq!(named, ["devices"]);
    assert_eq!(stopped[0].reason, "a device was stolen");
    let since = stopped[0].stopped_at.unwrap();
    let warning = format!("profiles: stopped, so that nothing is issued: devices since {since};");
    stand.tend().await;
    let warnings = stand.status().await.warnings;
    assert!(
        warnings.iter().any(|it| it.starts_with(&warning)),
        "{warnings:?}"
    );
    assert_eq!(stand.causes(), Vec::<String>::new());
    stand.refused("devices", &device, &message, "POL-04").await;
    // Time for further refusals with a record of their own.
    stand.clock.advance(Duration::from_secs(60));
    stand.restart().await.unwrap();
    stand.refused("devices", &device, &message, "POL-04").await;

    let without = stand.propose(&devices()).await;
    stand.activate(&without).await.unwrap();
    stand.refused("devices", &device, &message, "POL-04").await;
    let mut resuming = stand.propose(&devices()).await;
    resuming
        .proposal
        .resumes
        .insert(ProfileName::parse("devices").unwrap());
    resuming.approvers.pop();
    stand.activate(&resuming).await.unwrap_err();
    stand.refused("devices", &device, &message, "POL-04").await;
    assert_eq!(stand.decryptions(), 0);
    resuming.approvers.push("third");
    stand.activate(&resuming).await.unwrap();
    let activated = stand.last("policy.activated").await;
    assert_eq!(activated["resumed"], serde_json::json!(["devices"]));
    assert_eq!(stand.records("profile.stopped").await.len(), 1);
    stand.send(&device, &message).await.certificate();
    stand.tend().await;
    let status = stand.status().await;
    assert!(status.stopped.is_empty());
    let about = |line: &String| line.starts_with("profiles: ");
    assert!(!status.warnings.iter().any(about), "{:?}", status.warnings);
}

#[tokio::test]
async fn a_version_warns_before_it_expires_and_permits_nothing_any_more_after() {
    let stand = Stand::new().await;
    let device = Device::new();
    let mut brief = stand.propose(&devices()).await;
    brief.proposal.expires = stand.clock.now() + Duration::from_secs(3_600);
    stand.activate(&brief).await.unwrap();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.tend().await;
    let status = stand.status().await;
    assert!(status.ready, "{:?}", status.causes);
    let says = |lines: &[String], wanted| lines.iter().any(|line| line.contains(wanted));
    assert!(says(&status.warnings, "version 2 expires in 0 days"));
    stand.after(Duration::from_secs(3_600)).await;
    let status = stand.status().await;
    assert!(!status.ready && says(&status.causes, "version 2 expired"));
    assert!(!says(&status.warnings, "expires in"));
    stand.refused("devices", &device, &message, "POL-03").await;
    assert_eq!(stand.decryptions(), 0);
}

#[tokio::test]
async fn profiles_are_those_of_the_version_in_force() {
    let stand = Stand::new().await;
    let device = Device::new();
    let renamed = vec![("others", changed(DEVICES, ""))];
    let proposed = stand.propose(&renamed).await;
    stand.activate(&proposed).await.unwrap();
    let message = device.pkcs_req(&stand.ca, &subject("pump-1"), "none").await;
    let outcome = stand.post("devices", &message).await;
    assert!(matches!(outcome, Outcome::UnknownProfile(_)));
    let info = stand.public_info().await;
    let names: Vec<&str> = info
        .profiles
        .iter()
        .map(|info| info.profile.as_str())
        .collect();
    assert_eq!(names, ["others"]);
}

#[tokio::test]
async fn a_restart_puts_the_approved_version_in_force_again() {
    let mut stand = Stand::new().await;
    stand.restart().await.unwrap();
    stand.enrol(&Device::new(), &subject("pump-1")).await;
    assert_eq!(stand.records("service.started").await.len(), 2);
    assert_eq!(stand.records("policy.activated").await.len(), 1);
}

/// The form that the HSM service needs for `devices`.
fn form() -> Form {
    let file = PolicyFile {
        name: "devices.toml".to_owned(),
        content: DEVICES.into(),
    };
    let bundle = Bundle::load(&[file]).unwrap();
    bundle.profile("devices").unwrap().form()
}

#[tokio::test]
async fn a_version_with_a_profile_that_no_form_covers_is_refused_until_there_is_one() {
    let stand = Stand::new().await;
    let mut short = form();
    short.name = "short".to_owned();
    short.lifetime_max = Duration::from_secs(86_400);
    let proposed = stand.propose(&devices()).await;
    stand.token.set_forms(vec![short.clone()]).unwrap();
    refused(
        &stand,
        &proposed,
        "profile `devices` is not covered for the first CA: it fits no form of the HSM service's configuration: form \
         `short`: the lifetime is longer than lifetime_max, 1d; add a form to hsm.toml on the HSM host",
    )
    .await;
    stand.token.set_forms(vec![short, form()]).unwrap();
    assert_eq!(stand.activate(&proposed).await.unwrap().number, 2);
}

#[tokio::test]
async fn in_a_rollover_the_forms_of_both_cas_have_to_cover_a_version() {
    let day = Duration::from_secs(86_400);
    let stand = Stand::with(Setup {
        rollover: Some((BEGIN + day, day)),
        ..Setup::default()
    })
    .await;
    let proposed = stand.propose(&devices()).await;
    stand.token.set_forms(vec![form()]).unwrap();
    stand.next_token().set_forms(Vec::new()).unwrap();
    refused(
        &stand,
        &proposed,
        "profile `devices` is not covered for the next CA: the HSM service's configuration has no form for it",
    )
    .await;
    stand.next_token().set_forms(vec![form()]).unwrap();
    stand.activate(&proposed).await.unwrap();
}

#[tokio::test]
async fn a_form_that_was_taken_away_is_an_outage_of_its_profile_without_an_intent() {
    let mut stand = Stand::new().await;
    stand.token.set_forms(Vec::new()).unwrap();
    stand.restart().await.unwrap();
    stand.tend().await;
    let wanted = "profile `devices` is not covered for the first CA";
    let warns = async |stand: &Stand| {
        let status = stand.status().await;
        assert!(status.ready, "{:?}", status.causes);
        status.warnings.iter().any(|line| line.contains(wanted))
    };
    assert!(warns(&stand).await);

    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    assert_eq!(stand.send(&device, &message).await, Answer::Busy);
    let deferred = stand.last("request.deferred").await;
    let detail = deferred["detail"].as_str().unwrap();
    assert!(detail.contains(wanted), "{detail}");
    assert!(stand.records("intent.opened").await.is_empty());
    assert_eq!(stand.store.counts().await.unwrap().open_intents, 0);

    // The challenge is still good.
    stand.token.set_forms(vec![form()]).unwrap();
    stand.send(&device, &message).await.certificate();
    stand.tend().await;
    assert!(!warns(&stand).await);
}
