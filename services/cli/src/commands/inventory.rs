//! `assay inventory`: the names that may enrol under a profile's static challenge.

use std::path::PathBuf;

use assay_console::failure::{Failure, Outcome};
use assay_console::files;
use assay_console::output::{Column, Output};
use assay_console::progress::Progress;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::Named;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    AddInventoryRequest, InventoryInfo, InventoryItem, InventoryState, ListInventoryReply,
    ListInventoryRequest, RemoveInventoryRequest, ResetInventoryRequest,
};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::list::{PageArgs, RangeArgs, filter, named, time_text};

/// Names sent in one call, which is all or none: well below a megabyte of names of usual length.
const BATCH: usize = 10_000;

#[derive(Debug, Subcommand)]
pub(crate) enum InventoryCommand {
    /// Add names; those already there are counted and left alone
    Add(NamesArgs),
    /// Let the static challenge issue once more for these names
    Reset(NamesArgs),
    /// Strike names off, all or none; their devices can neither enrol nor renew until they are added again
    Remove(NamesArgs),
    /// List names in byte order
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// Profile whose inventory it is
    #[arg(long)]
    profile: String,

    /// One name a line; `add` takes a tab and the SHA-256 of the device's SPKI after it, to pin its key; - is standard input
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "names",
        conflicts_with = "names"
    )]
    from: Option<PathBuf>,

    /// The value of the RDN that the profile takes from its inventory
    names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Profile whose inventory it is
    #[arg(long)]
    profile: String,

    /// Only this name, or that of this whole RFC 4514 subject
    #[arg(long, value_parser = filter())]
    name: Option<String>,

    /// Only names in this state
    #[arg(long, value_parser = named::<InventoryState>())]
    state: Option<InventoryState>,

    /// Only the name that the certificate with this serial number was issued for, hex
    #[arg(long, value_parser = filter())]
    serial: Option<String>,

    #[command(flatten)]
    added: RangeArgs,

    #[command(flatten)]
    page: PageArgs,
}

pub(crate) async fn run(
    command: InventoryCommand,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let admin = Admin::connect(installation).await?;
    match command {
        InventoryCommand::Add(args) => add(args, admin, out).await,
        InventoryCommand::Reset(args) => reset(args, admin, out).await,
        InventoryCommand::Remove(args) => remove(args, admin, out).await,
        InventoryCommand::List(args) => list(args, admin, out).await,
    }
}

async fn add(args: NamesArgs, mut admin: Admin, out: Output) -> Outcome {
    let items: Vec<_> = args.names()?.iter().map(|line| item(line)).collect();
    let progress = Progress::new("names", items.len() as u64);
    let mut total = Added::default();
    for batch in items.chunks(BATCH) {
        let request = AddInventoryRequest {
            profile: args.profile.clone(),
            items: batch.to_vec(),
        };
        let reply = admin
            .call(request, AdministrationClient::add_inventory)
            .await
            .map_err(|failure| total.partial(failure))?;
        total.added += reply.added;
        total.already_present += reply.already_present;
        progress.add(batch.len() as u64);
    }
    drop(progress);
    out.one(&total, |total| {
        vec![format!(
            "added {}, already present {}",
            total.added, total.already_present
        )]
    })
}

async fn reset(args: NamesArgs, mut admin: Admin, out: Output) -> Outcome {
    let mut reset = 0;
    for batch in args.names()?.chunks(BATCH) {
        let request = ResetInventoryRequest {
            profile: args.profile.clone(),
            names: batch.to_vec(),
        };
        reset += admin
            .call(request, AdministrationClient::reset_inventory)
            .await?
            .reset;
    }
    out.one(&serde_json::json!({ "reset": reset }), |_| {
        vec![format!("reset {reset}")]
    })
}

/// One call, as it is all or none.
async fn remove(args: NamesArgs, mut admin: Admin, out: Output) -> Outcome {
    let names = args.names()?;
    if names.len() > BATCH {
        return Err(Failure::usage(format!(
            "one command strikes off {BATCH} names at most, all or none; the list holds {}",
            names.len()
        ))
        .next("split the list"));
    }
    let request = RemoveInventoryRequest {
        profile: args.profile,
        names,
    };
    let removed = admin
        .call(request, AdministrationClient::remove_inventory)
        .await?
        .removed;
    out.one(&serde_json::json!({ "removed": removed }), |_| {
        vec![format!("removed {removed}")]
    })
}

async fn list(args: ListArgs, admin: Admin, out: Output) -> Outcome {
    let request = |page| ListInventoryRequest {
        page,
        profile: args.profile.clone(),
        name: args.name.clone().unwrap_or_default(),
        state: args.state.unwrap_or_default().into(),
        serial: args.serial.clone().unwrap_or_default(),
        added: args.added.into(),
    };
    let call = AdministrationClient::list_inventory;
    let rows = |reply: ListInventoryReply| (reply.items, reply.page);
    let listed = args.page.list(admin, call, request, rows).await?;
    listed.print(out, COLUMNS)
}

impl NamesArgs {
    fn names(&self) -> Outcome<Vec<String>> {
        let names = match &self.from {
            Some(file) => files::read_list(file)?,
            None => self.names.clone(),
        };
        if names.is_empty() {
            return Err(Failure::usage("the list holds no name").next("give one name a line"));
        }
        Ok(names)
    }
}

fn item(line: &str) -> InventoryItem {
    let (name, pin) = line.split_once('\t').unwrap_or((line, ""));
    InventoryItem {
        name: name.to_owned(),
        spki_sha256: pin.trim().to_owned(),
    }
}

#[derive(Debug, Default, Serialize)]
struct Added {
    added: u64,
    already_present: u64,
}

impl Added {
    /// A call is all or none, a long list is several calls: says what stands.
    fn partial(&self, failure: Failure) -> Failure {
        match self.added + self.already_present {
            0 => failure,
            done => failure.next(format!(
                "the first {done} names are in; give the whole list again: present names are left alone"
            )),
        }
    }
}

const COLUMNS: &[Column<InventoryInfo>] = &[
    ("NAME", |info| info.name.clone()),
    ("STATE", |info| info.state().as_str().to_owned()),
    ("SERIAL", |info| info.serial.clone()),
    ("PINNED KEY", |info| info.spki_sha256.clone()),
    ("ADDED", |info| time_text(info.added_at)),
    ("ADDED BY", |info| info.added_by.clone()),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_pin_a_key() {
        assert_eq!(item("box 1").name, "box 1");
        let pinned = item("box-2\tab12");
        assert_eq!(
            (pinned.name.as_str(), pinned.spki_sha256.as_str()),
            ("box-2", "ab12")
        );
    }
}
