//! The next CA from the plan to its certificates, or to a request for an offline root.

use assay_pkcs11::KeyRole;

use super::MakeArgs;
use super::made::Made;
use super::plan::Plan;
use crate::certificate::{self, Issuer};
use crate::certify::{CA_FILE, certify_ra};
use crate::keys::{self, find};
use crate::record::Record;
use crate::root::Root;
use crate::token::{Library, OpenToken};
use crate::transcript::{State, Transcript};
use crate::{csr, left};
use assay_console::failure::{Failure, Outcome};
use assay_console::output::Output;
use assay_console::progress::Progress;
use assay_operator::installation::Installation;

pub(super) fn run(args: MakeArgs, installation: &Installation, out: Output) -> Outcome {
    let mut transcript = Transcript::load_complete(installation)?;
    let plan = Plan::draw(args, installation, &transcript)?;
    make(&plan, installation, &mut transcript)?;
    Made::of(plan.generation, &transcript, installation)?.print(&plan.notes, out)
}

/// Does what the plan says, or fails and says exactly what is left.
fn make(plan: &Plan, installation: &Installation, transcript: &mut Transcript) -> Outcome {
    let library = Library::load(&plan.token)?;
    let service = library.open(&plan.token.token)?;
    let mut record = Record::of(plan.generation, installation, transcript);
    let root = before(plan, &library, &service, &mut record)?;
    record.transcript.successors.push(plan.successor());
    record.save()?;
    steps(plan, &service, root, &mut record)
        .map_err(|failure| with_remains(failure, &library, plan, &mut record))
}

/// What can be seen in the tokens before anything is made.
fn before(
    plan: &Plan,
    library: &Library,
    service: &OpenToken,
    record: &mut Record<'_>,
) -> Outcome<Option<Root>> {
    let present = Record::of(plan.present, record.installation, record.transcript);
    let ca = Issuer::of_certificate(&present.certificate(CA_FILE)?)?;
    let entry = present.transcript.key_of(plan.present, KeyRole::CaSign);
    let entry = entry.ok_or_else(|| Failure::failed("the transcript has no ca-sign key"))?;
    if keys::read(service, entry)?.spki_der != ca.spki_der {
        return Err(Failure::failed(format!(
            "{} is not over the token's {} key",
            plan.present.file(CA_FILE),
            entry.label
        ))
        .next("use the directory of the ceremony that made this CA"));
    }
    left::no_keys(service, &plan.token.token, plan.generation)?;
    match &plan.root {
        Some(root) => {
            let token = library.open(&root.token)?;
            let root = Root::again(token, &root.entry, root.issuer.clone())?;
            Ok(Some(root))
        }
        None => Ok(None),
    }
}

fn steps(plan: &Plan, service: &OpenToken, root: Option<Root>, record: &mut Record<'_>) -> Outcome {
    record.make_dir()?;
    let progress = Progress::new("making keys", plan.keys.len() as u64);
    let mut service_keys = Vec::new();
    for (role, algorithm) in &plan.keys {
        service_keys.push(keys::generate(service, *role, *algorithm, record)?);
        progress.add(1);
    }
    drop(progress);
    let ca = find(&service_keys, KeyRole::CaSign)?;
    let subject = certificate::name(&plan.ca_subject)?;
    let Some(root) = root else {
        csr::write(service, ca, &subject, record)?;
        return record.set_state(State::AwaitsCaCertificate);
    };
    let ca_der = root.certify(ca, &subject, plan.ca_days)?;
    record.add_certificate(CA_FILE, &ca_der)?;
    let (subject, days) = (&plan.ra_subject, plan.ra_days);
    certify_ra(service, &service_keys, &ca_der, subject, days, record)?;
    record.set_state(State::Complete)
}

/// Adds to a failure exactly what is left. Where that is nothing, the generation was never begun.
fn with_remains(
    failure: Failure,
    library: &Library,
    plan: &Plan,
    record: &mut Record<'_>,
) -> Failure {
    let (generation, installation) = (plan.generation, record.installation);
    let tokens = [&plan.token.token];
    let left = left::found(library, &tokens, generation, installation);
    if !left.is_empty() {
        return left::with(&failure, &left).next(format!(
            "`assay-ceremony next abandon` gives generation {generation} up, then `assay-ceremony next` makes another one \
             under other names; delete these keys with the HSM's own tools"
        ));
    }
    let successors = &mut record.transcript.successors;
    successors.retain(|successor| successor.generation != generation);
    // The folder is empty, and of no use to anyone.
    let _ = std::fs::remove_dir(installation.path(generation.folder()));
    match record.save() {
        Ok(()) => failure.next("nothing is left behind; fix the cause and run it again"),
        Err(unsaved) => failure.next(format!(
            "nothing is left behind but for the transcript: {unsaved}"
        )),
    }
}
