//! What the replies showed, and whether it tells the causes apart.

use std::collections::BTreeSet;

use serde::Serialize;

use super::cause::Cause;
use super::send::Observed;
use super::shape::Shape;
use super::welch::{self, BOUND, CUTS, Moments};

/// Median, mean and spread for each cause, and Welch's t for each pair.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Ways in which replies differ, but for ids, nonces and signature; 1 is right.
    shapes: usize,
    causes: Vec<OfCause>,
    pairs: Vec<Pair>,
    /// Largest |t|; not a number where a JSON reader has none, so at most this.
    largest_t: f64,
    bound: f64,
    pass: bool,
}

#[derive(Debug, Serialize)]
struct OfCause {
    cause: Cause,
    replies: usize,
    shapes: usize,
    median_ms: f64,
    mean_ms: f64,
    deviation_ms: f64,
}

#[derive(Debug, Serialize)]
struct Pair {
    a: Cause,
    b: Cause,
    /// At each of [`CUTS`].
    t: [f64; CUTS.len()],
}

impl Report {
    pub(super) fn new(causes: &[Cause], observed: &Observed) -> Self {
        let mut all: Vec<f64> = observed
            .values()
            .flat_map(|seen| seen.milliseconds.iter().copied())
            .collect();
        all.sort_unstable_by(f64::total_cmp);
        let cuts = CUTS.map(|percent| welch::quantile(&all, percent));

        let mut of_causes = Vec::with_capacity(causes.len());
        let mut pairs = Vec::new();
        let mut shapes: BTreeSet<&Shape> = BTreeSet::new();
        for (place, (a, seen)) in observed.iter().enumerate() {
            shapes.extend(seen.shapes.keys());
            let mut sorted = seen.milliseconds.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            let moments = Moments::of(&sorted, f64::MAX);
            of_causes.push(OfCause {
                cause: *a,
                replies: sorted.len(),
                shapes: seen.shapes.len(),
                median_ms: welch::quantile(&sorted, 50),
                mean_ms: moments.mean,
                deviation_ms: moments.variance.sqrt(),
            });
            for (b, other) in observed.iter().skip(place + 1) {
                pairs.push(Pair {
                    a: *a,
                    b: *b,
                    t: cuts.map(|cut| {
                        // JSON has no infinity.
                        welch::t(&seen.milliseconds, &other.milliseconds, cut)
                            .clamp(f64::MIN, f64::MAX)
                    }),
                });
            }
        }
        let largest_t = pairs.iter().map(Pair::largest).fold(0.0, f64::max);
        Self {
            shapes: shapes.len(),
            pass: shapes.len() == 1 && largest_t < BOUND,
            causes: of_causes,
            pairs,
            largest_t,
            bound: BOUND,
        }
    }

    /// What tells causes apart, if anything does.
    pub(super) fn difference(&self) -> Option<String> {
        if self.shapes != 1 {
            return Some(format!(
                "the replies have {} shapes, ids, nonces and signatures left out",
                self.shapes
            ));
        }
        let worst = self
            .pairs
            .iter()
            .max_by(|a, b| a.largest().total_cmp(&b.largest()))?;
        (worst.largest() >= BOUND).then(|| {
            format!(
                "|t| is {:.1} for {} and {}",
                worst.largest(),
                worst.a.name(),
                worst.b.name()
            )
        })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{:<17}{:>8}{:>8}{:>12}{:>12}{:>12}",
            "cause", "replies", "shapes", "median ms", "mean ms", "deviation"
        )];
        lines.extend(self.causes.iter().map(|of| {
            format!(
                "{:<17}{:>8}{:>8}{:>12.3}{:>12.3}{:>12.3}",
                of.cause.name(),
                of.replies,
                of.shapes,
                of.median_ms,
                of.mean_ms,
                of.deviation_ms
            )
        }));
        lines.push(String::new());
        let cuts: String = CUTS.iter().map(|cut| format!("{cut:>9}%")).collect();
        lines.push(format!("{:<34}{cuts}", "Welch's t, cut at the fastest"));
        lines.extend(self.pairs.iter().map(|pair| {
            let names = format!("{} / {}", pair.a.name(), pair.b.name());
            let t: String = pair.t.iter().map(|t| format!("{t:>10.2}")).collect();
            format!("{names:<34}{t}")
        }));
        lines.push(String::new());
        lines.push(format!(
            "largest |t| {:.2} (bound {BOUND}), {} shape(s) of reply: {}",
            self.largest_t,
            self.shapes,
            if self.pass { "pass" } else { "FAIL" }
        ));
        lines
    }
}

impl Pair {
    fn largest(&self) -> f64 {
        self.t.iter().map(|t| t.abs()).fold(0.0, f64::max)
    }
}
