//! An output that several tasks write at once, each its own part.
#![allow(unsafe_code)]

use super::{RowsMut, Write};

/// Where tasks write. Each computes the start of a part that is its own.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub data: *mut f32,
    pub stride: usize,
}

// SAFETY: a pointer and a number; whoever writes through it answers for the place.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Out {
    pub(super) fn new(y: &mut RowsMut<'_>) -> Self {
        Self { data: y.as_mut_ptr(), stride: y.stride() }
    }

    /// # Safety
    /// (row, col) lies within the output.
    pub(super) unsafe fn at(self, row: usize, col: usize) -> Self {
        // SAFETY: passed on to the caller.
        Self { data: unsafe { self.data.add(row * self.stride + col) }, ..self }
    }
    /// Writes one element.
    ///
    /// # Safety
    /// (row, col) lies within the output and no other task touches it.
    #[inline(always)]
    pub(super) unsafe fn put(self, row: usize, col: usize, value: f32, write: Write) {
        // SAFETY: passed on to the caller.
        let y = unsafe { &mut *self.data.add(row * self.stride + col) };
        *y = match write {
            Write::Set => value,
            Write::Add { scale } => *y + scale * value,
            Write::Continue => *y + value,
        };
    }
}
