//! One allocation made once, handed out in aligned slices.

use crate::{BudgetError, Bytes, counts};
use bytemuck::{AnyBitPattern, NoUninit, Pod, Zeroable};

/// A cache line, and the alignment of every piece.
const LINE: usize = 64;
/// No kernel of a board has smaller pages.
const SMALLEST_PAGE: usize = 4096;
/// Values of f32 in a line.
const LANES: usize = LINE / size_of::<f32>();

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// Bytes that a piece of `n` values of `T` takes from an arena: whole lines. Planners add these up.
pub const fn bytes_for<T>(n: usize) -> Bytes {
    Bytes(Bytes::of::<T>(n).0.div_ceil(LINE as u64).saturating_mul(LINE as u64))
}

/// 64-byte aligned f32 memory. Its pages are touched when it is made, so the process holds
/// all of it from then on and no later step can find the memory gone.
pub struct Arena {
    lines: Vec<Line>,
    high_water: usize,
}

impl Arena {
    /// Allocates `size`, rounded up to whole lines.
    ///
    /// # Errors
    /// [`BudgetError::OutOfMemory`] if the system refuses.
    pub fn new(size: Bytes) -> Result<Arena, BudgetError> {
        let lines = counts::attempt(|| bytemuck::allocation::try_zeroed_vec(size.as_usize().div_ceil(LINE)))
            .map_err(|()| BudgetError::OutOfMemory { asked: size })?;
        let mut arena = Arena { lines, high_water: 0 };
        touch(bytemuck::cast_slice_mut(&mut arena.lines));
        Ok(arena)
    }

    /// Its size.
    pub fn size(&self) -> Bytes {
        Bytes::of::<Line>(self.lines.len())
    }

    /// The most that was ever taken at one time.
    pub fn high_water(&self) -> Bytes {
        Bytes::of::<f32>(self.high_water)
    }

    /// The whole arena, to take pieces from. What an earlier stack left is still there.
    pub fn stack(&mut self) -> Stack<'_> {
        let rest: &mut [f32] = bytemuck::cast_slice_mut(&mut self.lines);
        Stack { planned: rest.len(), rest, high_water: &mut self.high_water }
    }
}

/// `n` zeros whose memory the process holds from now on, as it does an arena's.
pub fn held_zeros(n: usize) -> Vec<f32> {
    let mut zeros = vec![0.0; n];
    touch(&mut zeros);
    zeros
}

/// Writes to each page: one of zeros is not ours until then, and a zero that the compiler knows is not written.
fn touch(values: &mut [f32]) {
    for first in values.iter_mut().step_by(SMALLEST_PAGE / size_of::<f32>()) {
        *std::hint::black_box(first) = std::hint::black_box(0.0);
    }
}

/// What is left of an arena. Pieces live as long as the stack's lifetime; temporaries come from a
/// [`scope`](Stack::scope) and return to the stack when it ends.
pub struct Stack<'a> {
    rest: &'a mut [f32],
    planned: usize,
    high_water: &'a mut usize,
}

impl<'a> Stack<'a> {
    /// `n` values, 64-byte aligned, contents unspecified.
    ///
    /// # Errors
    /// [`BudgetError::ArenaExhausted`] if they are not there; nothing is taken then.
    pub fn take(&mut self, n: usize) -> Result<&'a mut [f32], BudgetError> {
        self.take_as(n)
    }

    /// As [`take`](Stack::take), for half-precision bit patterns.
    ///
    /// # Errors
    /// As [`take`](Stack::take).
    pub fn take_u16(&mut self, n: usize) -> Result<&'a mut [u16], BudgetError> {
        self.take_as(n)
    }

    /// As [`take`](Stack::take), for any plain type (`i8`, `u32`, `f16`, ...).
    ///
    /// # Errors
    /// As [`take`](Stack::take).
    pub fn take_as<T: AnyBitPattern + NoUninit>(&mut self, n: usize) -> Result<&'a mut [T], BudgetError> {
        let asked = bytes_for::<T>(n);
        let floats = asked.as_usize() / size_of::<f32>();
        if floats > self.rest.len() {
            let used = Bytes::of::<f32>(self.planned - self.rest.len());
            return Err(BudgetError::ArenaExhausted { planned: Bytes::of::<f32>(self.planned), used, asked });
        }
        let (piece, rest) = std::mem::take(&mut self.rest).split_at_mut(floats);
        self.rest = rest;
        *self.high_water = (*self.high_water).max(self.planned - self.rest.len());
        Ok(&mut bytemuck::cast_slice_mut(piece)[..n])
    }

    /// The rest as a stack of its own; what is taken from it comes back when it is dropped.
    pub fn scope(&mut self) -> Stack<'_> {
        Stack { rest: &mut *self.rest, planned: self.planned, high_water: &mut *self.high_water }
    }

    /// Bytes still free.
    pub fn free(&self) -> Bytes {
        Bytes::of::<f32>(self.rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_are_aligned_zeroed_and_apart() {
        let mut arena = Arena::new(Bytes(64 * 4)).unwrap();
        let mut stack = arena.stack();
        let a = stack.take(3).unwrap();
        let b = stack.take_u16(33).unwrap();
        assert_eq!((a.as_ptr() as usize % 64, b.as_ptr() as usize % 64), (0, 0));
        assert!(a.iter().all(|x| *x == 0.0) && b.len() == 33);
        a.fill(1.0);
        assert!(b.iter().all(|x| *x == 0));
        assert_eq!(stack.free(), Bytes(64));
    }

    #[test]
    fn a_scope_gives_back_and_the_high_water_mark_stays() {
        let mut arena = Arena::new(Bytes(64 * 8)).unwrap();
        let mut stack = arena.stack();
        let kept = stack.take(16).unwrap();
        {
            let mut inner = stack.scope();
            inner.take(16 * 5).unwrap();
        }
        let again = stack.take(16 * 2).unwrap();
        kept[0] = again[0];
        assert_eq!(stack.free(), Bytes(64 * 5));
        assert_eq!(arena.high_water(), Bytes(64 * 6));
    }

    #[test]
    fn what_is_not_there_is_a_typed_error_and_takes_nothing() {
        let mut arena = Arena::new(Bytes(128)).unwrap();
        let mut stack = arena.stack();
        stack.take(16).unwrap();
        for n in [17, usize::MAX] {
            let err = stack.take(n).unwrap_err();
            assert!(matches!(err, BudgetError::ArenaExhausted { used: Bytes(64), planned: Bytes(128), .. }));
        }
        assert!(stack.take(16).is_ok());
        assert!(matches!(Arena::new(Bytes(1 << 62)), Err(BudgetError::OutOfMemory { .. })));
    }

    proptest! {
        #[test]
        fn an_arena_of_the_planned_size_holds_the_plan_exactly(pieces in prop::collection::vec((0usize..200, any::<bool>()), 0..20)) {
            let cost = |&(n, half): &(usize, bool)| if half { bytes_for::<u16>(n) } else { bytes_for::<f32>(n) };
            let planned: Bytes = pieces.iter().map(cost).sum();
            let mut arena = Arena::new(planned).unwrap();
            let mut stack = arena.stack();
            for &(n, half) in &pieces {
                if half { stack.take_u16(n).unwrap(); } else { stack.take(n).unwrap(); }
            }
            prop_assert_eq!(stack.free(), Bytes::ZERO);
            prop_assert_eq!(arena.high_water(), planned);
        }
    }
}
