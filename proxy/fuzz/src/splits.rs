//! Where input is cut: the same cuts for the same input, so that a finding can be played again.

/// Prefixes of an input that are tried, beside those that end near a line end.
const PREFIXES_MAX: usize = 96;
/// Bytes around the line ends that are among the cuts.
const NEAR: usize = 2;

/// Lengths of prefixes of `bytes`: all of a short input, of a long one some and those that end near its first line ends.
pub fn prefixes(bytes: &[u8]) -> Vec<usize> {
    let step = bytes.len() / PREFIXES_MAX + 1;
    let mut cuts: Vec<usize> = (0..bytes.len()).step_by(step).collect();
    if step > 1 {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).take(16);
        cuts.extend(ends.flat_map(|at| at.saturating_sub(NEAR)..=at + NEAR).filter(|cut| *cut < bytes.len()));
    }
    cuts
}

/// Lengths of pieces without end, drawn from a seed that the input gives.
pub struct Pieces(u64);

impl Pieces {
    pub fn of(bytes: &[u8], n: u64) -> Pieces {
        // FNV-1a.
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325 ^ n, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        Pieces(hash | 1)
    }
}

impl Iterator for Pieces {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        // xorshift64. Most pieces are short; some are of a read's size.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let longest = [1, 3, 8, 40, 700, 9000][(self.0 >> 32) as usize % 6];
        Some(1 + (self.0 as usize >> 3) % longest)
    }
}
