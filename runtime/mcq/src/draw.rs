//! Random parameters by their coordinates (specification 6.6): the same on every machine, integers only.

use sprig_ground::philox::philox;

/// The last part of the counter: it keeps items apart from other draws under the same seed.
const ITEMS: u32 = 3;

/// Attempts stay below it; blocks from it on choose how an item is presented, not what it asks.
pub(crate) const PRESENTATION: u32 = 1 << 31;

/// Four random words: those of attempt `attempt` at item `index` of the family numbered `family`.
pub(crate) fn words(seed: u64, index: u32, family: u32, attempt: u32) -> [u32; 4] {
    philox([seed as u32, (seed >> 32) as u32], [index, family, attempt, ITEMS])
}

/// An integer from `low` to `high`, both included, by a random word.
pub(crate) fn between(word: u32, low: i64, high: i64) -> i64 {
    let width = (high - low + 1).unsigned_abs();
    low + ((u64::from(word) * width) >> 32) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_drawn_and_nothing_beyond() {
        assert_eq!([0, u32::MAX].map(|word| between(word, -9, -2)), [-9, -2]);
        assert_eq!([0, 1 << 31, u32::MAX].map(|word| between(word, 1, 2)), [1, 2, 2]);
        assert_eq!(between(u32::MAX, 5, 5), 5);
    }

    #[test]
    fn the_key_is_the_seed_and_the_counter_the_coordinates() {
        assert_eq!(words(7 << 32 | 5, 1, 2, 4), philox([5, 7], [1, 2, 4, 3]));
    }
}
