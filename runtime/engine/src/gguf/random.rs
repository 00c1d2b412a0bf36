//! SplitMix64: enough randomness for the weights of synthetic models, and fast.

/// One stream of random numbers.
pub(super) struct Random(u64);

impl Random {
    /// Stream `stream` of `seed`; streams of one seed do not overlap in any use this module makes of them.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed);
        Self(mixed.next() ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Nearly normal, mean 0 and variance 1: the sum of four 16-bit uniforms, so never beyond 3.5.
    pub fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
        // The sum has mean 2 (2^16 - 1) and variance 4 (2^32 - 1) / 12.
        (sum as f32 - 131_070.0) * (1.0 / 37_837.23)
    }

    pub fn bytes(&mut self, n: usize, out: &mut Vec<u8>) {
        let end = out.len() + n;
        while out.len() < end {
            let left = end - out.len();
            out.extend_from_slice(&self.next().to_le_bytes()[..left.min(8)]);
        }
    }
}
