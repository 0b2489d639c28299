//! The stateless SCEP frontend of the outer tier.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use assay_frontend::{Frontend, FrontendConfig, Settings};
use assay_runtime::telemetry::{self, chain};
use clap::Parser;

/// Relays SCEP (RFC 8894) from devices to an isolated signer over mutual TLS.
///
/// It parses no pkiMessage, holds no key but that of its own transport certificate, and keeps nothing on disk. Several
/// may run side by side. Capabilities and CA certificates are answered from memory, also while the signer is away.
#[derive(Debug, Parser)]
#[command(
    name = "assay-frontend",
    version,
    after_long_help = "\
Examples:
  assay-frontend --config /etc/assay/frontend.toml --check
      Says what is wrong with the configuration and its files, and starts nothing.
  assay-frontend --config frontend.toml --ready-file /run/assay/frontend.json
      Serves until SIGTERM or SIGINT, then finishes what it has begun.

Try it:
  curl 'http://HOST:PORT/scep?operation=GetCACaps'
  curl 'http://HOST:PORT/scep/PROFILE?operation=GetCACert'
  curl 'http://OPS-HOST:OPS-PORT/readyz'      says why, when it is not ready

Log lines go to standard error; RUST_LOG overrides the configured filter for one run."
)]
struct Args {
    /// The configuration, TOML; frontend.toml.example explains every key. Relative paths in it start at its folder.
    #[arg(long, value_name = "FILE", env = "ASSAY_FRONTEND_CONFIG")]
    config: PathBuf,
    /// Written once the frontend listens: JSON with the process id and the addresses really bound.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Checks the configuration and the files it names, then exits.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Before logging starts there is only this way, and after it a person still reads the last line first.
            let _ = writeln!(
                std::io::stderr(),
                "assay-frontend: {}",
                chain(error.as_ref())
            );
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    assay_sandbox::harden()?;
    let args = Args::parse();
    let settings = Settings::try_from(FrontendConfig::read(&args.config)?)?;
    if args.check {
        return Ok(());
    }
    telemetry::init("assay-frontend", settings.log())?;
    let metrics = telemetry::metrics("assay-frontend", env!("CARGO_PKG_VERSION"))?;
    let ready_file = args.ready_file.as_deref();
    let confinement = settings.confinement(ready_file);
    let frontend = Frontend::bind(settings)?;
    // Between the listeners, which are the last sockets that it binds, and the threads of the runtime, which inherit it.
    let sandbox = confinement.apply()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(frontend.run(metrics, &sandbox, ready_file))
}
