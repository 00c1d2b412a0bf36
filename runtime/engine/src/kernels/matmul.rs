//! The product of many f32 rows with a quantised matrix, and with a plain one.
//!
//! Every output element is **one chain of fused multiply-adds over ascending k that starts at 0**, or where the output
//! stands if that is continued, for every instruction set, panel size, number of rows and number of threads: results are equal bit for bit.
#![allow(unsafe_code)]

use super::arch::{Arch, Kernel, Tile, dispatch};
use super::dequant::{pack, packed_len};
use super::out::Out;
use super::{Ctx, Isa, Matrix, Rows, RowsMut, Write};

/// Elements of scratch that [`matmul`] needs: a panel of `panel_rows` rows of `cols` for each thread.
pub fn matmul_scratch_len(threads: usize, panel_rows: usize, cols: usize) -> usize {
    threads * packed_len(panel_rows, cols)
}

/// y\[i, o\] (+)= Σ_k x\[i, k\] · w\[o, k\].
///
/// A task dequantises a panel of weight rows into its thread's part of `scratch` and multiplies it with all
/// rows of `x`. Where `w` is too narrow to share out (an adapter's rank), the rows of `x` are split instead.
/// Allocates nothing.
///
/// # Panics
/// If shapes disagree, or `scratch` is shorter than [`matmul_scratch_len`] says.
pub fn matmul(ctx: &Ctx, x: Rows<'_>, w: &Matrix<'_>, mut y: RowsMut<'_>, write: Write, scratch: &mut [f32]) {
    check(x, w.rows(), w.cols(), &y);
    let threads = ctx.pool.threads();
    let need = matmul_scratch_len(threads, ctx.panel_rows(), w.cols());
    assert!(scratch.len() >= need, "scratch of {} elements, {need} needed", scratch.len());
    let (out, isa) = (Out::new(&mut y), ctx.isa);
    if w.rows().div_ceil(16) < threads {
        pack(isa, w, scratch);
        let packed = Operand::packed(scratch, w);
        return split_rows(ctx, x.rows(), |from, to| {
            // SAFETY: tasks write disjoint rows of the checked output.
            let y = unsafe { out.at(from, 0) };
            dispatch(isa, Multiply { x: x.slice(from..to), w: packed, y, write });
        });
    }
    let rows = balanced_panel(w.rows(), ctx.panel_rows(), threads, isa.tile_columns());
    let share = packed_len(rows, w.cols());
    let scratch = Out { data: scratch.as_mut_ptr(), stride: share };
    ctx.pool.run_indexed(w.rows().div_ceil(rows), |thread, task| {
        let o = task * rows;
        let panel = w.row_slice(o..w.rows().min(o + rows));
        // SAFETY: `threads` shares fit (checked above: `rows` is at most the panel), and each thread has its own.
        let scratch = unsafe { std::slice::from_raw_parts_mut(scratch.at(thread, 0).data, share) };
        pack(isa, &panel, scratch);
        // SAFETY: tasks write disjoint columns of the checked output.
        let y = unsafe { out.at(0, o) };
        dispatch(isa, Multiply { x, w: Operand::packed(scratch, &panel), y, write });
    });
}

/// [`matmul`] on the calling thread, for use inside tasks and for small shapes. Panels are as large as
/// `scratch` allows, which is `matmul_scratch_len(1, panel_rows, cols)` elements for panels of `panel_rows`.
///
/// # Panics
/// If shapes disagree, or `scratch` does not hold 16 rows.
pub fn matmul_serial(
    isa: Isa,
    x: Rows<'_>,
    w: &Matrix<'_>,
    mut y: RowsMut<'_>,
    write: Write,
    scratch: &mut [f32],
) {
    check(x, w.rows(), w.cols(), &y);
    let need = packed_len(16, w.cols());
    assert!(scratch.len() >= need, "scratch of {} elements, at least {need} needed", scratch.len());
    let panel_rows = 16 * scratch.len().checked_div(need).unwrap_or(w.rows().max(1));
    let out = Out::new(&mut y);
    for o in (0..w.rows()).step_by(panel_rows) {
        let panel = w.row_slice(o..w.rows().min(o + panel_rows));
        pack(isa, &panel, scratch);
        // SAFETY: `y` is borrowed for this call and has these columns.
        let y = unsafe { out.at(0, o) };
        dispatch(isa, Multiply { x, w: Operand::packed(scratch, &panel), y, write });
    }
}

