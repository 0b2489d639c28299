//! The metrics that the service writes for node_exporter's textfile collector.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use assay_hsm::{OperationError, Token};

use support::{Installation, PATIENCE, reply};

/// The value of one series; the file is whole whenever it is read.
fn value(file: &Path, series: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    assert!(text.ends_with('\n'), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        for comment in ["HELP", "TYPE"] {
            assert!(text.contains(&format!("# {comment} {name} ")), "{line}");
        }
        if let Some((found, value)) = line.rsplit_once(' ')
            && found == series
        {
            return Some(value.parse().unwrap());
        }
    }
    panic!("no {series}: {text}");
}

async fn until(file: &Path, series: &str, wanted: impl Fn(f64) -> bool) {
    let reached = async {
        while !value(file, series).is_some_and(&wanted) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, reached).await;
    assert!(waited.is_ok(), "{series}: {:?}", value(file, series));
}

#[tokio::test]
async fn operations_refusals_and_clients_are_written_while_it_runs_and_at_its_end() {
    let installation = Installation::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("assay-hsm.prom");
    let mut config = installation.config();
    config.metrics_file = Some(file.clone());
    let service = config.start().await;
    let signs = "assay_hsm_operations_total{role=\"ra-sign\"}";
    // Written before the first client is served.
    until(&file, signs, |_| true).await;
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);

    for _ in 0..3 {
        reply::send(&service).await.unwrap();
    }
    let refused = service.sign_certificate("r2", b"not a TBS").await;
    assert!(matches!(refused, Err(OperationError::Refused { .. })));
    until(&file, signs, |count| (count - 3.0).abs() < 0.5).await;
    until(&file, "assay_hsm_refusals_total", |count| count > 0.5).await;
    until(&file, "assay_hsm_clients", |count| count > 0.5).await;
    until(&file, "assay_hsm_queue_length", |count| count < 0.5).await;
    until(&file, "assay_hsm_cpu_seconds_total", |time| time > 0.0).await;
    until(&file, "assay_hsm_start_time_seconds", |time| time > 1e9).await;

    // The last one is not written by the interval.
    reply::send(&service).await.unwrap();
    service.shutdown().await;
    assert_eq!(value(&file, signs), Some(4.0));
    let names = fs::read_dir(folder.path()).unwrap();
    assert_eq!(names.count(), 1, "no temporary file is left");
}
