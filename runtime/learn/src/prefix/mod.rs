//! Cache of the frozen prefix on flash: the residual stream at the lowest trainable block, per example, at half size.
//!
//! Below that block nothing changes while training, so a second visit to an example may start there; so may the first
//! one after an interruption, since the file stays beside the output until the run is complete. Every training pass
//! rounds the stream at that place, whether it comes from the cache or not: results are bit-identical with a
//! full cache, a half-full one, a damaged one, a failing disk, or none at all (algorithm.md 6.6, T8).

mod slots;

use crate::error::LearnError;
use crate::minibatch::{Minibatch, Sequences};
use sha2::{Digest, Sha256};
use slots::{Found, Slots};
use sprig_budget::Bytes;
use sprig_engine::ARITHMETIC;
use sprig_engine::dual::Batch;
use sprig_engine::kernels::Isa;
use sprig_engine::model::{Geometry, Pass};
use std::path::Path;

/// The cache of one run.
pub struct PrefixCache {
    slots: Slots,
    missing: Missing,
    counts: Counts,
}

/// Everything the cached activations depend on. A file made with anything else is started anew.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Digest of the model file.
    pub model: &'a str,
    /// Digest of the encoded training data.
    pub data: [u8; 32],
    /// Blocks that were run: the index of the lowest trainable one.
    pub blocks: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// The kernels' instruction set.
    pub isa: Isa,
}

/// Visits to examples by the passes of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Served from the cache.
    pub hits: u64,
    /// Computed.
    pub misses: u64,
    /// Those computed because their slot was damaged.
    pub corrupt: u64,
}

/// The examples of a batch that are not held; capacity is reserved once.
#[derive(Default)]
struct Missing {
    /// Their places in the batch, ascending.
    places: Vec<usize>,
    sequences: Sequences,
    /// Tokens of their prompts.
    prompts: Vec<usize>,
}

impl PrefixCache {
    /// A cache in the file `path` of at most `limit` bytes, for examples of up to `length` tokens. Slots lie in the
    /// order of the data: what fits is its beginning. Never fails: without a usable file the cache only rounds.
    pub fn open(path: &Path, limit: Bytes, origin: &Origin<'_>, length: usize) -> Self {
        Self {
            slots: Slots::open(path, limit, &origin.key(), length, (origin.width, origin.isa)),
            missing: Missing::default(),
            counts: Counts::default(),
        }
    }

    /// Heap bytes for batches of up to `examples` examples and `positions` tokens: one slot, and the list of what is
    /// missing. Nothing is kept per example of the data.
    pub fn heap_bytes(length: usize, width: usize, positions: usize, examples: usize) -> Bytes {
        Bytes(Slots::heap_bytes(length, width) + (4 * positions + 8 * (3 * examples + 1)) as u64)
    }

    /// Hits and misses so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Why less is kept than was allowed: the disk's last refusal, or another run that has the file.
    pub fn error(&self) -> Option<&str> {
        self.slots.error()
    }

    /// Gives all room on the disk back, for a checkpoint that finds none; false if there is none to give.
    pub fn give_up(&mut self) -> bool {
        self.slots.give_up()
    }

    /// Takes the file off the disk: the run is complete. Another run's is left alone.
    pub fn remove(&mut self) {
        self.slots.remove();
    }

    /// Reserves for batches of up to `examples` examples of `sequences` sequences each, and `positions` tokens.
    pub(crate) fn reserve(&mut self, positions: usize, examples: usize, sequences: usize) {
        self.missing.places.reserve_exact(examples);
        self.missing.prompts.reserve_exact(examples);
        self.missing.sequences.reserve(positions, examples, sequences);
    }

