//! The model file cut into parts, each of which comes into memory and leaves it without its neighbours.
//!
//! A touched page brings others with it: up to Linux 6.17 the 64 KiB around it, since then the whole folio that the page
//! cache keeps it in, up to 2 MiB. It never brings what belongs to another mapping, so mappings that end where a weight
//! ends make its memory known to the page, on any kernel. A page that two weights share is a part of its own.

use super::{Geometry, ModelError, Module};
use crate::gguf::{Gguf, READ};
use sprig_budget::{Bytes, process};
use std::ops::Range;

/// Bytes of a part of what is read row by row: the header, the embedding, the output head. The kernel keeps about 200
/// bytes for each, so a matrix has at most [`MOST`] of them.
const CHUNK: usize = 64 << 10;
/// Most parts of a matrix.
const MOST: usize = 512;

/// The first byte of each part and the end of the last, ascending, all at page boundaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts(Vec<usize>);

/// Memory that a model's weights take, resident and streamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightBytes {
    /// The whole file.
    pub file: Bytes,
    parts: Parts,
    /// The linear layer that takes most.
    linear: usize,
    /// Where the output head lies, and bytes of a row of it.
    head: (Range<usize>, usize),
    /// Most bytes that looking up one row of the embedding or the head takes.
    lookup: usize,
}

impl Parts {
    /// The parts of a file: the header, what is looked up by rows, and each linear layer.
    pub(super) fn new(gguf: &Gguf<'_>, geometry: &Geometry) -> Result<Self, ModelError> {
        let page = usize::try_from(process::page_size().0).unwrap_or(4096);
        let floor = |at: usize| at - at % page;
        let mut cuts = vec![0, gguf.bytes().len().next_multiple_of(page)];
        let edges = |range: &Range<usize>| {
            [range.start, range.end].map(|at| [floor(at), at.next_multiple_of(page)]).into_iter().flatten()
        };
        for block in 0..geometry.blocks {
            for module in Module::ALL {
                cuts.extend(edges(&place(gguf, &module.tensor_name(block))?));
            }
        }
        let data = usize::try_from(gguf.data_start()).unwrap_or(usize::MAX).min(gguf.bytes().len());
        for range in [0..data, place(gguf, "token_embd.weight")?, head(gguf)?] {
            cuts.extend(edges(&range));
            let chunk = CHUNK.max(range.len() / MOST).next_multiple_of(page);
            cuts.extend((range.start.next_multiple_of(page)..floor(range.end)).step_by(chunk));
        }
        cuts.sort_unstable();
        cuts.dedup();
        Ok(Self(cuts))
    }

    /// The first byte of each part and the end of the last.
    pub(super) fn cuts(&self) -> &[usize] {
        &self.0
    }

    /// The parts that `bytes` touch, together.
    pub(super) fn around(&self, bytes: Range<usize>) -> Range<usize> {
        let from = self.0.partition_point(|&cut| cut <= bytes.start).saturating_sub(1);
        let to = self.0.partition_point(|&cut| cut < bytes.end).min(self.0.len() - 1);
        self.0[from]..self.0[to].max(self.0[from])
    }
}

impl WeightBytes {
    /// Reads them from the header.
    ///
    /// # Errors
    /// A tensor that the model needs is missing.
    pub fn read(gguf: &Gguf<'_>, geometry: &Geometry) -> Result<Self, ModelError> {
        let parts = Parts::new(gguf, geometry)?;
        let mut linear = 0;
        for block in 0..geometry.blocks {
            for module in Module::ALL {
                linear = linear.max(parts.around(place(gguf, &module.tensor_name(block))?).len());
            }
        }
        let (embedding, head) = (place(gguf, "token_embd.weight")?, head(gguf)?);
        let row = |matrix: &Range<usize>| matrix.len().div_ceil(geometry.vocabulary.max(1));
        let lookup = [&embedding, &head].map(|matrix| {
            let rows = (0..geometry.vocabulary).map(|i| matrix.start + i * row(matrix));
            rows.map(|at| parts.around(at..at + row(matrix)).len()).max().unwrap_or(0)
        });
        Ok(Self {
            file: Bytes(gguf.bytes().len() as u64),
            linear,
            lookup: lookup[0].max(lookup[1]),
            head: (head.clone(), row(&head)),
            parts,
        })
    }

    /// Most bytes in memory while streaming with head tiles of `tile` rows and `threads` threads: a linear layer, or the
    /// head's tile, or the rows that all threads look up; and the read-ahead's buffer.
    pub fn streamed(&self, tile: usize, threads: usize) -> Bytes {
        let (head, row) = &self.head;
        let tiles = head.clone().step_by((tile * row).max(1));
        let tiles = tiles.map(|at| self.parts.around(at..(at + tile * row).min(head.end)).len());
        let used = self.linear.max(tiles.max().unwrap_or(0)).max(threads * self.lookup);
        Bytes((used + READ) as u64).min(self.file)
    }
}

fn place(gguf: &Gguf<'_>, name: &str) -> Result<Range<usize>, ModelError> {
    Ok(gguf.data_range(gguf.require_tensor(name)?)?)
}

/// The output head; many models use the embedding.
fn head(gguf: &Gguf<'_>) -> Result<Range<usize>, ModelError> {
    place(gguf, if gguf.tensor("output.weight").is_some() { "output.weight" } else { "token_embd.weight" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::Synthetic;

    #[test]
    fn parts_cover_what_they_are_asked_for_and_are_no_larger_than_planned() {
        let bytes = Synthetic::tiny().bytes().unwrap();
        let gguf = Gguf::parse(&bytes).unwrap();
        let geometry = Geometry::read(&gguf).unwrap();
        let (parts, weights) =
            (Parts::new(&gguf, &geometry).unwrap(), WeightBytes::read(&gguf, &geometry).unwrap());
        let page = process::page_size().0 as usize;
        assert!(parts.cuts().is_sorted() && parts.cuts().iter().all(|cut| cut % page == 0));
        assert_eq!(parts.around(0..bytes.len()), 0..bytes.len().next_multiple_of(page));
        for tensor in gguf.tensors() {
            let range = gguf.data_range(tensor).unwrap();
            let around = parts.around(range.clone());
            assert!(around.start <= range.start && range.end <= around.end, "{range:?} in {around:?}");
            // No more than the pages it lies in, where its edges are cuts.
            if Module::ALL.iter().any(|m| tensor.name.ends_with(&format!("{}.weight", m.gguf_name()))) {
                assert!(around.len() < range.len() + 2 * page);
                assert!(around.len() <= weights.linear);
            }
        }
        assert_eq!(weights.streamed(1, 1_000_000), weights.file);
        assert!(weights.streamed(8, 1) <= weights.streamed(16, 2));
    }
}
