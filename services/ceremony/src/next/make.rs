//! The next CA from the plan to its certificates, or to a request for an offline root.

use assay_hsm::{Ceremony, KeyRole};
use assay_runtime::drain::Shutdown;

use super::MakeArgs;
use super::made::Made;
use super::plan::Plan;
use crate::ceremony::certificate::{self, Issuer};
use crate::ceremony::certify::{CA_FILE, certify_ra};
use crate::ceremony::keys::{self, find};
use crate::ceremony::record::Record;
use crate::ceremony::root::Root;
use crate::ceremony::transcript::{State, Transcript};
use crate::ceremony::{csr, left};
use crate::failure::{Exit, Failure, OrFail, Outcome};
use crate::installation::Installation;
use crate::output::Output;
use crate::progress::Progress;

pub(super) async fn run(args: MakeArgs, installation: &Installation, out: Output) -> Outcome {
    let mut transcript = Transcript::load_complete(installation)?;
    let plan = Plan::draw(args, installation, &transcript)?;
    make(&plan, installation, &mut transcript).await?;
    Made::of(plan.generation, &transcript, installation)?.print(&plan.notes, out)
}

/// Does what the plan says, or fails and says exactly what is left.
async fn make(plan: &Plan, installation: &Installation, transcript: &mut Transcript) -> Outcome {
    let shutdown = Shutdown::on_signals().or_fail("cannot take signals")?;
    let service = keys::open(&plan.token, &plan.token.token).await?;
    let mut record = Record::of(plan.generation, installation, transcript);
    let root = before(plan, &service, &mut record).await?;
    record.transcript.successors.push(plan.successor());
    record.save()?;
    let made = tokio::select! {
        made = steps(plan, &service, root, &mut record) => made,
        () = shutdown.requested() => Err(Failure::new(Exit::Interrupted, "the ceremony was interrupted")),
    };
    service.close().await;
    match made {
        Ok(()) => Ok(()),
        Err(failure) => Err(tell(failure, plan, &mut record).await),
    }
}

/// What can be seen in the tokens before anything is made.
async fn before(plan: &Plan, service: &Ceremony, record: &mut Record<'_>) -> Outcome<Option<Root>> {
    let present = Record::of(plan.present, record.installation, record.transcript);
    let ca = Issuer::of_certificate(&present.certificate(CA_FILE)?)?;
    let entry = present.transcript.key_of(plan.present, KeyRole::CaSign);
    let entry = entry.ok_or_else(|| Failure::failed("the transcript has no ca-sign key"))?;
    if keys::read(service, entry).await?.spki_der != ca.spki_der {
        return Err(Failure::failed(format!(
            "{} is not over the token's {} key",
            plan.present.file(CA_FILE),
            entry.label
        ))
        .next("use the directory of the ceremony that made this CA"));
    }
    left::no_keys(service, &plan.token.token, plan.generation).await?;
    match &plan.root {
        Some(root) => {
            let token = keys::open(&plan.token, &root.token).await?;
            let root = Root::again(token, &root.entry, root.issuer.clone()).await?;
            Ok(Some(root))
        }
        None => Ok(None),
    }
}

async fn steps(
    plan: &Plan,
    service: &Ceremony,
    root: Option<Root>,
    record: &mut Record<'_>,
) -> Outcome {
    record.make_dir()?;
    let progress = Progress::new("making keys", plan.keys.len() as u64);
    let mut service_keys = Vec::new();
    for (role, algorithm) in &plan.keys {
        service_keys.push(keys::generate(service, *role, *algorithm, record).await?);
        progress.add(1);
    }
    drop(progress);
    let ca = find(&service_keys, KeyRole::CaSign)?;
    let subject = certificate::name(&plan.ca_subject)?;
    let Some(root) = root else {
        csr::write(service, ca, &subject, record).await?;
        return record.set_state(State::AwaitsCaCertificate);
    };
    let ca_der = root.certify(ca, &subject, plan.ca_days).await?;
    root.close().await;
    record.add_certificate(CA_FILE, &ca_der)?;
    let (subject, days) = (&plan.ra_subject, plan.ra_days);
    certify_ra(service, &service_keys, &ca_der, subject, days, record).await?;
    record.set_state(State::Complete)
}

/// Adds to a failure exactly what is left. Where that is nothing, the generation was never begun.
async fn tell(failure: Failure, plan: &Plan, record: &mut Record<'_>) -> Failure {
    let (generation, installation) = (plan.generation, record.installation);
    let tokens = [&plan.token.token];
    let left = left::found(&plan.token, &tokens, generation, installation).await;
    if !left.is_empty() {
        return left::with(&failure, &left).next(format!(
            "`assay ceremony next abandon` gives generation {generation} up, then `assay ceremony next` makes another one \
             under other names; delete these keys with the HSM's own tools"
        ));
    }
    let successors = &mut record.transcript.successors;
    successors.retain(|successor| successor.generation != generation);
    // The folder is empty, and of no use to anyone.
    let _ = std::fs::remove_dir(installation.path(generation.folder()));
    match record.save() {
        Ok(()) => failure.next("nothing is left behind; mend the cause and run it again"),
        Err(unsaved) => failure.next(format!(
            "nothing is left behind but for the transcript: {unsaved}"
        )),
    }
}
