//! Medians, spreads and latencies: what the table says about repeated figures.
//!
//! A ratio of two contestants is taken inside each round first and then its median: rounds differ more than contestants do.

/// Median with the extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// The value that `per_mille` of `sorted` do not exceed; 0 where there is none.
pub fn at(sorted: &[f64], per_mille: usize) -> f64 {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

/// Between which the middle half of `values` lies; `None` where they are too few for that to say more than their extremes.
pub fn middle_half(values: &[f64]) -> Option<(f64, f64)> {
    const FEW: usize = 12;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted.len() >= FEW).then(|| (at(&sorted, 250), at(&sorted, 750)))
}

/// The spread of `values`; `None` when there are none. An even count takes the mean of the two in the middle.
pub fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
    Some(Spread { median, min, max })
}

/// Round by round, `over` divided by the least of `under`; a round in which `over` or every one of `under` is missing is left out.
pub fn ratios(over: &[Option<f64>], under: &[&[Option<f64>]]) -> Vec<f64> {
    let least = |round: usize| under.iter().filter_map(|c| c.get(round).copied().flatten()).reduce(f64::min);
    over.iter().enumerate().filter_map(|(round, value)| Some((*value)? / least(round)?)).collect()
}

/// The same with differences: `over` minus `under`.
pub fn differences(over: &[Option<f64>], under: &[Option<f64>]) -> Vec<f64> {
    over.iter().zip(under).filter_map(|(over, under)| Some((*over)? - (*under)?)).collect()
}

/// Sub-buckets of each power of two: a figure read back is at most 1/64 off.
const STEPS_LOG2: u32 = 6;

/// Durations in nanoseconds, in buckets whose width grows with the value.
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

impl Latencies {
    pub fn new() -> Self {
        Self { buckets: vec![0; (64 - STEPS_LOG2 as usize + 1) << STEPS_LOG2], count: 0 }
    }

    pub fn record(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
    }

    /// The value that `per_mille` of all records do not exceed, in microseconds; 0 without records.
    pub fn micros_at(&self, per_mille: u64) -> f64 {
        let rank = (self.count * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return lowest_of(index) as f64 / 1000.0;
            }
        }
        0.0
    }
}

fn bucket(value: u64) -> usize {
    let magnitude = (64 - value.leading_zeros()).saturating_sub(STEPS_LOG2 + 1);
    ((magnitude as usize) << STEPS_LOG2) + (value >> magnitude) as usize
}

fn lowest_of(index: usize) -> u64 {
    let steps = 1 << STEPS_LOG2;
    if index < 2 * steps {
        return index as u64;
    }
    let magnitude = (index >> STEPS_LOG2) - 1;
    ((index - (magnitude << STEPS_LOG2)) as u64) << magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_is_the_middle_and_of_even_the_mean_of_two() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(spread(&[7.0]), Some(Spread { median: 7.0, min: 7.0, max: 7.0 }));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn percentile_of_a_list_is_a_rank_and_the_middle_half_needs_a_dozen() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        for (per_mille, expected) in
            [(0, 1.0), (10, 1.0), (500, 50.0), (985, 99.0), (990, 99.0), (991, 100.0), (1000, 100.0)]
        {
            assert_eq!(at(&values, per_mille), expected, "{per_mille}");
        }
        assert_eq!(at(&[], 500), 0.0);
        assert_eq!(middle_half(&values), Some((25.0, 75.0)));
        assert_eq!(middle_half(&values[..12]), Some((3.0, 9.0)));
        assert_eq!(middle_half(&values[..11]), None);
    }

    #[test]
    fn ratio_is_taken_in_each_round_to_the_better_of_that_round() {
        let ours = [Some(9.0), Some(8.0), Some(30.0)];
        let nginx = [Some(12.0), Some(16.0), Some(60.0)];
        let haproxy = [Some(18.0), Some(10.0), Some(50.0)];
        assert_eq!(ratios(&ours, &[&nginx, &haproxy]), [0.75, 0.8, 0.6]);
    }

    #[test]
    fn round_with_a_missing_figure_is_left_out() {
        let ours = [Some(9.0), None, Some(30.0), Some(4.0)];
        let nginx = [Some(12.0), Some(16.0), None, None];
        let haproxy = [None, Some(10.0), Some(50.0), None];
        assert_eq!(ratios(&ours, &[&nginx, &haproxy]), [0.75, 0.6]);
        assert_eq!(ratios(&ours, &[]), Vec::<f64>::new());
        assert_eq!(differences(&ours, &nginx), [-3.0]);
    }

    #[test]
    fn each_bucket_starts_where_it_says() {
        for value in (0..2000).chain([1 << 20, (1 << 40) + 12_345_678_901, u64::MAX]) {
            let lowest = lowest_of(bucket(value));
            assert!(lowest <= value && value - lowest <= value / 64, "{value} is read back as {lowest}");
        }
    }

    #[test]
    fn percentiles_are_ranks() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.micros_at(500), 0.0);
        for micros in 1..=100 {
            latencies.record(micros * 1024);
        }
        assert_eq!(latencies.micros_at(500), 51.2);
        assert_eq!(latencies.micros_at(990), 101.376);
        assert_eq!(latencies.micros_at(1000), 102.4);
    }
}
