//! Metrics in a file: this process has no network, so it writes what the textfile collector of Prometheus's node_exporter reads.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use assay_journal::Usage;

use crate::service::Service;

/// Between two writes; Prometheus commonly reads as often.
const INTERVAL: Duration = Duration::from_secs(15);
/// The channel that ends the thread carries no message: its end is the message.
const NOTHING_SENT: usize = 0;
/// Whatever the umask, for the collector runs as another user.
const READABLE: u32 = 0o644;

/// The thread that writes the file.
pub(crate) struct Metrics {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Metrics {
    /// Writes at once, then every 15 s. The thread does not keep the service alive.
    pub(crate) fn start(
        file: PathBuf,
        service: &Arc<Service>,
        clients: Arc<AtomicUsize>,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::sync_channel(NOTHING_SENT);
        let service = Arc::downgrade(service);
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let started = started.unwrap_or_default();
        let mut failing = false;
        let mut write = move || {
            let Some(text) = exposition(&service, &clients, started) else {
                return;
            };
            match replace(&file, &text) {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(file = %file.display(), %error, "the metrics are not written");
                }
                Err(_) => {}
            }
        };
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || {
                write();
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(INTERVAL) {
                    write();
                }
                write();
            })?;
        Ok(Self { stop, thread })
    }

    /// Writes the last counts and ends the thread.
    pub(crate) fn stop(self) {
        drop(self.stop);
        // A panic has been written to the log already.
        let _ = self.thread.join();
    }
}

/// The file's text; `None` once the service is gone.
fn exposition(service: &Weak<Service>, clients: &AtomicUsize, started: Duration) -> Option<String> {
    let service = service.upgrade()?;
    let usage = service.usage();
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, series: &[(String, String)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in series {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: String| [(String::new(), value)];
    let operations = usage.operations.iter();
    let operations: Vec<_> = operations
        .map(|(role, count)| (format!("{{role=\"{role}\"}}"), count.to_string()))
        .collect();
    metric(
        "assay_hsm_operations_total",
        "counter",
        "Operations with the keys of each role.",
        &operations,
    );
    metric(
        "assay_hsm_refusals_total",
        "counter",
        "Operations that were refused.",
        &one(service.refusals().to_string()),
    );
    metric(
        "assay_hsm_cpu_seconds_total",
        "counter",
        "CPU time of the process.",
        &one(seconds(Duration::from_nanos(usage.cpu_nanoseconds))),
    );
    metric(
        "assay_hsm_clients",
        "gauge",
        "Clients that are connected.",
        &one(clients.load(Ordering::Acquire).to_string()),
    );
    metric(
        "assay_hsm_queue_length",
        "gauge",
        "Operations that wait for a session.",
        &one(service.queue_length().to_string()),
    );
    let journal = service.journal();
    let (entries, certificates, usages) = journal.read(|state| {
        let usages = state.usage(crate::journal::now());
        (state.head().size, state.certificates(), usages)
    });
    metric(
        "assay_hsm_journal_entries",
        "gauge",
        "Entries of the journal.",
        &one(entries.to_string()),
    );
    metric(
        "assay_hsm_journal_certificates",
        "gauge",
        "Certificates in the journal.",
        &one(certificates.to_string()),
    );
    metric(
        "assay_hsm_journal_disk_full",
        "gauge",
        "1 while certificates are refused because the disk of the journal is full.",
        &one(u8::from(journal.health().is_disk_full).to_string()),
    );
    let of_ceilings = |value: fn(&Usage) -> u64| -> Vec<_> {
        let usages = usages.iter();
        usages
            .map(|usage| {
                let labels = format!("{{ceiling=\"{}\"}}", usage.limit);
                (labels, value(usage).to_string())
            })
            .collect()
    };
    metric(
        "assay_hsm_ceiling",
        "gauge",
        "Each ceiling, raised or configured.",
        &of_ceilings(|usage| usage.ceiling),
    );
    metric(
        "assay_hsm_ceiling_used",
        "gauge",
        "The part of each ceiling that is used in its hour or day.",
        &of_ceilings(|usage| usage.used),
    );
    metric(
        "assay_hsm_start_time_seconds",
        "gauge",
        "Start of the process, in seconds since 1970.",
        &one(seconds(started)),
    );
    Some(text)
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// Writes a whole file: a reader sees the old one, none, or the whole of the new one.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    fs::write(&temporary, text)?;
    fs::set_permissions(&temporary, Permissions::from_mode(READABLE))?;
    fs::rename(&temporary, path)
}
