//! Dual rows: positions, each a value row and, where they are live, the rows of its K tangents behind it.
//!
//! **Liveness.** Rows are *plain* (R rows) below the first perturbed linear, where every tangent would be zero, and
//! *live* (R·(1+K) rows) from there on. What is made of live rows, or by a layer that trains, is live:
//! [`DualBatch::behind`](super::DualBatch::behind) is that rule, and every operation holds its operands to it.

use crate::kernels::{Rows, RowsMut};
use std::ops::Range;

/// Positions and tangents of a stacked matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// R, positions.
    pub positions: usize,
    /// K, tangents carried by each position; 0 for a plain stack.
    pub tangents: usize,
}

/// Rows to read: \[positions × (1+K)\] × width.
#[derive(Clone, Copy, Debug)]
pub struct DualRows<'a> {
    data: &'a [f32],
    width: usize,
    stack: Stack,
}

/// Rows to write: \[positions × (1+K)\] × width, with room behind them where plain ones may come to life.
#[derive(Debug)]
pub struct DualRowsMut<'a> {
    data: &'a mut [f32],
    width: usize,
    stack: Stack,
}

impl Stack {
    /// A stack without tangents.
    pub fn plain(positions: usize) -> Self {
        Self { positions, tangents: 0 }
    }

    /// Rows that belong to one position: its value and its tangents.
    pub fn group(self) -> usize {
        1 + self.tangents
    }

    /// All rows.
    pub fn rows(self) -> usize {
        self.positions * self.group()
    }
}

impl<'a> DualRows<'a> {
    /// The first rows of `data`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn new(data: &'a [f32], width: usize, stack: Stack) -> Self {
        Self { data: &data[..stack.rows() * width], width, stack }
    }

    /// Its shape.
    pub fn stack(&self) -> Stack {
        self.stack
    }

    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Elements that belong to one position.
    pub fn group(&self) -> usize {
        self.stack.group() * self.width
    }

    /// All elements.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// The rows from position `at` on, as a run of positions alone.
    pub fn from(&self, at: usize) -> Self {
        let stack = Stack { positions: self.stack.positions - at, ..self.stack };
        Self { data: &self.data[at * self.group()..], stack, ..*self }
    }

    /// The rows of positions `run` alone.
    pub fn part(&self, run: Range<usize>) -> Self {
        let (group, stack) = (self.group(), Stack { positions: run.len(), ..self.stack });
        Self { data: &self.data[run.start * group..run.end * group], stack, ..*self }
    }

    /// All rows as a plain matrix.
    pub fn all(&self) -> Rows<'a> {
        Rows::new(self.data, self.stack.rows(), self.width)
    }

    /// The values of the first `positions` positions.
    pub fn values(&self, positions: usize) -> Rows<'a> {
        Rows::strided(self.data, positions, self.width, self.group())
    }
}

