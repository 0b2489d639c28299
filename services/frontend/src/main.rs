//! The stateless SCEP frontend of the outer tier.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use assay_frontend::{FrontendConfig, Settings};
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

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
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

async fn run(args: Args) -> anyhow::Result<()> {
    let settings = Settings::try_from(FrontendConfig::read(&args.config)?)?;
    if args.check {
        return Ok(());
    }
    telemetry::init("assay-frontend", settings.log())?;
    let metrics = telemetry::metrics("assay-frontend", env!("CARGO_PKG_VERSION"))?;
    assay_frontend::run(settings, metrics, args.ready_file.as_deref()).await
}
