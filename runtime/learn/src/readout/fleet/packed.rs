//! Whole numbers in as few bits as they need: 64 at a time, a byte with their width w and then w bits of each, two's
//! complement, least bits first, the last byte filled up with zeros. A width is the least that holds its numbers, so that
//! the same numbers are the same bytes.

/// Numbers that share a width.
const TOGETHER: usize = 64;
/// Bits of a number at most: a total stays within ±2⁴⁸.
const WIDEST: u32 = 50;

/// Most bytes that `numbers` numbers take.
pub const fn most_bytes(numbers: usize) -> usize {
    numbers.div_ceil(TOGETHER) * 2 + (numbers * WIDEST as usize).div_ceil(8)
}

/// The bytes of `numbers`.
pub(super) fn pack(numbers: impl IntoIterator<Item = i64>, out: &mut Vec<u8>) {
    let mut numbers = numbers.into_iter().peekable();
    let mut together = Vec::with_capacity(TOGETHER);
    while numbers.peek().is_some() {
        together.clear();
        together.extend(numbers.by_ref().take(TOGETHER));
        let width = together.iter().map(|&v| width(v)).max().unwrap_or(0);
        out.push(width as u8);
        let (mut bits, mut held) = (0u128, 0);
        for &number in &together {
            bits |= (number as u128 & ((1u128 << width) - 1)) << held;
            held += width;
            while held >= 8 {
                out.push(bits as u8);
                (bits, held) = (bits >> 8, held - 8);
            }
        }
        if held > 0 {
            out.push(bits as u8);
        }
    }
}

/// Reads as many numbers as `out` has places, of exactly `bytes`; `None` for bytes that [`pack`] never writes.
pub(super) fn unpack(mut bytes: &[u8], out: &mut [i64]) -> Option<()> {
    for together in out.chunks_mut(TOGETHER) {
        let (&width, rest) = bytes.split_first()?;
        let width = u32::from(width);
        if width > WIDEST {
            return None;
        }
        let (mine, rest) = rest.split_at_checked((together.len() * width as usize).div_ceil(8))?;
        bytes = rest;
        let mut mine = mine.iter();
        let (mut bits, mut held) = (0u128, 0);
        for number in together.iter_mut() {
            while held < width {
                bits |= u128::from(*mine.next()?) << held;
                held += 8;
            }
            let own = (bits & ((1u128 << width) - 1)) as i64;
            *number = if width == 0 { 0 } else { own << (64 - width) >> (64 - width) };
            (bits, held) = (bits >> width, held - width);
        }
        if bits != 0 || together.iter().map(|&v| self::width(v)).max() != Some(width) {
            return None;
        }
    }
    bytes.is_empty().then_some(())
}

/// Bits of `v` in two's complement; none of 0.
fn width(v: i64) -> u32 {
    if v == 0 { 0 } else { 65 - (if v < 0 { !v } else { v }).leading_zeros() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_ground::random::SplitMix64;

    #[test]
    fn numbers_come_back_in_as_few_bytes_as_they_need() {
        let mut random = SplitMix64::new(9);
        for n in [0, 1, 63, 64, 65, 200] {
            let numbers: Vec<i64> = (0..n)
                .map(|i| (random.draw() as i64) >> (15 + (i / 64 * 7 + random.below(30)).min(48)))
                .collect();
            let (mut bytes, mut back) = (Vec::new(), vec![7; n]);
            pack(numbers.iter().copied(), &mut bytes);
            assert!(bytes.len() <= most_bytes(n), "{} of {}", bytes.len(), most_bytes(n));
            unpack(&bytes, &mut back).unwrap();
            assert_eq!(back, numbers);
        }
        let mut bytes = Vec::new();
        pack([0; 64].into_iter().chain([1, -1, 0]), &mut bytes);
        assert_eq!(bytes, [0, 2, 0b0000_1101]);
    }

    #[test]
    fn bytes_that_nobody_packs_are_refused() {
        let mut bytes = Vec::new();
        pack((0..70).map(|i| i * i - 9), &mut bytes);
        let mut out = [0; 70];
        assert!(unpack(&bytes, &mut out).is_some());
        assert!(
            unpack(&bytes, &mut out[..69]).is_none() && unpack(&bytes[..bytes.len() - 1], &mut out).is_none()
        );
        bytes.push(0);
        assert!(unpack(&bytes, &mut out).is_none());
        // Two bits are what 1 takes.
        for wrong in [&[3, 1][..], &[51, 0, 0, 0, 0, 0, 0, 0], &[1, 2], &[]] {
            assert!(unpack(wrong, &mut [0]).is_none(), "{wrong:?}");
        }
        assert!(unpack(&[2, 1], &mut [0]).is_some());
    }
}
