//! Log lines and metrics.

use std::error::Error;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

pub use metrics_exporter_prometheus::PrometheusHandle;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::buckets::Bucket;

/// Upper bounds in seconds for every histogram named `*_seconds`: a token operation takes 0.1 ms (P-256 in software)
/// to some 100 ms (a busy network HSM), and deadlines lie at 10 s.
const LATENCY_BUCKETS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// The environment variable that overrides the configured filter, for one run under observation.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// The `[log]` section of a service's configuration.
///
/// ```
/// # use assay_runtime::{config::Document, telemetry::{LogConfig, LogFormat}};
/// let document = Document::from_text("log.toml", r#"
///     format = "json"                   # auto (default), json, pretty
///     filter = "info,assay_hsm=debug"   # default "info"; RUST_LOG overrides it
/// "#);
/// assert_eq!(document.parse::<LogConfig>().unwrap().format, LogFormat::Json);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How lines look. Default: `auto`.
    pub format: LogFormat,
    /// Directives `TARGET=LEVEL`, comma-separated. Default: `info`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            filter: "info".to_owned(),
        }
    }
}

/// Starts logging to standard error; call once, in `main`.
///
/// # Errors
/// Where the filter cannot be parsed or logging was started before.
pub fn init(service: &'static str, log: &LogConfig) -> Result<(), TelemetryError> {
    let directives = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| log.filter.clone());
    let filter = EnvFilter::try_new(&directives)
        .map_err(|source| TelemetryError::Filter { directives, source })?;
    let pretty = match log.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if pretty {
        builder.with_target(false).try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init()
    };
    started.map_err(TelemetryError::Started)?;
    tracing::info!(service, pid = std::process::id(), "starting");
    Ok(())
}

/// Installs the recorder behind the `metrics` macros; call once, in `main`. The handle goes to [`crate::ops`].
///
/// # Errors
/// Where a recorder was installed before.
pub fn metrics(
    service: &'static str,
    version: &'static str,
) -> Result<PrometheusHandle, TelemetryError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(TelemetryError::Recorder)?;
    metrics::describe_gauge!(
        "assay_build_info",
        "Always 1; its labels name the running binary."
    );
    metrics::gauge!("assay_build_info", "service" => service, "version" => version).set(1.0);
    Ok(handle)
}

/// Lines of one kind that a peer can cause as often as it likes: one a second, with the number of those left out before.
pub struct Throttle {
    bucket: Bucket,
    unsaid: AtomicU64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            bucket: Bucket::new(1),
            unsaid: AtomicU64::new(0),
        }
    }
}

impl Throttle {
    /// How many lines were left out since the last one, or `None` where this one is to be left out.
    pub fn may_speak(&self) -> Option<u64> {
        if self.bucket.take() {
            Some(self.unsaid.swap(0, Ordering::Relaxed))
        } else {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// An error with all its sources in one line, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Some libraries repeat the source in their own text.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}

/// Why logging or metrics could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error("log filter `{directives}` is not a list such as `info,assay_hsm=debug`")]
    Filter {
        /// What was found.
        directives: String,
        /// What its parser said.
        source: ParseError,
    },
    /// Logging was started before in this process.
    #[error("logging was started before")]
    Started(#[source] Box<dyn Error + Send + Sync>),
    /// A metrics recorder was installed before in this process.
    #[error("the metrics recorder cannot be installed")]
    Recorder(#[source] metrics_exporter_prometheus::BuildError),
}
