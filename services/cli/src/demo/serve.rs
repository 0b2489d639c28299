//! Serving: a service that dies is started again, and the ready file keeps telling the truth.

use std::path::Path;
use std::time::Duration;

use assay_console::failure::Outcome;
use assay_console::output::{self, Output};
use assay_operator::services::Service;
use assay_runtime::drain::Shutdown;
use tokio::time::sleep;

use super::child::Running;
use super::home::Home;
use super::ready::ReadyFile;
use super::start::Started;
use super::talk;

/// Wait before a start again, doubled up to the second while the service does not stay.
const BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A service that ran so long did stay.
const STAYED: Duration = Duration::from_secs(30);

/// Serves until a signal comes.
pub(super) async fn serve(
    started: &mut Started,
    home: &Home,
    file: Option<&Path>,
    shutdown: &Shutdown,
    out: Output,
) -> Outcome {
    let mut told = ReadyFile::of(started, home);
    if out.is_json() {
        out.json(&told)?;
    } else {
        talk::welcome(started, &told, home, out)?;
    }
    if let Some(file) = file {
        told.write(file)?;
    }
    let mut backoff = BACKOFF;
    loop {
        let died = tokio::select! {
            () = shutdown.requested() => break,
            _ = started.hsm.ended() => Service::Hsm,
            _ = started.signer.ended() => Service::Signer,
            _ = started.frontend.ended() => Service::Frontend,
        };
        tokio::select! {
            () = shutdown.requested() => break,
            () = revive(started, died, home, &mut backoff) => {}
        }
        let now = ReadyFile::of(started, home);
        if let Some(file) = file.filter(|_| now != told) {
            now.write(file)?;
        }
        told = now;
    }
    output::note("stopping");
    Ok(())
}

/// Starts the service again until it stays up long enough to listen.
async fn revive(started: &mut Started, service: Service, home: &Home, backoff: &mut Duration) {
    let running = match service {
        Service::Hsm => &mut started.hsm,
        Service::Signer => &mut started.signer,
        Service::Frontend => &mut started.frontend,
    };
    let status = running
        .ended()
        .await
        .map_or_else(|failure| failure.to_string(), |status| status.to_string());
    output::note(&format!(
        "{} (pid {}) ended: {status}",
        service.name(),
        running.ready.pid
    ));
    if running.since.elapsed() > STAYED {
        *backoff = BACKOFF;
    }
    loop {
        sleep(*backoff).await;
        *backoff = (*backoff * 2).min(MAX_BACKOFF);
        match Running::start(service, home).await {
            Ok(again) => {
                output::note(&format!(
                    "{} is up again (pid {})",
                    service.name(),
                    again.ready.pid
                ));
                *running = again;
                return;
            }
            Err(failure) => output::note(&failure.to_string()),
        }
    }
}
