//! Dual operations: each carries a value and its exact tangents, side by side in one file.
//!
//! **Layout.** A stack of R positions with K tangents is a row-major matrix of R·(1+K) rows: position i owns rows
//! `i·(1+K) ..= i·(1+K)+K`, its value first, then its K tangents. A frozen linear map is one matrix product over all
//! of them, so each weight is read and dequantised once for the value and every tangent. Rows of one position are
//! neighbours (rather than K separate blocks of R rows), so that any run of positions, or of examples, is one
//! contiguous slice: threads get disjoint `&mut` slices without `unsafe`, and a position's value is still in the
//! nearest cache when its tangents need it.
//!
//! **Structural zeros.** Below the first perturbed linear there are no tangent rows at all: rows are *plain* (R rows)
//! until then and *live* (R·(1+K) rows) afterwards. [`DualRows`] carry shape and liveness with them.
//!
//! **Adjoints.** Beside its tangent rule each operation has the transpose of it, over plain rows: from the adjoint of what
//! it gives, that of what it takes. `_adjoint` functions add to adjoints, or replace them, as each says.
//!
//! The rules are those of docs/algorithm.md, 3.5.

#[cfg(test)]
mod adjoint_tests;
mod attention;
mod batch;
mod bias;
mod dropout;
mod gate;
mod head;
mod head_norm;
mod keeper;
mod linear;
mod norm;
mod parallel;
mod residual;
mod rope;
mod route;
mod rows;
mod site;

pub use attention::{Attended, Attention, Cached, MAX_HEAD, Qkv, attend_adjoint, attend_batch, attend_cache};
pub use batch::{Batch, BatchError, DualBatch, MAX_TANGENTS, Probe};
pub use bias::add_bias;
pub use gate::{Curve, gate, gate_adjoint};
pub use head::{HEAD_TILE, Head, HeadScratch, RowStats, unpack};
pub use head_norm::{norm_heads, norm_heads_adjoint};
pub use keeper::Keeper;
pub use linear::{
    Blend, Contribution, FEW, Layer, LinearEnv, LinearScratch, linear, linear_adjoint, linear_gradient,
};
pub use norm::{rms_norm, rms_norm_adjoint};
pub use parallel::{MAX_PIECES, for_each};
pub use residual::add_rows;
pub use rope::{Rope, Rotation};
pub use route::{Carry, Held, Left, MOST_SEEN, Pool, Route, RouteAdjoint, Router, Seen, route_scratch_len};
pub use rows::{DualRows, DualRowsMut, Stack};
pub use site::{Directions, Factor, Gradient, Mask, Site, Spot, TensorId};
