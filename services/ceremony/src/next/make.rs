//! The next CA from the plan to its certificates, or to a request for an offline root.

use super::MakeArgs;
use super::made::Made;
use super::plan::Plan;
use crate::certify::{Wanted, make_ca};
use crate::record::Record;
use crate::root::Root;
use crate::token::{Library, OpenToken};
use crate::transcript::{State, Transcript};
use crate::{hsm_toml, keys, left};
use assay_console::failure::{Failure, Outcome};
use assay_console::output::Output;
use assay_operator::installation::Installation;

pub(super) fn run(args: MakeArgs, installation: &Installation, out: Output) -> Outcome {
    let mut transcript = Transcript::load_complete(installation)?;
    let plan = Plan::draw(args, installation, &transcript)?;
    make(&plan, installation, &mut transcript)?;
    let made = transcript.ca(plan.generation)?;
    if made.state == State::Complete {
        hsm_toml::add(installation, made)?;
    }
    Made::of(plan.generation, &transcript, installation)?.print(&plan.notes, out)
}

/// Does what the plan says, or fails and says exactly what is left.
fn make(plan: &Plan, installation: &Installation, transcript: &mut Transcript) -> Outcome {
    let library = Library::load(&plan.token)?;
    let service = library.open(&plan.token.token)?;
    let mut record = Record::of(plan.generation, installation, transcript);
    let root = before(plan, &library, &service, &mut record)?;
    record.transcript.generations.push(plan.begun());
    record.save()?;
    let wanted = Wanted {
        keys: &plan.keys,
        subject: &plan.ca_subject,
        days: plan.ca_days,
    };
    make_ca(&service, root.as_ref(), &wanted, &mut record)
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
    keys::of_ca(service, &present)?;
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
    let generations = &mut record.transcript.generations;
    generations.retain(|ca| ca.generation != generation);
    // The folder is empty, and of no use to anyone.
    let _ = std::fs::remove_dir(installation.path(generation.folder()));
    match record.save() {
        Ok(()) => failure.next("nothing is left behind; fix the cause and run it again"),
        Err(unsaved) => failure.next(format!(
            "nothing is left behind but for the transcript: {unsaved}"
        )),
    }
}