/// y\[i, j\] (+)= Σ_k x\[i, k\] · w\[k, j\] with a plain row-major `w`, read in place.
///
/// # Panics
/// If shapes disagree.
pub fn matmul_nn(ctx: &Ctx, x: Rows<'_>, w: Rows<'_>, mut y: RowsMut<'_>, write: Write) {
    check(x, w.cols(), w.rows(), &y);
    let (out, isa, threads) = (Out::new(&mut y), ctx.isa, ctx.pool.threads());
    // Columns first: then each thread reads its own band of w, of whole tiles.
    let tile = isa.tile_columns();
    let bands = w.cols().div_ceil(tile);
    if bands >= 2 * threads {
        let cols = w.cols().div_ceil(4 * threads).next_multiple_of(tile);
        ctx.pool.run(w.cols().div_ceil(cols), |task| {
            let from = task * cols;
            let n = cols.min(w.cols() - from);
            // SAFETY: tasks write disjoint columns of the checked output.
            let y = unsafe { out.at(0, from) };
            dispatch(isa, Multiply { x, w: Operand::plain(w, from, n), y, write });
        });
    } else {
        split_rows(ctx, x.rows(), |from, to| {
            // SAFETY: tasks write disjoint rows of the checked output.
            let y = unsafe { out.at(from, 0) };
            dispatch(isa, Multiply { x: x.slice(from..to), w: Operand::plain(w, 0, w.cols()), y, write });
        });
    }
}

/// [`matmul_nn`] on the calling thread.
///
/// # Panics
/// If shapes disagree.
pub fn matmul_nn_serial(isa: Isa, x: Rows<'_>, w: Rows<'_>, mut y: RowsMut<'_>, write: Write) {
    check(x, w.cols(), w.rows(), &y);
    dispatch(isa, Multiply { x, w: Operand::plain(w, 0, w.cols()), y: Out::new(&mut y), write });
}

fn check(x: Rows<'_>, outputs: usize, inputs: usize, y: &RowsMut<'_>) {
    assert_eq!(x.cols(), inputs, "columns of x and inputs of w");
    assert_eq!((y.rows(), y.cols()), (x.rows(), outputs), "shape of y");
}

/// Calls `part(from, to)` for parts of `0..rows`: a few for each thread, so that a slow core gets fewer.
fn split_rows(ctx: &Ctx, rows: usize, part: impl Fn(usize, usize) + Sync) {
    let each = rows.div_ceil(4 * ctx.pool.threads()).max(12);
    ctx.pool.run(rows.div_ceil(each), |task| part(task * each, rows.min((task + 1) * each)));
}

/// Rows of a panel, whole tiles and at most `limit`, so that threads end together: the panel with the least work on the
/// thread that has most.
fn balanced_panel(outputs: usize, limit: usize, threads: usize, tile: usize) -> usize {
    let most = |rows: usize| outputs.div_ceil(rows).div_ceil(threads) * rows;
    // Largest first; `min_by_key` keeps the first of equals.
    let sizes = (1..=limit / tile).rev().map(|tiles| tile * tiles);
    sizes.min_by_key(|&rows| most(rows)).unwrap_or(limit)
}

/// The right-hand side: packed strips, or plain rows with their stride.
#[derive(Clone, Copy)]
struct Operand<'a> {
    data: &'a [f32],
    cols: usize,
    depth: usize,
    stride: Option<usize>,
}

impl<'a> Operand<'a> {
    fn packed(data: &'a [f32], panel: &Matrix<'_>) -> Self {
        Self { data, cols: panel.rows(), depth: panel.cols(), stride: None }
    }

    fn plain(w: Rows<'a>, from: usize, cols: usize) -> Self {
        let data = if w.rows() == 0 { &[] } else { &w.data()[from..] };
        Self { data, cols, depth: w.rows(), stride: Some(w.stride()) }
    }
}

struct Multiply<'a> {
    x: Rows<'a>,
    w: Operand<'a>,
    y: Out,
    write: Write,
}

impl Kernel for Multiply<'_> {
    type Output = ();

    /// Rows of `x` outside, strips inside: the rows of one tile stay in the first-level cache, and the
    /// panel streams from the second.
    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let Self { x, w, y, write } = self;
        // (from one k to the next, from one strip to the next)
        let (w_stride, w_strip) = match w.stride {
            None => (A::STRIP, A::STRIP * w.depth),
            Some(stride) => (stride, A::STRIP),
        };
        let columns = arch.tile_cols();
        let mut i = 0;
        while i < x.rows() {
            let rows = tile_height(x.rows() - i, arch.tile_rows());
            let x_tile = x.slice(i..i + rows);
            for o in (0..w.cols).step_by(columns) {
                // SAFETY: `x_tile` has `rows` rows of `depth`; the operand has `cols` columns, of which this
                // tile takes those from `o`; the caller of `Multiply` owns that part of y.
                unsafe {
                    arch.tile(Tile {
                        rows,
                        cols: columns.min(w.cols - o),
                        depth: w.depth,
                        x: x_tile.as_ptr(),
                        x_stride: x.stride(),
                        w: w.data.as_ptr().wrapping_add(o / A::STRIP * w_strip),
                        w_stride,
                        w_strip,
                        y: y.at(i, o).data,
                        y_stride: y.stride,
                        write,
                    });
                }
            }
            i += rows;
        }
    }
}

/// Rows of the next tile. The last two share what is left, since a flat tile cannot hide the latency of
/// its multiply-adds.
#[inline(always)]
fn tile_height(left: usize, most: usize) -> usize {
    if left <= most {
        left
    } else if left < 2 * most {
        left.div_ceil(2)
    } else {
        most
    }
}
