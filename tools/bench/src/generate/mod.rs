//! `assay-bench generate`: a store of many certificates whose rows, log and tree verify, by keys of its own.

mod clock;
mod enrol;
mod own;
#[cfg(test)]
mod tests;

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

pub(crate) use self::enrol::enrol;
use self::own::Own;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output::Output;

const DAY: Duration = Duration::from_hours(24);
/// Ten years.
const MAX_DAYS: u32 = 3_650;

#[derive(Debug, Args)]
#[command(long_about = "\
Makes a directory with a store (signer.db) of as many certificates as asked for, an export of it (export), and what an auditor \
pins (ca.pem, log.vkey, approvers.toml and the certificates of the approvers). Every certificate is enrolled by the signer's \
own code: the log check at a signer's start and `assay-audit verify` accept it.

No secret stays. The private keys are in memory alone, and the signer's configuration and the key of its challenges in a \
directory under TMPDIR that is removed at the end. A store without its keys cannot be served: it is for reading.

Example:
  assay-bench generate --certificates 100000 --days 365 --out store
  assay-audit verify store/export --trust store")]
pub(crate) struct Generate {
    /// Number of certificates
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    certificates: u32,

    /// Days over which their enrolments are spread; the last of them ends now
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_DAYS)))]
    days: u32,

    /// Directory to make; it must not exist yet, its parent must
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The store that was made.
#[derive(Debug, Serialize)]
struct Generated {
    directory: String,
    certificates: u64,
    records: u64,
    store_bytes: u64,
    seconds: f64,
    certificates_per_second: f64,
    start_seconds: f64,
}

pub(super) async fn run(args: &Generate, out: Output) -> Outcome {
    out.one(&generate(args).await?, Generated::lines)
}

async fn generate(args: &Generate) -> Outcome<Generated> {
    make_dir(&args.out)?;
    let own = Own::new(&args.out, DAY * args.days)?;
    let signer = own.start().await?;
    own.activate_policy(&signer).await?;
    let start = Instant::now();
    own.enrol(&signer, args.certificates).await?;
    let seconds = start.elapsed().as_secs_f64();
    own.stop(&signer).await?;
    drop(signer);
    let start = Instant::now();
    let signer = own.start().await?;
    let start_seconds = start.elapsed().as_secs_f64();
    let received = own.export(&signer, &args.out.join("export")).await?;
    own.stop(&signer).await?;
    // Closes the store, which puts the WAL back into the file.
    drop(signer);
    let file = std::fs::metadata(&own.state).or_fail("the store cannot be read")?;
    Ok(Generated {
        directory: args.out.display().to_string(),
        certificates: received.certificates,
        records: received.size,
        store_bytes: file.len(),
        seconds,
        certificates_per_second: f64::from(args.certificates) / seconds,
        start_seconds,
    })
}

/// Makes a directory that must not exist.
fn make_dir(path: &Path) -> Outcome {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(|error| {
        let next = if error.kind() == ErrorKind::AlreadyExists {
            "nothing is ever overwritten: name another directory with --out"
        } else {
            "see that the directory around it exists, is yours and has room"
        };
        let what = format!("cannot make the directory {}", path.display());
        Failure::usage(what).because(error).next(next)
    })
}

impl Generated {
    fn lines(&self) -> Vec<String> {
        vec![
            format!("directory     {}", self.directory),
            format!("certificates  {}", self.certificates),
            format!("records       {}", self.records),
            format!("store         {} bytes", self.store_bytes),
            format!(
                "enrolled in   {:.1} s, {:.0} per second",
                self.seconds, self.certificates_per_second
            ),
            format!(
                "starts in     {:.2} s, with every record and the tree checked",
                self.start_seconds
            ),
        ]
    }
}
