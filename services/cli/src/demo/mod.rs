//! `assay demo`: a whole installation on SoftHSM, real processes and mutual TLS, in one directory.

mod address;
mod ceremony;
mod child;
mod home;
mod ready;
mod serve;
mod settings;
mod setup;
mod start;
mod talk;
mod token;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use assay_console::failure::{Exit, Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_operator::installation::{DEMO_DIR, Installation};
use assay_runtime::drain::Shutdown;
use clap::Args;

use address::HeldAddress;
use home::Home;

/// Kinds of key that SCEP clients verify.
const CA_KEYS: [&str; 5] = ["p256", "p384", "rsa2048", "rsa3072", "rsa4096"];

#[derive(Debug, Args)]
#[command(
    about = "Make a whole throw-away installation on SoftHSM, enrol a device and serve until Ctrl-C"
)]
#[command(long_about = "\
Makes a throw-away SoftHSM token, runs the ceremony, starts HSM service, signer and frontend as separate processes with mutual TLS, \
puts the profiles devices (one-time challenges) and fleet (a static challenge and an inventory) in force, enrols one \
device, and serves until Ctrl-C. All of it lies in one directory (--dir, else ./assay-demo); started there again, it \
continues with the same keys and the same state. A process that dies is started again.

Started by root, each service has a user of its own (61101 to 61103, without a name), who can read its own files alone. Where these users \
cannot reach the directory, it is a link to one in /var/lib. Started by another user, that user runs them all.")]
pub(crate) struct DemoArgs {
    /// Address of the SCEP frontend; port 0 takes a free one, the same again at the next start
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Write this file, JSON, when all is ready; it goes when the demo ends
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,

    /// The issuing CA's key; some devices verify RSA signatures alone
    #[arg(long, value_name = "ALGORITHM", default_value = "rsa3072", value_parser = CA_KEYS)]
    ca_key: String,

    /// Make an RA key that both decrypts and signs too, for profiles with the exception single_ra
    #[arg(long)]
    single_ra: bool,

    /// Make an OCSP responder too; certificates then name it, and the frontend answers at /ocsp
    #[arg(long)]
    ocsp: bool,

    /// PKCS#11 library of SoftHSM 2 [default: where distributions put it]
    #[arg(long, value_name = "PATH", env = "ASSAY_PKCS11_MODULE")]
    module: Option<PathBuf>,
}

pub(crate) async fn run(args: DemoArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let dir = files::absolute(dir.unwrap_or(Path::new(DEMO_DIR)))?;
    let shutdown = Shutdown::on_signals().or_fail("cannot take signals")?;
    // Left from a demo that was killed, it would tell of processes that are gone.
    if let Some(file) = &args.ready_file {
        ready::remove(file)?;
    }
    let home = Home::enter(Installation::at(dir))?;
    let demo = async {
        home.stop_orphans().await?;
        let last = home.mark()?.and_then(|mark| mark.http);
        let frontend = HeldAddress::hold(args.listen, last)?;
        setup::prepare(&home, &args, frontend.address()).await?;
        let started = start::start(&home, frontend).await?;
        Ok::<_, Failure>(started)
    };
    let mut started = tokio::select! {
        started = Box::pin(demo) => started?,
        () = shutdown.requested() => {
            return Err(Failure::new(Exit::Interrupted, "the demo was stopped before it was ready")
                .next("run it again: it continues, or starts afresh, in the same directory"));
        }
    };
    let served = serve::serve(
        &mut started,
        &home,
        args.ready_file.as_deref(),
        &shutdown,
        out,
    )
    .await;
    let removed = args.ready_file.as_deref().map_or(Ok(()), ready::remove);
    started.stop().await;
    served.and(removed)
}
