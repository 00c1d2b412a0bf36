//! The product of a few rows with a quantised matrix: integer dot products against the blocks.
//!
//! A decode step reads every weight once for one row, so the blocks are never dequantised: the row is
//! quantised to 8 bits in groups of 32, and a group of weights is multiplied with it in integers. With
//! w = s·q + m and x ≈ d·p, a group gives s·d·Σ q·p + m·d·Σ p. Taking the minimum against the *quantised*
//! row matters: the error is then Σ w·(x − d·p), with w centred, not Σ s·q·(x − d·p), with q all positive.
//!
//! Lanes, groups and the final tree have one order for every instruction set: results are equal bit for bit.
#![allow(unsafe_code)]

use super::arch::{Arch, Kernel, dispatch};
use super::blocks::{Float, Quant, scale_index, with_type};
use super::elementwise::nearest;
use super::out::Out;
use super::{Ctx, Isa, Matrix, Rows, RowsMut, Write};
use std::marker::PhantomData;
use std::ops::Range;

/// Elements of scratch that [`matvec`] needs for `rows` rows of `cols`.
pub fn matvec_scratch_len(rows: usize, cols: usize) -> usize {
    rows * cols.div_ceil(32) * GROUP_FLOATS
}

/// y\[i, o\] (+)= Σ_k x\[i, k\] · w\[o, k\] for a few rows (made for 1 to 8), with `x` quantised to 8 bits:
/// each element is off by at most half a step of max |x| / 127 over its group of 32. F32, F16 and BF16
/// weights are multiplied in f32. Allocates nothing.
///
/// # Panics
/// If shapes disagree, or `scratch` is shorter than [`matvec_scratch_len`] says.
pub fn matvec(ctx: &Ctx, x: Rows<'_>, w: &Matrix<'_>, mut y: RowsMut<'_>, write: Write, scratch: &mut [f32]) {
    assert_eq!(x.cols(), w.cols(), "columns of x and inputs of w");
    assert_eq!((y.rows(), y.cols()), (x.rows(), w.rows()), "shape of y");
    let need = matvec_scratch_len(x.rows(), x.cols());
    assert!(scratch.len() >= need, "scratch of {} elements, {need} needed", scratch.len());
    let out = Out::new(&mut y);
    let isa = ctx.isa;
    // A few tasks for each thread, so that a slow core gets fewer; none too short to be worth handing over.
    let rows = w.rows().div_ceil(4 * ctx.pool.threads()).max(16);
    let tasks = w.rows().div_ceil(rows);
    let range = |task: usize| task * rows..w.rows().min((task + 1) * rows);
    // SAFETY, for both: tasks write disjoint columns of the checked output.
    with_type!(w.ty(), Q => {
        let quantized = Quantized::new(isa, x, &mut scratch[..need]);
        ctx.pool.run(tasks, |task| {
            dispatch(isa, Dot::<Q> { x: quantized, w, range: range(task), out, write, ty: PhantomData });
        });
    }, {
        ctx.pool.run(tasks, |task| {
            dispatch(isa, DotFloats::<Q> { x, w, range: range(task), out, write, ty: PhantomData });
        });
    });
}

/// Rows in 8 bits, by groups of 32 elements. Rows stand in tiles of four, and those left over alone; within
/// a tile, group 0 of all its rows is followed by group 1 of all.
#[derive(Clone, Copy)]
struct Quantized<'a> {
    rows: usize,
    /// Groups of a row.
    per_row: usize,
    /// Within ±127.
    quants: &'a [[i8; 32]],
    /// d of each group: an element is d · quant.
    scales: &'a [f32],
    /// d · Σ quants of the first and of the last 16 of each group.
    sums: &'a [[f32; 2]],
}

/// Integers, scales and sums of `R` rows, by group.
type Tile<'a, const R: usize> = (&'a [[[i8; 32]; R]], &'a [[f32; R]], &'a [[[f32; 2]; R]]);

/// f32 that a group takes: 8 for the integers, its scale, and two sums.
const GROUP_FLOATS: usize = 8 + 1 + 2;

impl<'a> Quantized<'a> {
    fn new(isa: Isa, x: Rows<'_>, scratch: &'a mut [f32]) -> Self {
        let (rows, per_row) = (x.rows(), x.cols() / 32);
        let groups = rows * per_row;
        let (quants, rest) = scratch[..groups * GROUP_FLOATS].split_at_mut(8 * groups);
        let (scales, sums) = rest.split_at_mut(groups);
        let (quants, sums) = (bytemuck::cast_slice_mut(quants), bytemuck::cast_slice_mut(sums));
        dispatch(isa, Quantize { x, quants, scales, sums });
        Self { rows, per_row, quants, scales, sums }
    }

    /// The `R` rows of the tile that begins at row `from`, by group.
    #[inline(always)]
    fn tile<const R: usize>(&self, from: usize) -> Tile<'a, R> {
        let groups = from * self.per_row..(from + R) * self.per_row;
        let (quants, scales) = (&self.quants[groups.clone()], &self.scales[groups.clone()]);
        (quants.as_chunks().0, scales.as_chunks().0, self.sums[groups].as_chunks().0)
    }
}

