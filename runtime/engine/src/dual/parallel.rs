//! Disjoint pieces of work over the thread pool, without allocation and without `unsafe`.

use crate::kernels::Pool;
use std::sync::Mutex;

/// Most pieces one operation is cut into.
pub const MAX_PIECES: usize = 64;

/// Runs `work` on each item of `pieces` (at most [`MAX_PIECES`]), spread over the pool.
///
/// # Panics
/// If there are more pieces than that: our bug.
pub fn for_each<T: Send>(pool: &Pool, mut pieces: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
    let slots: [Mutex<Option<T>>; MAX_PIECES] = std::array::from_fn(|_| Mutex::new(pieces.next()));
    assert!(pieces.next().is_none(), "more than {MAX_PIECES} pieces of work");
    let count = slots.iter().take_while(|s| s.lock().map(|g| g.is_some()).unwrap_or(false)).count();
    pool.run(count, |i| {
        let taken = slots[i].lock().map(|mut slot| slot.take());
        if let Ok(Some(piece)) = taken {
            work(piece);
        }
    });
}

/// Positions a piece: small enough to balance `threads`, few enough for [`for_each`].
pub(super) fn piece_len(pool: &Pool, positions: usize) -> usize {
    positions.div_ceil((pool.threads() * 4).clamp(1, MAX_PIECES)).max(1)
}
