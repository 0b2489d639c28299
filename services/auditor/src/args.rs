//! The command line as a whole; each command's own arguments are beside its code.

use assay_console::generated::{CompletionsArgs, ManArgs};
use clap::{Parser, Subcommand};

use crate::{receipt, tree, verify, witness};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and everything holds
  1  failed, or something does not hold
  2  wrong usage, or a file that cannot be read
  3  of an export: nothing is wrong, but not everything is proven";

/// Proves the audit log of Assay with files and pinned keys alone, and witnesses checkpoints.
#[derive(Debug, Parser)]
#[command(name = "assay-audit", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Verify(verify::VerifyArgs),
    Receipt(receipt::ReceiptArgs),
    Tree(tree::TreeArgs),
    Witness(witness::WitnessArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write manual pages into a directory
    Man(ManArgs),
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
