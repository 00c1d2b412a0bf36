//! Enough randomness for the weights of synthetic models, and fast.

use sprig_ground::random::SplitMix64;

/// One stream of random numbers.
pub(super) struct Random(SplitMix64);

impl Random {
    /// Stream `stream` of `seed`; streams of one seed do not overlap in any use this module makes of them.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let first = SplitMix64::new(seed).draw();
        Self(SplitMix64::new(first ^ stream.wrapping_mul(0xd134_2543_de82_ef95)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.draw()
    }

    /// Nearly normal, mean 0 and variance 1: the sum of four 16-bit uniforms, so never beyond 3.5.
    pub(super) fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
        // The sum has mean 2 (2^16 - 1) and variance 4 (2^32 - 1) / 12.
        (sum as f32 - 131_070.0) * (1.0 / 37_837.23)
    }

    pub(super) fn bytes(&mut self, n: usize, out: &mut Vec<u8>) {
        let end = out.len() + n;
        while out.len() < end {
            let left = end - out.len();
            out.extend_from_slice(&self.next().to_le_bytes()[..left.min(8)]);
        }
    }
}
