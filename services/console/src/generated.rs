//! What is made from a program's own arguments: completions and manual pages.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::{OrFail, Outcome};
use crate::files;
use crate::output::Output;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Directory to write the pages into, one for each command
    directory: PathBuf,
}

/// Prints a completion script.
///
/// # Errors
/// Standard output cannot be written.
pub fn completions(args: &CompletionsArgs, mut program: Command, out: Output) -> Outcome {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, name, &mut script);
    out.bytes(&script)
}

/// Writes the manual pages of the program and of each of its commands.
///
/// # Errors
/// The directory cannot be made or written, or standard output cannot be written.
pub fn man(args: &ManArgs, program: Command, out: Output) -> Outcome {
    files::make_dir(&args.directory)?;
    clap_mangen::generate_to(program, &args.directory)
        .or_fail(format!("cannot write into {}", args.directory.display()))?;
    out.one(&serde_json::json!({ "directory": args.directory }), |_| {
        vec![format!(
            "manual pages written to {}",
            args.directory.display()
        )]
    })
}
