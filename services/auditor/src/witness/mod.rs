//! `assay-audit witness`: cosigns the checkpoints of other logs as long as each continues the one before (C2SP
//! tlog-witness, tlog-cosignature).

mod judge;
mod key;
mod memory;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;

use assay_audit::note::{Algorithm, VerifierKey};
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use clap::{Args, Subcommand};

/// Most logs that one witness keeps watch over.
const MAX_LOGS: usize = 1_000;

#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    about = "Cosign checkpoints of logs, never two that contradict each other",
    long_about = "\
Runs a witness (C2SP tlog-witness) over plain HTTP: a log's checkpoint is posted to /add-checkpoint with a proof that the \
log has only grown since the last one, and comes back cosigned (cosignature/v1). The latest checkpoint of each log is on \
disk before its cosignature leaves, so that neither a crash nor a restart makes the witness forget; keep --state as you \
keep the key. A witness is worth what its distance to the log is: run it on another machine, under other hands. \
`assay-audit witness key` makes its key; pin the verifier key that it prints as one of [audit] witnesses in signer.toml, and \
post checkpoints with `assay audit cosign`. Extension lines are cosigned with the checkpoint and \
not interpreted."
)]
pub(crate) struct WitnessArgs {
    #[command(subcommand)]
    part: Option<Part>,

    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Part {
    Key(key::KeyArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The witness's key, made by `assay-audit witness key`; a file that others can read is refused
    #[arg(long, value_name = "FILE", required = true)]
    key: Option<PathBuf>,

    /// Directory of the latest checkpoint of each log; made if it is not there
    #[arg(long, value_name = "DIR", required = true)]
    state: Option<PathBuf>,

    /// Address to listen on; port 0 takes any
    #[arg(long, value_name = "ADDR", required = true)]
    listen: Option<SocketAddr>,

    /// Verifier key (vkey) of a log to watch; repeat for more, also for two keys of one log
    #[arg(long = "log", value_name = "VKEY", required_unless_present = "logs")]
    log: Vec<String>,

    /// The same from a file, one a line; # begins a comment
    #[arg(long, value_name = "FILE")]
    logs: Option<PathBuf>,
}

pub(crate) async fn run(args: WitnessArgs, out: Output) -> Outcome {
    match args.part {
        Some(Part::Key(args)) => key::run(&args, out),
        None => serve(args.serve, out).await,
    }
}

async fn serve(args: ServeArgs, out: Output) -> Outcome {
    let (Some(key), Some(state), Some(listen)) = (&args.key, &args.state, args.listen) else {
        return Err(
            Failure::usage("a witness needs a key, a place and an address")
                .next("give --key, --state and --listen"),
        );
    };
    let logs = args.read_logs()?;
    let key = key::WitnessKey::read(key)?;
    let memory = memory::Memory::open(state, &logs)?;
    let witness = judge::Witness::new(key, logs, memory);
    serve::serve(witness, listen, out).await
}

impl ServeArgs {
    fn read_logs(&self) -> Outcome<Vec<VerifierKey>> {
        let mut texts = self.log.clone();
        if let Some(file) = &self.logs {
            texts.extend(files::read_list(file)?);
        }
        if !(1..=MAX_LOGS).contains(&texts.len()) {
            return Err(Failure::usage(format!(
                "a witness watches over 1 to {MAX_LOGS} logs, not {}",
                texts.len()
            )));
        }
        texts.iter().map(|text| log_key(text)).collect()
    }
}

/// A vkey that a log can sign with.
fn log_key(text: &str) -> Outcome<VerifierKey> {
    let key: VerifierKey = text
        .trim()
        .parse()
        .or_usage(format!("`{text}` is no verifier key of a log"))?;
    if key.algorithm() == Algorithm::CosignatureV1 {
        return Err(Failure::usage(format!(
            "`{text}` is a witness's key, not a log's"
        )));
    }
    Ok(key)
}
