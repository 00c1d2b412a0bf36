//! Which keys a query sees: those before it in its text and its own, or of these the last so many.

use super::TILE;
use std::ops::Range;

/// What positions from `from` on see, of a sequence that starts at `first` and goes on from the positions `trunk`: the last
/// `window` at most.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) trunk: Range<usize>,
    pub(super) first: usize,
    pub(super) from: usize,
    pub(super) window: usize,
}

impl Seen {
    /// Tiles of keys for so many positions, by the first key of each: those of the trunk, then those of the sequence. They
    /// begin where they would for any other positions, so that a position's sums are the same in any run.
    pub(super) fn tiles(&self, rows: usize) -> impl Iterator<Item = usize> + use<> {
        let tile_of = |start: usize, key: usize| start + (key - start) / TILE * TILE;
        let [trunk, own] = self.lowest(0);
        let (trunk, own) = (tile_of(self.trunk.start, trunk), tile_of(self.first, own));
        (trunk..self.trunk.end).step_by(TILE).chain((own..self.from + rows).step_by(TILE))
    }

    /// Keys of the tile that begins with `key` which the `row`-th position sees.
    pub(super) fn keys(&self, key: usize, row: usize) -> Range<usize> {
        let [trunk, own] = self.lowest(row);
        let (lowest, end) = match self.trunk.contains(&key) {
            true => (trunk, self.trunk.end),
            false => (own, self.from + row + 1),
        };
        lowest.max(key)..end.min(key + TILE)
    }

    /// The first key of the trunk and of the sequence that the `row`-th position sees.
    fn lowest(&self, row: usize) -> [usize; 2] {
        let place = self.trunk.len() + self.from + row - self.first;
        let hidden = (place + 1).saturating_sub(self.window);
        let of_trunk = hidden.min(self.trunk.len());
        [self.trunk.start + of_trunk, self.first + hidden - of_trunk]
    }
}