struct Quantize<'a> {
    x: Rows<'a>,
    quants: &'a mut [[i8; 32]],
    scales: &'a mut [f32],
    sums: &'a mut [[f32; 2]],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, _: A) {
        let per_row = self.x.cols() / 32;
        for i in 0..self.x.rows() {
            let tile = if i < self.x.rows() / 4 * 4 { 4 } else { 1 };
            let first = i / tile * tile * per_row + i % tile;
            for (g, x) in self.x.row(i).chunks_exact(32).enumerate() {
                let at = first + g * tile;
                let (quants, scale) = (&mut self.quants[at], &mut self.scales[at]);
                // The greatest magnitude, by its bits: NaN is above all, so it reaches the scale and the result.
                let most = f32::from_bits(x.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().unwrap_or(0));
                *scale = most / 127.0;
                let inverse = if most == 0.0 { 0.0 } else { 127.0 / most };
                for (quant, x) in quants.iter_mut().zip(x) {
                    *quant = round(x * inverse) as i8;
                }
                let sum = |half: &[i8]| half.iter().map(|&q| i32::from(q)).sum::<i32>() as f32;
                self.sums[at] = [*scale * sum(&quants[..16]), *scale * sum(&quants[16..])];
            }
        }
    }
}

/// The nearest integer, ties to even, limited to ±127, which only a NaN or an infinity in the group would leave.
#[inline(always)]
fn round(x: f32) -> i32 {
    nearest(x).clamp(-127, 127)
}

struct Dot<'a, Q> {
    x: Quantized<'a>,
    w: &'a Matrix<'a>,
    range: Range<usize>,
    out: Out,
    write: Write,
    ty: PhantomData<Q>,
}

impl<Q: Quant> Kernel for Dot<'_, Q> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        for o in self.range.clone() {
            let blocks: &[Q::Block] = bytemuck::cast_slice(self.w.row(o));
            let mut i = 0;
            while i < self.x.rows {
                // Four rows share the work of taking a block apart.
                if self.x.rows - i >= 4 {
                    let dots = dots::<A, Q, 4>(arch, blocks, &self.x, i);
                    dots.into_iter().enumerate().for_each(|(r, dot)| self.put(i + r, o, dot));
                    i += 4;
                } else {
                    let [dot] = dots::<A, Q, 1>(arch, blocks, &self.x, i);
                    self.put(i, o, dot);
                    i += 1;
                }
            }
        }
    }
}

impl<Q> Dot<'_, Q> {
    #[inline(always)]
    fn put(&self, i: usize, o: usize, value: f32) {
        // SAFETY: this task owns the columns of its range, in all rows.
        unsafe { self.out.put(i, o, value, self.write) }
    }
}

/// One row of blocks with the `R` quantised rows from `from`.
#[inline(always)]
fn dots<A: Arch, Q: Quant, const R: usize>(
    arch: A,
    blocks: &[Q::Block],
    x: &Quantized<'_>,
    from: usize,
) -> [f32; R] {
    let (quants, scales, sums) = x.tile::<R>(from);
    let (quants, scales) = (quants.chunks_exact(Q::GROUPS), scales.chunks_exact(Q::GROUPS));
    let x = quants.zip(scales).zip(sums.chunks_exact(Q::GROUPS));
    let mut acc = [arch.splat(0.0); R];
    let mut mins = [0.0f32; R];
    for (block, ((x_quants, x_scales), x_sums)) in blocks.iter().zip(x) {
        let w = Q::scales(arch, block);
        for g in 0..Q::GROUPS {
            let quants = Q::quants(arch, block, g);
            let (low, high) = (scale_index::<Q>(g, 0), scale_index::<Q>(g, 1));
            for r in 0..R {
                let (x_scale, x_sums) = (x_scales[g][r], x_sums[g][r]);
                let factor = if Q::HALVES {
                    arch.halves(w.scale[low] * x_scale, w.scale[high] * x_scale)
                } else {
                    arch.splat(w.scale[low] * x_scale)
                };
                acc[r] = arch.fma(arch.dot(quants, &x_quants[g][r], Q::SIGNED), factor, acc[r]);
                if Q::MINS && Q::HALVES {
                    mins[r] = w.min[high].mul_add(x_sums[1], w.min[low].mul_add(x_sums[0], mins[r]));
                } else if Q::MINS {
                    mins[r] = w.min[low].mul_add(x_sums[0] + x_sums[1], mins[r]);
                }
            }
        }
    }
    std::array::from_fn(|r| arch.sum(acc[r]) + mins[r])
}

struct DotFloats<'a, T> {
    x: Rows<'a>,
    w: &'a Matrix<'a>,
    range: Range<usize>,
    out: Out,
    write: Write,
    ty: PhantomData<T>,
}

impl<T: Float> Kernel for DotFloats<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        for o in self.range {
            for i in 0..self.x.rows() {
                let dot = dot_floats::<A, T>(arch, self.w.row(o), self.x.row(i));
                // SAFETY: this task owns the columns of its range, in all rows.
                unsafe { self.out.put(i, o, dot, self.write) };
            }
        }
    }
}

#[inline(always)]
fn dot_floats<A: Arch, T: Float>(arch: A, w: &[u8], x: &[f32]) -> f32 {
    // Four chains of 8 lanes hide the latency of the multiply-add.
    let mut acc = [arch.splat(0.0); 4];
    let (w, x) = (w.chunks_exact(32 * T::BYTES), x.chunks_exact(32));
    let (w_rest, x_rest) = (w.remainder(), x.remainder());
    for (w, x) in w.zip(x) {
        for c in 0..4 {
            let x = arch.load_f32(bytemuck::from_bytes(bytemuck::cast_slice(&x[8 * c..8 * c + 8])));
            acc[c] = arch.fma(T::eight(arch, &w[8 * c * T::BYTES..][..8 * T::BYTES]), x, acc[c]);
        }
    }
    let rest = x_rest.iter().zip(w_rest.chunks_exact(T::BYTES));
    let rest = rest.fold(0.0f32, |sum, (x, w)| T::one(arch, w).mul_add(*x, sum));
    arch.sum(arch.add(arch.add(acc[0], acc[1]), arch.add(acc[2], acc[3]))) + rest
}
