//! Which block inputs a pass keeps to go backwards from: all of them; or one in so many, and those of one run of blocks at a
//! time, which is computed anew from its first when the pass comes back to it (Griewank and Walther, Revolve, ACM TOMS 26,
//! 2000, with one level). Of L blocks ⌈√L⌉ in a run leave about 2√L inputs for almost one more forward pass of these blocks.

use std::ops::Range;

/// Blocks whose inputs a pass backwards needs, and how many of them make a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// Blocks from the lowest that trains to the last.
    pub blocks: usize,
    /// Blocks of a run, at least 1; the last run may be shorter.
    pub run: usize,
}

impl Checkpoints {
    /// Of a pass that does not go backwards.
    pub const NONE: Self = Self::all(0);

    /// Every input of `blocks` blocks.
    pub const fn all(blocks: usize) -> Self {
        Self { blocks, run: 1 }
    }

    /// As few inputs of `blocks` blocks as there can be; of equals those with the least to be computed anew.
    pub fn fewest(blocks: usize) -> Self {
        let each = (1..=blocks.max(1)).map(|run| Self { blocks, run });
        each.min_by_key(|kept| (kept.inputs(), kept.anew())).unwrap_or(Self::all(blocks))
    }

    /// Inputs that are kept at a time.
    pub fn inputs(self) -> usize {
        self.runs() + self.run.min(self.blocks).saturating_sub(1)
    }

    /// Blocks that are computed forwards once more, beside the parts that every pass backwards computes anew.
    pub fn anew(self) -> usize {
        self.runs().saturating_sub(1) * (self.run - 1)
    }

    fn runs(self) -> usize {
        self.blocks.div_ceil(self.run)
    }
}

/// What a pass keeps of the blocks from `first` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    pub first: usize,
    checkpoints: Checkpoints,
    /// The run whose inputs are all there.
    whole: usize,
}

impl Keeping {
    /// On the way forwards, where the last run stays whole.
    pub(super) fn new(first: usize, checkpoints: Checkpoints) -> Self {
        Self { first, checkpoints, whole: checkpoints.runs().saturating_sub(1) }
    }

    /// The place of block `b`'s input, if it has one now.
    pub(super) fn place(&self, b: usize) -> Option<usize> {
        let (i, run) = (b.checked_sub(self.first)?, self.checkpoints.run);
        let within = match i % run {
            0 => return Some(i / run),
            within => within,
        };
        (i / run == self.whole).then(|| self.checkpoints.runs() + within - 1)
    }

    /// Makes the run of block `b` the whole one: the place of its first input, and its blocks before `b`, which are to be
    /// computed anew for that.
    pub(super) fn enter(&mut self, b: usize) -> (usize, Range<usize>) {
        self.whole = (b - self.first) / self.checkpoints.run;
        (self.whole, self.first + self.whole * self.checkpoints.run..b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_inputs_are_kept_and_each_is_there_when_its_block_comes() {
        for (blocks, inputs, anew) in [(0, 0, 0), (1, 1, 0), (2, 2, 0), (8, 5, 3), (30, 10, 20), (32, 11, 21)]
        {
            let kept = Checkpoints::fewest(blocks);
            assert_eq!((kept.inputs(), kept.anew()), (inputs, anew), "{kept:?}");
        }
        for (blocks, run) in (1..40).flat_map(|blocks| (1..=blocks).map(move |run| (blocks, run))) {
            let (checkpoints, first) = (Checkpoints { blocks, run }, 3);
            let mut keeping = Keeping::new(first, checkpoints);
            let mut places = vec![usize::MAX; checkpoints.inputs()];
            let keep = |keeping: &Keeping, places: &mut [usize], b: usize| {
                keeping.place(b).into_iter().for_each(|place| places[place] = b);
            };
            (first..first + blocks).for_each(|b| keep(&keeping, &mut places, b));
            let mut anew = 0;
            for b in (first..first + blocks).rev() {
                if keeping.place(b).is_none() {
                    let (first, missing) = keeping.enter(b);
                    assert_eq!(places[first], missing.start);
                    anew += missing.len();
                    (missing.start..=b).for_each(|b| keep(&keeping, &mut places, b));
                }
                assert_eq!(places[keeping.place(b).unwrap()], b, "{checkpoints:?}");
            }
            assert_eq!(anew, checkpoints.anew(), "{checkpoints:?}");
        }
    }
}
