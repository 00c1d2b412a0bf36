//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): a counter-based generator, so that any part of a direction can be
//! made anew on any machine from its coordinates alone.

/// Ten rounds of Philox4x32 on `counter` under `key`.
pub fn philox(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let ([mut k0, mut k1], [mut c0, mut c1, mut c2, mut c3]) = (key, counter);
    for _ in 0..10 {
        let (hi0, lo0) = wide(0xD251_1F53, c0);
        let (hi1, lo1) = wide(0xCD9E_8D57, c2);
        (c0, c1, c2, c3) = (hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0);
        (k0, k1) = (k0.wrapping_add(0x9E37_79B9), k1.wrapping_add(0xBB67_AE85));
    }
    [c0, c1, c2, c3]
}

fn wide(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 2], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([0xa409_3822, 0x299f_31d0], [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
        let stream = philox([0x0123_4567, 0x89ab_cdef], [3, 5, 7, 2 << 16 | 9]);
        assert_eq!(stream, [0x10b6_861c, 0x6eda_5d3c, 0x1aa9_485f, 0x81f6_0e7f]);
        assert_eq!(
            philox([stream[0], stream[1]], [0, 4, 1, 0]),
            [0x967e_17df, 0x6926_e444, 0xcb01_617c, 0x0b1b_74a2]
        );
    }
}
