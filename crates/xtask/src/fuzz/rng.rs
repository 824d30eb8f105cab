//! Random numbers that a seed repeats (xorshift64*).

/// A generator.
pub struct Rng(u64);

impl Rng {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: usize) -> usize {
        // The top bits are the better ones.
        ((self.next() >> 33) as usize).checked_rem(limit).unwrap_or(0)
    }

    /// One of a list.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_limits_hold() {
        let (mut a, mut b) = (Rng::new(5), Rng::new(5));
        for limit in 1..100 {
            let n = a.below(limit);
            assert_eq!(n, b.below(limit));
            assert!(n < limit);
        }
        assert_eq!(a.below(0), 0);
        assert_ne!(Rng::new(1).next(), Rng::new(2).next());
    }
}
