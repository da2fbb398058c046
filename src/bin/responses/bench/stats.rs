//! Statistics of measured times: percentiles, and confidence intervals of mean differences.

use serde::{Deserialize, Serialize};

/// Percentiles by nearest rank, and the mean.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
    pub mean: f64,
}

impl Percentiles {
    /// Returns the percentiles of `values`, or `None` if there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values = sorted(values);
        Some(Self {
            p50: nearest_rank(&values, 0.5)?,
            p90: nearest_rank(&values, 0.9)?,
            p99: nearest_rank(&values, 0.99)?,
            max: *values.last()?,
            mean: mean(&values),
        })
    }

    /// Returns the same figures, each changed by `change`.
    pub(crate) fn map(self, change: impl Fn(f64) -> f64) -> Self {
        let Self { p50, p90, p99, max, mean } = self;
        Self {
            p50: change(p50),
            p90: change(p90),
            p99: change(p99),
            max: change(max),
            mean: change(mean),
        }
    }
}

/// Returns the median by nearest rank, or `None` if there are no values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    nearest_rank(&sorted(values), 0.5)
}

/// Returns `values` in ascending order.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Returns the smallest value that at least the given share of `sorted` does not exceed.
pub(crate) fn nearest_rank(sorted: &[f64], share: f64) -> Option<f64> {
    // The small subtrahend keeps a product such as 0.9 × 10, which may come out as
    // 9.000000000000002, from rounding up to the next rank.
    let rank = (share * sorted.len() as f64 - 1e-9).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Confidence of an [`Interval`].
pub(crate) const CONFIDENCE: f64 = 0.99;
/// Quantile of the standard normal distribution for the upper end of a two-sided interval of
/// [`CONFIDENCE`].
const NORMAL_QUANTILE: f64 = 2.575_829_303_548_901;
const RESAMPLES: usize = 10_000;
/// Fewest values that an interval is made of. With two, [`student_quantile`] is not exact.
pub(crate) const MIN_DIFFERENCES: usize = 3;

/// Mean difference, with a confidence interval of [`CONFIDENCE`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Interval {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

impl Interval {
    /// Returns the interval of the mean of paired differences, or `None` if there are fewer than
    /// three. Equal differences have an interval of one point. The result repeats for the same
    /// differences.
    ///
    /// Each end is the wider one of two estimates: the percentile bootstrap, which follows the
    /// skewness of the data, and Student's t, which allows for the small number of pairs. In
    /// simulations of 20 pairs, the bootstrap alone covered the mean in 97 to 98 % of runs for
    /// symmetric differences, and both together in 99 % or more. For very skewed ones (log-normal)
    /// both together covered the mean in 93 %, and the bootstrap widens the side of the long tail
    /// as pairs are added. The studentised bootstrap covered 97 % there, but its interval is
    /// infinite for data of few distinct values, such as one slow turn among equal ones, and three
    /// to four times as wide when a few turns stall.
    pub(crate) fn of_mean(differences: &[f64]) -> Option<Self> {
        if differences.len() < MIN_DIFFERENCES {
            return None;
        }
        let first = *differences.first()?;
        if differences.iter().all(|it| *it == first) {
            return Some(Self { mean: first, low: first, high: first });
        }
        let mean = mean(differences);
        let half_width =
            student_quantile(differences.len() - 1) * standard_error(differences, mean);
        let means = resampled_means(differences);
        Some(Self {
            mean,
            low: nearest_rank(&means, (1.0 - CONFIDENCE) / 2.0)?.min(mean - half_width),
            high: nearest_rank(&means, (1.0 + CONFIDENCE) / 2.0)?.max(mean + half_width),
        })
    }
}

/// Intervals of independent values.
impl Interval {
    /// Returns the interval of the difference between the means of two independent samples (Welch's
    /// t); `None` if one of them has fewer than three values.
    pub(crate) fn between(old: &[f64], new: &[f64]) -> Option<Self> {
        if old.len().min(new.len()) < MIN_DIFFERENCES {
            return None;
        }
        let mean_and_variance = |values: &[f64]| {
            let mean = mean(values);
            (mean, standard_error(values, mean).powi(2))
        };
        let ((old_mean, old_variance), (new_mean, new_variance)) =
            (mean_and_variance(old), mean_and_variance(new));
        let (mean, variance) = (new_mean - old_mean, old_variance + new_variance);
        if variance == 0.0 {
            return Some(Self { mean, low: mean, high: mean });
        }
        let share = |values: &[f64], variance: f64| variance.powi(2) / (values.len() as f64 - 1.0);
        let degrees = variance.powi(2) / (share(old, old_variance) + share(new, new_variance));
        // At least two, which is that of the smallest samples; a fraction is rounded down.
        let half_width = student_quantile((degrees as usize).max(2)) * variance.sqrt();
        Some(Self { mean, low: mean - half_width, high: mean + half_width })
    }

    /// Returns `true` if the interval excludes zero.
    pub(crate) fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// Returns the means of [`RESAMPLES`] samples of `values` with replacement, in ascending order.
fn resampled_means(values: &[f64]) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(1);
    sorted((0..RESAMPLES).map(|_| {
        let sum: f64 = values.iter().filter_map(|_| values.get(random.usize(..values.len()))).sum();
        sum / values.len() as f64
    }))
}

fn standard_error(values: &[f64], mean: f64) -> f64 {
    let squares: f64 = values.iter().map(|it| (it - mean).powi(2)).sum();
    let count = values.len() as f64;
    (squares / (count - 1.0) / count).sqrt()
}

/// Returns the quantile of Student's t distribution for the upper end of a two-sided interval of
/// [`CONFIDENCE`]: the Cornish-Fisher expansion (Abramowitz and Stegun, 26.7.5). Its error is 4 %
/// with two degrees of freedom, and below 0.3 % from four.
fn student_quantile(degrees: usize) -> f64 {
    let z = NORMAL_QUANTILE;
    let inverse = 1.0 / degrees as f64;
    let power = |exponent| z.powi(exponent);
    let terms = [
        z,
        (power(3) + z) / 4.0,
        (5.0 * power(5) + 16.0 * power(3) + 3.0 * z) / 96.0,
        (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * z) / 384.0,
        (79.0 * power(9) + 776.0 * power(7) + 1482.0 * power(5) - 1920.0 * power(3) - 945.0 * z)
            / 92_160.0,
    ];
    terms.iter().rev().fold(0.0, |sum, term| sum * inverse + term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let ten = Percentiles::of((1..=10).rev().map(f64::from)).unwrap();
        assert_eq!(ten, Percentiles { p50: 5.0, p90: 9.0, p99: 10.0, max: 10.0, mean: 5.5 });
        let hundred = Percentiles::of((1..=100).map(f64::from)).unwrap();
        assert_eq!((hundred.p50, hundred.p90, hundred.p99), (50.0, 90.0, 99.0));
        let one = Percentiles::of([7.0]).unwrap();
        assert_eq!(one, Percentiles { p50: 7.0, p90: 7.0, p99: 7.0, max: 7.0, mean: 7.0 });
        assert_eq!(Percentiles::of([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn quantiles_of_student_are_those_of_tables() {
        for (degrees, table) in [(2, 9.925), (3, 5.841), (4, 4.604), (9, 3.250), (19, 2.861)] {
            let error = (student_quantile(degrees) / table - 1.0).abs();
            assert!(error < if degrees < 4 { 0.045 } else { 0.003 }, "{degrees}: {error}");
        }
    }

    #[test]
    fn independent_samples_are_compared() {
        let sample = |seed: u64, count: usize, shift: f64| -> Vec<f64> {
            let mut random = fastrand::Rng::with_seed(seed);
            (0..count).map(|_| shift + 3.0 * (random.f64() - random.f64())).collect()
        };
        let shown = |shift: f64| {
            let found = (0..200).filter(|seed| {
                let (old, new) =
                    (sample(2 * seed, 10, 50.0), sample(2 * seed + 1, 7, 50.0 + shift));
                let interval = Interval::between(&old, &new).unwrap();
                assert!(interval.low < interval.mean && interval.mean < interval.high);
                interval.excludes_zero()
            });
            found.count()
        };
        assert!(shown(0.0) <= 6, "{}", shown(0.0));
        assert_eq!((shown(5.0), shown(-5.0)), (200, 200));
        let equal = Interval::between(&[2.0; 3], &[3.5; 4]).unwrap();
        assert_eq!((equal.low, equal.mean, equal.high), (1.5, 1.5, 1.5));
        assert_eq!(Interval::between(&[2.0; 3], &[3.5; 2]), None);
        // Student's t with 4 degrees of freedom is 4.604, and both standard errors are 0.577.
        let known = Interval::between(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).unwrap();
        assert!((known.high - 4.604 * 0.8165).abs() < 0.02, "{known:?}");
    }

    #[test]
    fn equal_differences_have_an_interval_of_one_point() {
        for value in [0.0, -4.2] {
            let interval = Interval { mean: value, low: value, high: value };
            assert_eq!(Interval::of_mean(&[value; 20]), Some(interval));
        }
    }

    #[test]
    fn two_differences_have_no_interval() {
        assert_eq!(Interval::of_mean(&[1.0, 2.0]), None);
        assert!(Interval::of_mean(&[1.0, 2.0, 3.0]).is_some());
    }

    #[test]
    fn one_slow_turn_among_equal_ones_has_a_finite_interval() {
        let mut differences = [0.0; 20];
        differences[0] = 150.0;
        let Interval { mean, low, high } = Interval::of_mean(&differences).unwrap();
        assert_eq!(mean, 7.5);
        assert!(low < 0.0 && high < 50.0, "{low} to {high}");
    }

    /// Draws from the standard normal distribution (Box and Muller).
    fn normal(random: &mut fastrand::Rng) -> f64 {
        let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * random.f64()).cos()
    }

    /// Returns in how many of 100 seeds `draw` makes 20 differences whose interval excludes zero.
    fn shown(draw: impl Fn(&mut fastrand::Rng) -> f64) -> usize {
        let is_shown = |seed: &u64| {
            let mut random = fastrand::Rng::with_seed(*seed);
            let differences: Vec<f64> = (0..20).map(|_| draw(&mut random)).collect();
            let interval = Interval::of_mean(&differences).unwrap();
            interval.low > 0.0 || interval.high < 0.0
        };
        (0..100).filter(is_shown).count()
    }

    #[test]
    fn a_mode_compared_with_itself_shows_no_difference() {
        // A log-normal time of 50 ms, and one that stalls in 3 % of the turns.
        let time = |random: &mut fastrand::Rng| 50.0 * (0.5 * normal(random)).exp();
        let heavy = shown(|random| time(random) - time(random));
        let stalling = |random: &mut fastrand::Rng| {
            50.0 + normal(random) + if random.f64() < 0.03 { 200.0 } else { 0.0 }
        };
        let stalls = shown(|random| stalling(random) - stalling(random));
        assert!(heavy <= 2 && stalls <= 2, "{heavy} and {stalls} of 100");
    }

    #[test]
    fn a_handicap_is_found() {
        let noise = |random: &mut fastrand::Rng| 3.0 * normal(random);
        assert_eq!(shown(|random| 5.0 + noise(random)), 100);
    }
}
