//! How often which size. One writer, as [`Counter`].

use super::Counter;

/// Values by `N` upper bounds, which the reader knows, and those above the last.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    within: [Counter; N],
    above: Counter,
    sum: Counter,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Histogram<N> {
        Histogram {
            within: std::array::from_fn(|_| Counter::default()),
            above: Counter::default(),
            sum: Counter::default(),
        }
    }
}

impl<const N: usize> Histogram<N> {
    /// `bounds` rise, and are the same each time.
    pub fn note(&self, bounds: &[u64; N], value: u64) {
        match bounds.iter().position(|bound| value <= *bound) {
            Some(at) => self.within[at].add(1),
            None => self.above.add(1),
        }
        self.sum.add(value);
    }

    /// How many values were within each bound and above the one before; how many were above all; and their sum.
    pub fn read(&self) -> ([u64; N], u64, u64) {
        (self.within.each_ref().map(Counter::sum), self.above.sum(), self.sum.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_within_the_first_bound_that_holds_them() {
        let histogram = Histogram::<3>::default();
        for value in [0, 1, 2, 10, 11] {
            histogram.note(&[1, 5, 10], value);
        }
        assert_eq!(histogram.read(), ([2, 1, 1], 1, 24));
    }
}
