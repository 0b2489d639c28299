//! The results of a run of enrolments.

use std::time::Duration;

use serde::Serialize;

use super::cpu::Cpu;
use super::token::TokenReport;

/// How fast a server enrolled.
#[derive(Debug, Serialize)]
pub(super) struct Rate {
    pub(super) requests: usize,
    connections: u16,
    pub(super) failures: usize,
    seconds: f64,
    enrolments_per_second: f64,
    latency_median_ms: f64,
    latency_p99_ms: f64,
}

/// Both sides of one run: the whole server, and the token alone.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) rate: Rate,
    cpu_ms_per_enrolment: CpuReport,
    token: TokenReport,
    /// Server CPU an enrolment over the token's own.
    cpu_ratio: f64,
}

/// Milliseconds of CPU an enrolment, user and system.
#[derive(Debug, Serialize)]
struct CpuReport {
    frontend: f64,
    signer: f64,
    hsm: f64,
    total: f64,
}

/// Percentiles of the latencies.
pub(super) struct Latency {
    pub(super) median: Duration,
    pub(super) p99: Duration,
}

impl Latency {
    pub(super) fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let at = |percent: usize| {
            let rank = (latencies.len() * percent).div_ceil(100).max(1);
            latencies.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            median: at(50),
            p99: at(99),
        }
    }
}

impl Rate {
    pub(super) fn new(
        requests: usize,
        failures: usize,
        connections: u16,
        elapsed: Duration,
        latency: &Latency,
    ) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "at most 100,000")]
        let good = requests.saturating_sub(failures) as f64;
        Self {
            requests,
            connections,
            failures,
            seconds: elapsed.as_secs_f64(),
            enrolments_per_second: good / elapsed.as_secs_f64(),
            latency_median_ms: latency.median.as_secs_f64() * 1_000.0,
            latency_p99_ms: latency.p99.as_secs_f64() * 1_000.0,
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        vec![
            format!(
                "enrolments    {} over {} connections, {} failed",
                self.requests, self.connections, self.failures
            ),
            format!(
                "rate          {:.0}/s ({:.2} s)",
                self.enrolments_per_second, self.seconds
            ),
            format!(
                "latency       median {:.2} ms, p99 {:.2} ms",
                self.latency_median_ms, self.latency_p99_ms
            ),
        ]
    }
}

impl Report {
    pub(super) fn new(rate: Rate, cpu: Cpu, token: TokenReport) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "at most 100,000")]
        let sent = rate.requests as f64;
        let per_enrolment = |seconds: f64| seconds * 1_000.0 / sent;
        let total = per_enrolment(cpu.total());
        Self {
            rate,
            cpu_ms_per_enrolment: CpuReport {
                frontend: per_enrolment(cpu.frontend),
                signer: per_enrolment(cpu.signer),
                hsm: per_enrolment(cpu.hsm),
                total,
            },
            cpu_ratio: total / token.cpu_ms_per_enrolment,
            token,
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let cpu = &self.cpu_ms_per_enrolment;
        let mut lines = self.rate.lines();
        lines.extend([
            format!(
                "CPU           {:.3} ms an enrolment: frontend {:.3}, signer {:.3}, HSM service {:.3}",
                cpu.total, cpu.frontend, cpu.signer, cpu.hsm
            ),
            String::new(),
            "the token alone, in the same run:".to_owned(),
        ]);
        lines.extend(self.token.lines());
        lines.push(String::new());
        lines.push(format!(
            "ratio         {:.2} (server CPU an enrolment over the token's own)",
            self.cpu_ratio
        ));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let latency = Latency::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(latency.median, Duration::from_millis(50));
        assert_eq!(latency.p99, Duration::from_millis(99));
        assert_eq!(Latency::of(Vec::new()).p99, Duration::ZERO);
    }
}
