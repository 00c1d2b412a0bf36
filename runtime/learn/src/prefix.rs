//! Cache of the frozen prefix on flash: the residual stream at the lowest trainable block, per example, in f16.
//!
//! Below that block nothing changes while training, so a second visit to an example may start there. Every training
//! pass rounds the stream to f16 at that place, whether it comes from the cache or not: results are bit-identical with
//! a full cache, a half-full one, a failing disk, or none at all (spec 6.6, T8).

use half::f16;
use sprig_budget::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An anonymous file of fixed-size slots, one an example.
pub struct PrefixCache {
    /// `None` once the disk failed, or when no bytes are allowed: then it only rounds.
    file: Option<File>,
    filled: Vec<bool>,
    slot_bytes: u64,
    width: usize,
    buffer: Vec<f16>,
    /// Examples served from the cache, and computed.
    pub hits: u64,
    /// Examples computed.
    pub misses: u64,
}

impl PrefixCache {
    /// A cache in `directory` for as many of `examples` examples of up to `length` tokens as fit in `limit` bytes.
    /// A directory that cannot be written gives a cache that only rounds.
    pub fn new(directory: &Path, limit: Bytes, examples: usize, length: usize, width: usize) -> Self {
        let slot_bytes = (length * width * size_of::<f16>()) as u64;
        let slots = ((limit.0 / slot_bytes.max(1)) as usize).min(examples);
        Self {
            file: if slots > 0 { tempfile::tempfile_in(directory).ok() } else { None },
            filled: vec![false; slots],
            slot_bytes,
            width,
            buffer: vec![f16::ZERO; length * width],
            hits: 0,
            misses: 0,
        }
    }

    /// Heap bytes of a cache for `examples` examples of up to `length` tokens.
    pub fn heap_bytes(examples: usize, length: usize, width: usize) -> Bytes {
        Bytes((length * width * size_of::<f16>() + examples) as u64)
    }

    /// Fills `hidden` for the examples `ids`, whose rows are bounded by `starts`, if all of them are held.
    pub fn load(&mut self, ids: &[usize], starts: &[usize], hidden: &mut [f32]) -> bool {
        if self.file.is_none() || !ids.iter().all(|&id| self.filled.get(id) == Some(&true)) {
            self.misses += ids.len() as u64;
            return false;
        }
        for (i, &id) in ids.iter().enumerate() {
            let rows = &mut hidden[starts[i] * self.width..starts[i + 1] * self.width];
            let halves = &mut self.buffer[..rows.len()];
            let read = self
                .file
                .as_ref()
                .map(|f| f.read_exact_at(bytemuck::cast_slice_mut(halves), id as u64 * self.slot_bytes));
            if !matches!(read, Some(Ok(()))) {
                self.file = None;
                self.misses += ids.len() as u64;
                return false;
            }
            rows.iter_mut().zip(halves).for_each(|(to, from)| *to = from.to_f32());
        }
        self.hits += ids.len() as u64;
        true
    }

    /// Rounds `hidden` to f16 and keeps what there is room for. A failing disk ends the caching, not the training.
    pub fn store(&mut self, ids: &[usize], starts: &[usize], hidden: &mut [f32]) {
        for (i, &id) in ids.iter().enumerate() {
            let rows = &mut hidden[starts[i] * self.width..starts[i + 1] * self.width];
            let halves = &mut self.buffer[..rows.len()];
            for (half, value) in halves.iter_mut().zip(rows) {
                *half = f16::from_f32(*value);
                *value = half.to_f32();
            }
            if let (Some(file), Some(false)) = (&self.file, self.filled.get(id)) {
                match file.write_all_at(bytemuck::cast_slice(halves), id as u64 * self.slot_bytes) {
                    Ok(()) => self.filled[id] = true,
                    Err(_) => self.file = None,
                }
            }
        }
    }

    /// Whether the disk failed (or nothing was allowed).
    pub fn is_idle(&self) -> bool {
        self.file.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_loaded_is_what_was_rounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = PrefixCache::new(dir.path(), Bytes(2 * 3 * 4 * 2), 10, 3, 4);
        let starts = [0, 2, 5];
        let mut first: Vec<f32> = (0..20).map(|i| i as f32 * 0.1001).collect();
        assert!(!cache.load(&[0, 1], &starts, &mut first));
        cache.store(&[0, 1], &starts, &mut first);
        let mut again = vec![0.0f32; 20];
        assert!(cache.load(&[0, 1], &starts, &mut again));
        assert_eq!(first, again);
        // Only two slots fit in the limit.
        cache.store(&[2], &[0, 2], &mut first[..8]);
        assert!(!cache.load(&[2], &[0, 2], &mut again[..8]));
    }

    #[test]
    fn an_unwritable_directory_only_rounds() {
        let mut cache = PrefixCache::new(Path::new("/nonexistent"), Bytes(1 << 20), 10, 3, 4);
        let mut rows = vec![0.1f32; 12];
        cache.store(&[0], &[0, 3], &mut rows);
        assert!(cache.is_idle() && rows[0] == f16::from_f32(0.1).to_f32());
    }
}
