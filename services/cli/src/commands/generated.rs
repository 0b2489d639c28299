//! What is made from the command line's own definition: completions and manual pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::{OrFail, Outcome};
use crate::files;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory to write assay.1, assay-demo.1 and so on into
    directory: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs, out: Output) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "assay", &mut script);
    out.bytes(&script)
}

pub(crate) fn man(args: &ManArgs, out: Output) -> Outcome {
    files::make_dir(&args.directory)?;
    clap_mangen::generate_to(Cli::command(), &args.directory)
        .or_fail(format!("cannot write into {}", args.directory.display()))?;
    out.one(&serde_json::json!({ "directory": args.directory }), |_| {
        vec![format!(
            "manual pages written to {}",
            args.directory.display()
        )]
    })
}