impl<'a> DualRowsMut<'a> {
    /// The first rows of `data`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn new(data: &'a mut [f32], width: usize, stack: Stack) -> Self {
        assert!(data.len() >= stack.rows() * width, "{stack:?} of width {width} in {} elements", data.len());
        Self { data, width, stack }
    }

    /// Rows of several widths, one kind after another in `data`.
    pub fn split<const N: usize>(mut data: &'a mut [f32], stack: Stack, widths: [usize; N]) -> [Self; N] {
        widths.map(|width| {
            let (mine, rest) = std::mem::take(&mut data).split_at_mut(stack.rows() * width);
            data = rest;
            Self::new(mine, width, stack)
        })
    }

    /// Its shape.
    pub fn stack(&self) -> Stack {
        self.stack
    }

    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Elements that belong to one position.
    pub fn group(&self) -> usize {
        self.stack.group() * self.width
    }

    /// All elements.
    pub fn data(&mut self) -> &mut [f32] {
        &mut self.data[..self.stack.rows() * self.width]
    }

    /// The same rows to read.
    pub fn rows(&self) -> DualRows<'_> {
        DualRows::new(self.data, self.width, self.stack)
    }

    /// The same rows to read, from now on.
    pub fn into_rows(self) -> DualRows<'a> {
        DualRows::new(self.data, self.width, self.stack)
    }

    /// The same rows under a shorter borrow.
    pub fn reborrow(&mut self) -> DualRowsMut<'_> {
        DualRowsMut { data: self.data, width: self.width, stack: self.stack }
    }

    /// The rows of positions `run` alone.
    pub fn part(&mut self, run: Range<usize>) -> DualRowsMut<'_> {
        let (group, stack) = (self.group(), Stack { positions: run.len(), ..self.stack });
        DualRowsMut::new(&mut self.data[run.start * group..run.end * group], self.width, stack)
    }

    /// All rows as a plain matrix.
    pub fn all(&mut self) -> RowsMut<'_> {
        let (rows, width) = (self.stack.rows(), self.width);
        RowsMut::new(self.data(), rows, width)
    }

    /// The values, each at the head of its position's rows.
    pub fn values(&mut self) -> RowsMut<'_> {
        let (positions, width, group) = (self.stack.positions, self.width, self.group());
        RowsMut::strided(self.data(), positions, width, group)
    }

    /// Where rows of `input` go that pass through a map which knows no tangents: all of them if `input` is as live as
    /// these rows are, to the values alone if it is plain.
    ///
    /// # Panics
    /// If `input` is live and these rows are not.
    pub fn like(&mut self, input: Stack) -> RowsMut<'_> {
        if input == self.stack {
            return self.all();
        }
        assert_eq!(input, Stack::plain(self.stack.positions), "rows that {:?} cannot take", self.stack);
        self.values()
    }

    /// Sets all tangents to zero.
    pub fn clear_tangents(&mut self) {
        let (group, width) = (self.group(), self.width);
        for rows in self.data().chunks_exact_mut(group) {
            rows[width..].fill(0.0);
        }
    }

    /// Gives plain rows the tangents of `live`, which are zero, in place: values move to the head of their group. Live
    /// rows stay as they are.
    ///
    /// # Panics
    /// If there is no room behind them.
    pub fn enliven(&mut self, live: Stack) {
        if self.stack == live {
            return;
        }
        assert_eq!(self.stack, Stack::plain(live.positions), "rows that cannot become {live:?}");
        self.stack = live;
        let (group, width) = (self.group(), self.width);
        let data = self.data();
        for i in (0..live.positions).rev() {
            data.copy_within(i * width..(i + 1) * width, i * group);
            data[i * group + width..(i + 1) * group].fill(0.0);
        }
    }

    /// Other rows in the same place, without tangents; their contents are whatever is there.
    ///
    /// # Panics
    /// If there is no room for them.
    pub fn restart(&mut self, positions: usize) {
        self.stack = Stack::plain(positions);
        self.data();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coming_to_life_keeps_values_and_zeroes_tangents() {
        let mut data = vec![9.0f32; 3 * 3 * 2];
        data[..6].copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let live = Stack { positions: 3, tangents: 2 };
        let mut rows = DualRowsMut::new(&mut data, 2, Stack::plain(3));
        rows.enliven(live);
        rows.enliven(live); // once
        assert_eq!((rows.stack(), rows.group()), (live, 6));
        let z = [0.0; 4];
        assert_eq!(data, [&[1.0, 2.0], &z[..], &[3.0, 4.0], &z[..], &[5.0, 6.0], &z[..]].concat());
    }

    #[test]
    #[should_panic(expected = "cannot take")]
    fn live_rows_do_not_go_into_plain_ones() {
        DualRowsMut::new(&mut [0.0; 8], 2, Stack::plain(2)).like(Stack { positions: 2, tangents: 1 });
    }

    #[test]
    #[should_panic(expected = "in 8 elements")]
    fn rows_without_room_are_refused() {
        DualRowsMut::new(&mut [0.0; 8], 2, Stack { positions: 2, tangents: 2 });
    }
}
