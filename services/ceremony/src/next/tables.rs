//! `assay-ceremony next tables`: what signer.toml has to say of the next CA, once more or for another time.

use std::time::SystemTime;

use clap::Args;

use super::made::Made;
use super::signer_toml::{self, SignerToml};
use super::switch::{SwitchArgs, lives};
use crate::transcript::{State, Transcript};
use assay_console::failure::{Failure, Outcome};
use assay_console::output::Output;
use assay_operator::installation::Installation;

/// Print the tables [rollover] of the next CA again, perhaps for another time, and nothing else
#[derive(Debug, Args)]
pub(super) struct TablesArgs {
    #[command(flatten)]
    switch: SwitchArgs,
}

pub(super) fn run(args: &TablesArgs, installation: &Installation, out: Output) -> Outcome {
    let mut transcript = Transcript::load_complete(installation)?;
    let present = signer_toml::present(&SignerToml::read(installation)?, &transcript)?;
    let newest = transcript.newest();
    let made = transcript.ca_mut(newest)?;
    if newest <= present || made.state != State::Complete {
        return Err(Failure::failed("no next CA here is made and waits for its time")
            .next("`assay-ceremony next` makes one; `assay-ceremony import` takes an offline root's answer"));
    }
    let switch = args.switch.or(made.switch()?)?;
    let old = lives(installation, present)?;
    let new = lives(installation, newest)?;
    let all: Vec<_> = old.iter().chain(&new).cloned().collect();
    switch.check(SystemTime::now(), &all)?;
    made.switch = Some(switch.planned());
    if args.switch.is_given() {
        transcript.save(installation)?;
    }
    Made::of(newest, &transcript, installation)?.print_tables(&switch.short(&old), out)
}
