//! Which stems are learnt from, which are looked at while learning, and which only judge (specification 6.10). A stem
//! is dealt by its own hash before anything is drawn, so no seed, family or telling can move it.

use crate::stem::Stem;
use sprig_ground::names;

/// The share of all stems that one belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Share {
    /// 70 of 100.
    Train,
    /// 10 of 100.
    Dev,
    /// 20 of 100.
    Test,
}

names!(Share, "share of stems", [Train = "train", Dev = "dev", Test = "test"]);

impl Share {
    /// The share of `stem`.
    pub fn of(stem: &Stem) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = stem.fingerprint();
        match u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 100 {
            0..70 => Self::Train,
            70..80 => Self::Dev,
            _ => Self::Test,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;

    #[test]
    fn shares_are_70_10_and_20_of_100() {
        for family in Family::ALL {
            let stems: Vec<Stem> = family.stems().take(20_000).collect();
            let per_mille =
                |share| 1000 * stems.iter().filter(|stem| Share::of(stem) == share).count() / stems.len();
            assert!((670..730).contains(&per_mille(Share::Train)), "{family}");
            assert!((80..120).contains(&per_mille(Share::Dev)), "{family}");
            assert!((170..230).contains(&per_mille(Share::Test)), "{family}");
        }
    }
}
