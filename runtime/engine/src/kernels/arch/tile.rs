//! The register tile of the matrix product.

use crate::kernels::Write;

/// y[i, j] (+)= Σ_k x[i, k] · w[k, j] for `rows` × `cols` outputs, each one chain of fused multiply-adds
/// over ascending k that starts at 0, or at y where it continues.
///
/// # Safety
/// To run one, `x` must be readable at `i * x_stride + k`, `y` writable at `i * y_stride + j` by nobody
/// else, and `w` readable at `k * w_stride + s * w_strip + j` for column j of strip s. `rows` and `cols` are at least 1 and at most the tile's.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    pub rows: usize,
    pub cols: usize,
    pub depth: usize,
    pub x: *const f32,
    pub x_stride: usize,
    pub w: *const f32,
    pub w_stride: usize,
    /// From one strip to the next.
    pub w_strip: usize,
    pub y: *mut f32,
    pub y_stride: usize,
    pub write: Write,
}

/// A register of f32.
///
/// # Safety
/// Callers must be on a machine that has the register; pointers must be valid for `LANES` elements, or
/// for `n` of them in the partial operations.
pub(crate) trait Vector: Copy {
    const LANES: usize;

    /// Where the columns of vector `j` of a tile begin: in its one strip, unless a vector is a strip.
    #[inline(always)]
    fn column(j: usize, _strip: usize) -> usize {
        j * Self::LANES
    }

    unsafe fn zero() -> Self;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// The first `n` lanes; 0 in the others.
    unsafe fn load_part(from: *const f32, n: usize) -> Self;
    unsafe fn store_part(self, to: *mut f32, n: usize);
    /// self · b + c, rounded once.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    unsafe fn add(self, b: Self) -> Self;
}

impl Tile {
    /// The tile with `M` rows and `N` vectors of columns.
    ///
    /// # Safety
    /// As [`Tile`], with `rows == M` and `cols` at most `N` vectors.
    #[inline(always)]
    pub(crate) unsafe fn run<V: Vector, const M: usize, const N: usize>(self) {
        // SAFETY: passed on to the caller.
        unsafe {
            if self.cols == N * V::LANES {
                self.run_cols::<V, M, N, true>();
            } else if self.cols <= V::LANES {
                // Narrow outputs are common: the rank of an adapter.
                self.run_cols::<V, M, 1, false>();
            } else {
                self.run_cols::<V, M, N, false>();
            }
        }
    }

    #[inline(always)]
    unsafe fn run_cols<V: Vector, const M: usize, const N: usize, const FULL: bool>(self) {
        // SAFETY: every address is one of those that `Tile` promises; lanes past `cols` are never touched.
        unsafe {
            let mut acc = self.start::<V, M, N, FULL>();
            for k in 0..self.depth {
                let mut w = [V::zero(); N];
                for j in 0..N {
                    let at = k * self.w_stride + V::column(j, self.w_strip);
                    if FULL {
                        w[j] = V::load(self.w.add(at));
                    } else if self.lanes::<V, FULL>(j) > 0 {
                        w[j] = V::load_part(self.w.add(at), self.lanes::<V, FULL>(j));
                    }
                }
                for i in 0..M {
                    let x = V::splat(*self.x.add(i * self.x_stride + k));
                    for j in 0..N {
                        acc[i][j] = x.fma(w[j], acc[i][j]);
                    }
                }
            }
            self.write_rows::<V, M, N, FULL>(acc);
        }
    }

    /// What the chains start from; `FULL` says that `cols` is exactly `N` vectors.
    ///
    /// # Safety
    /// As [`Tile::run`].
    #[inline(always)]
    pub(crate) unsafe fn start<V: Vector, const M: usize, const N: usize, const FULL: bool>(
        self,
    ) -> [[V; N]; M] {
        // SAFETY: registers only; addresses within the rows and columns of y that `Tile` promises.
        unsafe {
            let mut acc = [[V::zero(); N]; M];
            if self.write == Write::Continue {
                for i in 0..M {
                    for j in 0..N {
                        let (y, n) = (self.y.add(i * self.y_stride + j * V::LANES), self.lanes::<V, FULL>(j));
                        if FULL {
                            acc[i][j] = V::load(y);
                        } else if n > 0 {
                            acc[i][j] = V::load_part(y, n);
                        }
                    }
                }
            }
            acc
        }
    }

    /// Writes a tile of results; `FULL` says that `cols` is exactly `N` vectors.
    ///
    /// # Safety
    /// As [`Tile::run`].
    #[inline(always)]
    pub(crate) unsafe fn write_rows<V: Vector, const M: usize, const N: usize, const FULL: bool>(
        self,
        acc: [[V; N]; M],
    ) {
        for i in 0..M {
            for j in 0..N {
                let n = self.lanes::<V, FULL>(j);
                if n == 0 {
                    continue;
                }
                // SAFETY: within the rows and columns of y that `Tile` promises.
                unsafe {
                    let y = self.y.add(i * self.y_stride + j * V::LANES);
                    let value = match self.write {
                        Write::Set | Write::Continue => acc[i][j],
                        Write::Add { scale } => {
                            let old = if FULL { V::load(y) } else { V::load_part(y, n) };
                            old.add(V::splat(scale).mul(acc[i][j]))
                        }
                    };
                    if FULL { value.store(y) } else { value.store_part(y, n) }
                }
            }
        }
    }

    /// Columns of vector `j` that exist.
    #[inline(always)]
    fn lanes<V: Vector, const FULL: bool>(self, j: usize) -> usize {
        if FULL { V::LANES } else { self.cols.saturating_sub(j * V::LANES).min(V::LANES) }
    }
}