    /// Brings `pass`, which is at its beginning, to the input of block `lowest` of a model of shape `geometry`. `rows` is its
    /// batch: those of `batch`. Only those not held go through the blocks, as a batch of their own; a row's bits do not
    /// depend on the rows beside it.
    pub(crate) fn advance<'a>(
        &'a mut self,
        pass: &mut Pass<'a>,
        geometry: &Geometry,
        rows: Batch<'a>,
        batch: Minibatch<'_>,
        lowest: usize,
    ) -> Result<(), LearnError> {
        let Self { slots, missing, counts } = self;
        let Minibatch { data, ids, .. } = batch;
        let d = geometry.width;
        let span_of = |place: usize| rows.span(place).start * d..rows.span(place).end * d;
        missing.clear();
        for (place, &id) in ids.iter().enumerate() {
            let found = slots.load(id, data.tokens_before(id), &mut pass.hidden()[span_of(place)]);
            if found != Found::Held {
                counts.corrupt += u64::from(found == Found::Corrupt);
                missing.push(place, data.example(id).tokens, rows);
            }
        }
        counts.hits += (ids.len() - missing.places.len()) as u64;
        counts.misses += missing.places.len() as u64;
        if missing.places.is_empty() {
            return Ok(());
        }
        let missing = &*missing;
        let part = missing.sequences.batch(geometry.vocabulary)?.prompted(&missing.prompts);
        let part = if rows.is_branching() { part.branching() } else { part };
        pass.change_batch(part);
        pass.embed();
        pass.blocks(0..lowest)?;
        let hidden = pass.hidden();
        for (e, &place) in missing.places.iter().enumerate() {
            let (id, span) = (ids[place], part.span(e));
            slots.store(id, data.tokens_before(id), &mut hidden[span.start * d..span.end * d]);
        }
        pass.change_batch(rows);
        // Computed rows move to their places. They only ever move up, so from the last example to the first none is
        // overwritten before it has moved. What was held is read again, into the gaps.
        let hidden = pass.hidden();
        for (computed, &place) in missing.places.iter().enumerate().rev() {
            let (from, to) = (part.span(computed).start * d, span_of(place));
            hidden.copy_within(from..from + to.len(), to.start);
        }
        let mut held = (0..ids.len()).filter(|place| missing.places.binary_search(place).is_err());
        let mut read = |place: usize| {
            slots.load(ids[place], data.tokens_before(ids[place]), &mut hidden[span_of(place)]) == Found::Held
        };
        if !held.all(&mut read) {
            // The disk failed between two reads: all of them anew.
            pass.embed();
            pass.blocks(0..lowest)?;
            for (place, &id) in ids.iter().enumerate() {
                slots.store(id, data.tokens_before(id), &mut pass.hidden()[span_of(place)]);
            }
        }
        Ok(())
    }
}

impl Origin<'_> {
    /// SHA-256 over all of it, and over version and arithmetic of the program: the next one may round otherwise.
    fn key(&self) -> [u8; 32] {
        self.key_under(ARITHMETIC)
    }

    fn key_under(&self, arithmetic: u32) -> [u8; 32] {
        let shape = [self.blocks as u64, self.width as u64, arithmetic.into()].map(u64::to_le_bytes);
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let mut hash = Sha256::new();
        for field in
            [version, self.isa.name().as_bytes(), self.model.as_bytes(), &self.data, shape.as_flattened()]
        {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        hash.finalize().into()
    }
}

impl Missing {
    fn clear(&mut self) {
        self.places.clear();
        self.sequences.clear();
        self.prompts.clear();
    }

    /// Adds the example at `place` of the batch `rows`, with its prompt and its sequences.
    fn push(&mut self, place: usize, tokens: &[u32], rows: Batch<'_>) {
        self.places.push(place);
        self.prompts.push(rows.prompt(place, usize::MAX).len());
        let start = self.sequences.push(tokens);
        rows.cuts(place).for_each(|cut| self.sequences.cut(start + cut));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_made_by_other_arithmetic_has_another_key() {
        let origin = Origin { model: "m", data: [7; 32], blocks: 3, width: 64, isa: Isa::Scalar };
        assert_eq!(origin.key(), origin.key_under(ARITHMETIC));
        assert_ne!(origin.key(), origin.key_under(ARITHMETIC + 1));
        assert_ne!(origin.key(), Origin { blocks: 4, ..origin }.key());
    }
}
