//! The command line as a whole; each command's own arguments stand beside its code.

use std::path::PathBuf;

use assay_console::generated;
use clap::{Parser, Subcommand};

use crate::commands::{
    audit, certificates, challenge, clock, config, enrol, inventory, legacy, policy, receipt,
    recover, requests, rollover, scep, status,
};
use crate::{demo, export};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed, or refused by the signer, the token or a check
  2  wrong usage or configuration
  3  the signer or the frontend cannot be reached
  4  stopped by the operator before the work was done
  5  the request waits for an operator's approval";

/// Operates Assay, an HSM-backed SCEP (RFC 8894) signing service.
#[derive(Debug, Parser)]
#[command(name = "assay", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// Installation or demo directory [default: the current one, else ./assay-demo]
    #[arg(long, global = true, env = "ASSAY_DIR", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::DemoArgs),
    /// Issue, list and revoke challenges
    #[command(subcommand)]
    Challenge(challenge::ChallengeCommand),
    /// Names that may enrol under a profile's static challenge
    #[command(subcommand)]
    Inventory(inventory::InventoryCommand),
    Enrol(Box<enrol::EnrolArgs>),
    /// Fetch a certificate or the CRL over SCEP, as a device
    #[command(subcommand)]
    Scep(scep::ScepCommand),
    /// Issued certificates, and their revocation
    #[command(subcommand)]
    Cert(certificates::CertCommand),
    /// Requests that wait for an operator's approval
    #[command(subcommand)]
    Request(requests::RequestCommand),
    /// Devices that need an exception of their profile
    #[command(subcommand)]
    Legacy(legacy::LegacyCommand),
    /// A CA that takes over from another
    #[command(subcommand)]
    Rollover(rollover::RolloverCommand),
    /// Check, activate and list policies
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// The signer's clock
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// Recover the signer's state from a backup
    #[command(subcommand)]
    Recover(recover::RecoverCommand),
    /// Configuration files of the services
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// The audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    Export(export::ExportArgs),
    Receipt(receipt::ReceiptArgs),
    /// Readiness, HSM service and counts of the signer
    Status(status::StatusArgs),
    /// Print a completion script for a shell
    Completions(generated::CompletionsArgs),
    /// Write manual pages into a directory
    Man(generated::ManArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
