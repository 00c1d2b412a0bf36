//! Disjoint pieces of work over the thread pool, without allocation and without `unsafe`.

use super::batch::Batch;
use crate::kernels::Pool;
use std::ops::Range;
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

/// Cuts `out`, `group` elements a position of `rows`, into one run of whole examples a thread, of about equal numbers of
/// positions: each with its examples and their first position.
pub(super) fn examples_in_turn<'o>(
    pool: &Pool,
    rows: &Batch<'_>,
    mut out: &'o mut [f32],
    group: usize,
) -> impl Iterator<Item = (Range<usize>, usize, &'o mut [f32])> {
    let threads = pool.threads().min(MAX_PIECES);
    let mut example = 0;
    (0..threads).filter_map(move |t| {
        let until = rows.positions() * (t + 1) / threads;
        let (from, start) = (example, if example < rows.examples() { rows.span(example).start } else { 0 });
        let mut end = start;
        while example < rows.examples() && (rows.span(example).end <= until || t + 1 == threads) {
            end = rows.span(example).end;
            example += 1;
        }
        let (mine, rest) = std::mem::take(&mut out).split_at_mut((end - start) * group);
        out = rest;
        (from < example).then_some((from..example, start, mine))
    })
}
