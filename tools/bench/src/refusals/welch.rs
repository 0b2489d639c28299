//! Welch's t-test on times that a busy machine disturbs.

/// Beyond this two samples differ; chance alone passes it once in 100,000 comparisons (the bound of ISO/IEC 17825).
pub(super) const BOUND: f64 = 4.5;

/// Quantiles of all times together at which times are cut to size, per cent. The slow ones are of the machine's making and
/// drown what is looked for; but a difference may lie among them too, so nothing is cut in the first comparison.
pub(super) const CUTS: [usize; 5] = [100, 90, 50, 25, 10];

/// The value below which `percent` of `sorted` lie.
pub(super) fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Welch's t of two samples, whatever is above `cut` counting as `cut`. Both lose by the same rule and neither loses a
/// value, so equal distributions stay equal.
pub(super) fn t(a: &[f64], b: &[f64], cut: f64) -> f64 {
    let (a, b) = (Moments::of(a, cut), Moments::of(b, cut));
    let difference = a.mean - b.mean;
    let error = (a.variance / a.count + b.variance / b.count).sqrt();
    if difference == 0.0 {
        return 0.0;
    }
    difference / error
}

/// Mean and unbiased variance.
pub(super) struct Moments {
    count: f64,
    pub(super) mean: f64,
    pub(super) variance: f64,
}

impl Moments {
    pub(super) fn of(values: &[f64], cut: f64) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "at most a million")]
        let count = values.len() as f64;
        let cut = values.iter().map(|value| value.min(cut));
        let mean = cut.clone().sum::<f64>() / count;
        let squares: f64 = cut.map(|value| (value - mean).powi(2)).sum();
        Self {
            count,
            mean,
            variance: squares / (count - 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Welch (1947) by hand: means 3 and 5, variances 2.5 and 2.5, five values each.
    #[test]
    fn t_is_the_difference_of_means_in_standard_errors() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0];
        let b = [3.0, 4.0, 5.0, 6.0, 7.0];
        assert!((t(&a, &b, f64::MAX) + 2.0).abs() < 1e-12);
        assert!((t(&b, &a, f64::MAX) - 2.0).abs() < 1e-12);
        assert!(t(&a, &a, f64::MAX).abs() < 1e-12);
    }

    #[test]
    fn what_is_above_the_cut_counts_as_the_cut() {
        let a = [1.0, 2.0, 1_000.0];
        let b = [1.0, 2.0, 3.0];
        assert!(t(&a, &b, 3.0).abs() < 1e-12);
        assert!(t(&[9.0, 9.0], &[1.0, 1.0], 5.0).is_infinite());
    }

    #[test]
    fn quantiles_are_those_of_the_nearest_rank() {
        let sorted: Vec<f64> = (1..=10).map(f64::from).collect();
        let found = CUTS.map(|cut| quantile(&sorted, cut));
        assert!(
            found
                .iter()
                .zip([10.0, 9.0, 5.0, 3.0, 1.0])
                .all(|(a, b)| (a - b).abs() < 1e-12)
        );
    }
}
