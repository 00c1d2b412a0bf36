//! Weights that are not kept: mapped, used and released, one block at a time, in file order.
//!
//! Forward mode needs each weight once a pass, so a model larger than the budget (and than the machine's memory) runs
//! at the cost of reading it anew. What is released stays in the page cache while the machine has room for it, and
//! comes back without a read. The next block is read ahead by another thread into the page cache, not into this
//! process: at most one block and one tile of the head count as its memory.

use super::{Geometry, ModelError, Module};
use crate::gguf::{Gguf, Mapped};
use crate::kernels::Matrix;
use sprig_budget::Bytes;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;

/// Most bytes that a touched page brings with it. Kernels up to Linux 6.17 map 64 KiB around it, later ones the whole
/// folio that the page cache keeps it in: up to 2 MiB with pages of 4 KiB.
const GRAIN: usize = 2 << 20;
/// Bytes read ahead at a time: large enough for flash, small enough to turn to a newer wish at once.
const READ: usize = 256 << 10;

/// Memory that a model's weights take, resident and streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightBytes {
    /// The whole file.
    pub file: Bytes,
    /// Largest block.
    pub block: Bytes,
    /// One row of the output head.
    pub head_row: Bytes,
    /// One row of the embedding.
    pub embedding_row: Bytes,
}

impl WeightBytes {
    /// Reads them from the header.
    pub fn read(gguf: &Gguf<'_>, geometry: &Geometry) -> Result<Self, ModelError> {
        let bytes = |name: &str| -> Result<u64, ModelError> {
            let range = gguf.data_range(gguf.require_tensor(name)?)?;
            Ok(range.len() as u64)
        };
        let mut block = 0;
        for b in 0..geometry.blocks {
            let linears = Module::ALL.iter().map(|m| bytes(&m.tensor_name(b)));
            block = block.max(linears.sum::<Result<u64, _>>()?);
        }
        let embedding = bytes("token_embd.weight")?;
        let head = if gguf.tensor("output.weight").is_some() { bytes("output.weight")? } else { embedding };
        let row = |matrix: u64| Bytes(matrix.div_ceil(geometry.vocabulary as u64));
        Ok(Self {
            file: Bytes(gguf.bytes().len() as u64),
            block: Bytes(block),
            head_row: row(head),
            embedding_row: row(embedding),
        })
    }

    /// Most bytes in memory while streaming with head tiles of `tile` rows and `threads` threads: a block, or the head's
    /// tile, or the row that each thread looks up; with what is mapped around their edges, and the read-ahead's buffer.
    pub fn streamed(&self, tile: usize, threads: usize) -> Bytes {
        let grain = GRAIN as u64;
        let used = self.block.0.max(tile as u64 * self.head_row.0) + 2 * grain;
        let lookups = threads as u64 * (grain + self.head_row.0.max(self.embedding_row.0));
        Bytes((used.max(lookups) + READ as u64).min(self.file.0))
    }
}

/// The residency of a mapped model's weights; it may change between passes.
pub struct Stream<'m> {
    map: &'m Mapped,
    on: AtomicBool,
    /// Made when streaming first begins.
    ahead: OnceLock<ReadAhead>,
}

impl<'m> Stream<'m> {
    /// Nothing is released or read until [`set`](Self::set).
    pub fn new(map: &'m Mapped) -> Self {
        Self { map, on: AtomicBool::new(false), ahead: OnceLock::new() }
    }

    /// Whether weights are streamed.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Streams from now on and lets go of everything, or brings every weight into memory and keeps it.
    pub fn set(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
        if on {
            self.map.use_small_pages();
            self.ahead.get_or_init(|| ReadAhead::new(self.map));
            self.release(self.map.bytes());
        } else {
            self.map.populate();
        }
    }

    /// Asks for `matrices`, neighbours in the file, to be read while something else runs.
    pub(super) fn soon(&self, matrices: &[Matrix<'m>]) {
        let Some(ahead) = self.ahead.get().filter(|_| self.is_on()) else { return };
        let (mut from, mut to, mut sum) = (usize::MAX, 0, 0);
        for (start, end) in matrices.iter().filter_map(|m| self.place(m.bytes())) {
            (from, to, sum) = (from.min(start), to.max(end), sum + (end - start));
        }
        // A file that scatters a block's tensors is read by the kernel's own read-ahead alone.
        if from < to && to - from <= sum + READ {
            ahead.ask(from, to);
        }
    }

    /// Gives back the pages of `bytes`, a part of the map, and what came with them: less would leave the far ends of
    /// their folios in memory. They come back from the file when touched again.
    pub(super) fn release(&self, bytes: &[u8]) {
        if self.is_on()
            && let Some((from, to)) = self.place(bytes)
        {
            // A refusal costs memory, not correctness; the heap's and the kernel's guards remain.
            let _ = self.map.release(from - from % GRAIN..to.next_multiple_of(GRAIN));
        }
    }

    /// Where `bytes` lie in the file.
    fn place(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let whole = self.map.bytes();
        let from = bytes.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let to = from.checked_add(bytes.len())?;
        (to <= whole.len()).then_some((from, to))
    }
}

/// A thread that reads wished-for bytes of the file into the page cache.
struct ReadAhead {
    wishes: Option<SyncSender<(usize, usize)>>,
    /// Number of the newest wish: an older one is given up.
    newest: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl ReadAhead {
    /// Without a thread or a second handle on the file, the kernel's own read-ahead has to do.
    fn new(map: &Mapped) -> Self {
        let newest = Arc::new(AtomicUsize::new(0));
        let (wishes, wished) = sync_channel(1);
        let thread = map.another_handle().ok().and_then(|file| {
            let newest = Arc::clone(&newest);
            let builder = thread::Builder::new().name("sprig-ahead".to_owned()).stack_size(64 << 10);
            builder.spawn(move || serve(&file, &wished, &newest)).ok()
        });
        Self { wishes: thread.is_some().then_some(wishes), newest, thread }
    }

    fn ask(&self, from: usize, to: usize) {
        if let Some(wishes) = &self.wishes {
            self.newest.fetch_add(1, Ordering::Relaxed);
            // Full: one wish waits already, and this one is lost; its block is read by whoever touches it.
            let _ = wishes.try_send((from, to));
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.newest.fetch_add(1, Ordering::Relaxed);
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(file: &std::fs::File, wished: &Receiver<(usize, usize)>, newest: &AtomicUsize) {
    let mut buffer = vec![0u8; READ];
    while let Ok((from, to)) = wished.recv() {
        let mine = newest.load(Ordering::Relaxed);
        for at in (from..to).step_by(READ) {
            if newest.load(Ordering::Relaxed) != mine {
                break;
            }
            let n = READ.min(to - at);
            if file.read_at(&mut buffer[..n], at as u64).is_err() {
                break; // whoever touches the page sees the error
            }
        }
    }
}
