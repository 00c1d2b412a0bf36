//! Weights that are not kept: mapped, used and released, one linear layer at a time, in file order.
//!
//! Forward mode needs each weight once a pass, and a pass backwards those of the blocks it goes through twice more, so a
//! model larger than the budget (and than the machine's memory) runs at the cost of reading it anew. What is released stays in the page cache while the machine has room for it, and
//! comes back without a read. The next block is read ahead by another thread into the page cache, not into this
//! process: at most one linear layer or one tile of the head counts as its memory.

use super::parts::Parts;
use super::{Geometry, ModelError};
use crate::gguf::{Gguf, Mapped, READ};
use crate::kernels::Matrix;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;

/// The residency of a mapped model's weights; it may change between passes.
pub struct Stream<'m> {
    map: &'m Mapped,
    parts: Parts,
    on: AtomicBool,
    /// Made when streaming first begins.
    ahead: OnceLock<ReadAhead>,
}

impl<'m> Stream<'m> {
    /// Nothing is released or read until [`set`](Self::set). `gguf` is the header of `map`.
    ///
    /// # Errors
    /// A tensor that the model needs is missing.
    pub fn new(map: &'m Mapped, gguf: &Gguf<'m>, geometry: &Geometry) -> Result<Self, ModelError> {
        let parts = Parts::new(gguf, geometry)?;
        Ok(Self { map, parts, on: AtomicBool::new(false), ahead: OnceLock::new() })
    }

    /// Whether weights are streamed.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Streams from now on and lets go of everything, or brings every weight into memory and keeps it.
    pub fn set(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
        if on {
            self.map.divide(self.parts.cuts());
            self.ahead.get_or_init(|| ReadAhead::new(self.map));
            let _ = self.map.release(0..self.map.bytes().len());
        } else {
            self.map.unite();
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
        // Where a file scatters a block's tensors, each is read when it is its turn.
        if from < to && to - from <= sum + READ {
            ahead.ask(from, to);
        }
    }

    /// Reads what is still missing of `now`, a part of the map that is about to be used, and begins with `next`.
    pub(super) fn bring(&self, now: &[u8], next: Option<&[u8]>) {
        if !self.is_on() {
            return;
        }
        if let Some((from, to)) = self.place(now) {
            self.map.bring(from..to);
        }
        if let Some((from, to)) = next.and_then(|next| self.place(next)) {
            self.map.soon(from..to);
        }
    }

    /// Gives back the pages of `bytes`, a part of the map, and what came with them. They come back from the file when
    /// touched again.
    pub(super) fn release(&self, bytes: &[u8]) {
        if self.is_on()
            && let Some((from, to)) = self.place(bytes)
        {
            // A refusal costs memory, not correctness; the heap's and the kernel's guards remain.
            let _ = self.map.release(self.parts.around(from..to));
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
    /// Without a thread or a second handle on the file, weights are read when it is their turn.
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
