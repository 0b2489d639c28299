//! The report as people read it.

use super::{Phase, Report, float};

const SECONDS_A_DAY: f64 = 86_400.0;
const MEBIBYTE: f64 = 1_048_576.0;

impl Report {
    pub(in crate::ocsp) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} certificates, two responses each; ocsp.rate {}, refresh {} s, validity {} s",
            self.certificates, self.rate, self.refresh_seconds, self.validity_seconds
        )];
        lines.push(String::new());
        lines.extend(self.phases());
        lines.push(String::new());
        lines.extend(self.waves());
        lines.push(String::new());
        lines.extend(self.rest());
        lines.push(String::new());
        lines.push("bounds".to_owned());
        lines.extend(self.bounds.iter().map(|bound| {
            let held = if bound.held { "held" } else { "BROKEN" };
            format!("  {held:<8}{}", bound.what)
        }));
        lines
    }

    fn phases(&self) -> Vec<String> {
        let (a, b) = (&self.signing_all, &self.refreshing_all);
        let row = |name: &str, of: &dyn Fn(&Phase) -> String| {
            format!("{name:<36}{:>14}{:>16}", of(a), of(b))
        };
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        vec![
            format!("{:<36}{:>14}{:>16}", "", "signing all", "refreshing all"),
            row("seconds", &|phase| format!("{:.0}", phase.seconds)),
            row("certificates signed for", &|phase| {
                format!("{:.0}", phase.signed)
            }),
            row("  a second", &|phase| {
                format!("{:.0}", phase.signed_per_second)
            }),
            row("token operations", &|phase| phase.operations.to_string()),
            row("  a second", &|phase| {
                format!("{:.0}", phase.operations_per_second)
            }),
            row("CPU of the HSM service, an operation", &|phase| {
                format!("{:.0} us", phase.hsm_cpu_us_per_operation)
            }),
            row("  of one core", &|phase| percent(phase.hsm_share_of_a_core)),
            row("CPU of the signer, of one core", &|phase| {
                percent(phase.signer_share_of_a_core)
            }),
            row("due at a time, at most", &|phase| {
                format!("{:.0}", phase.due_at_most)
            }),
            row("statuses asked for", &|phase| {
                phase.statuses.asked.to_string()
            }),
            row("  answered within, median", &|phase| {
                format!("{:.2} ms", phase.statuses.median_ms)
            }),
            row("  p99", &|phase| format!("{:.2} ms", phase.statuses.p99_ms)),
            format!(
                "statuses while nothing was signed: {}, median {:.2} ms, p99 {:.2} ms",
                self.statuses_idle.asked, self.statuses_idle.median_ms, self.statuses_idle.p99_ms
            ),
        ]
    }

    fn waves(&self) -> Vec<String> {
        let header = format!(
            "{} enrolments over {}",
            self.enrolments_alone.requests, self.connections
        );
        let mut lines = vec![format!(
            "{header:<28}{:>10}{:>13}{:>11}{:>22}",
            "a second", "median ms", "p99 ms", "responses a second"
        )];
        for (name, of) in [
            ("  without the refresh", &self.enrolments_alone),
            ("  beside it", &self.enrolments_beside),
        ] {
            lines.push(format!(
                "{name:<28}{:>10.0}{:>13.2}{:>11.2}{:>22.0}",
                of.per_second, of.median_ms, of.p99_ms, of.responses_per_second
            ));
        }
        lines
    }

    fn rest(&self) -> Vec<String> {
        let (floor, cycle, scale) = (&self.floor, &self.cycle, &self.scale);
        let mebibytes = |octets: u64| float(octets) / MEBIBYTE;
        vec![
            format!(
                "the token alone     {} signatures by the same key in {:.1} s ({:.0}/s, {} sessions), {:.0} us of CPU each",
                floor.signatures,
                floor.seconds,
                floor.signatures_per_second,
                floor.sessions,
                floor.cpu_us_per_signature
            ),
            format!(
                "ratio               {:.2} (CPU of the HSM service an operation in the first signing over the token's own)",
                self.hsm_ratio
            ),
            format!(
                "window              the first response ends {}, the last was replaced {}",
                cycle.first_next_update, cycle.replaced_at
            ),
            format!(
                "a day of refresh 1d {:.0} operations ({:.1}/s), {:.0} s of the HSM service's CPU, {:.3} % of one core (computed)",
                self.operations_a_day,
                self.operations_a_day / SECONDS_A_DAY,
                self.hsm_cpu_seconds_a_day,
                self.hsm_cpu_seconds_a_day / SECONDS_A_DAY * 100.0
            ),
            format!(
                "store               {:.0} MiB, write-ahead log {:.0} MiB at most; memory of the signer {:.0} MiB at most",
                mebibytes(scale.store_octets),
                mebibytes(scale.wal_octets_at_most),
                mebibytes(scale.signer_octets_at_most)
            ),
        ]
    }
}
