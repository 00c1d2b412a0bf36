//! Dropout of adapters' inputs: y = W·x + s·U·C·D·(m ⊙ x), where m is 0 or 1/(1 − p) for each position and channel. Tangents
//! go through the same m, and so does the adjoint: x̄ += m ⊙ (h̄·D). The frozen product never sees it, nor does any layer
//! without an adapter. A mask is a function of where it applies and is held nowhere; what it leaves of the rows is, until the
//! layer is done.

use super::batch::DualBatch;
use super::parallel::{examples_in_turn, for_each};
use super::rows::{DualRows, DualRowsMut};
use super::site::{Mask, Spot};
use crate::kernels::Ctx;

/// m ⊙ x, values and tangents, in `room`; x as it is where nothing is dropped.
pub(super) fn masked<'r>(
    ctx: &Ctx,
    batch: &DualBatch<'_>,
    layer: u32,
    x: DualRows<'r>,
    room: &'r mut [f32],
) -> DualRows<'r> {
    let Some(mask) = batch.mask else { return x };
    let mut rows = DualRowsMut::new(room, x.width(), x.stack());
    rows.data().copy_from_slice(x.data());
    apply(ctx, batch, (mask, layer), &mut rows);
    rows.into_rows()
}

/// Multiplies the mask of `layer` into `rows`.
pub(super) fn apply(
    ctx: &Ctx,
    batch: &DualBatch<'_>,
    (mask, layer): (&dyn Mask, u32),
    rows: &mut DualRowsMut<'_>,
) {
    let (width, group) = (rows.width(), rows.group());
    let pieces = examples_in_turn(&ctx.pool, &batch.rows, rows.data(), group);
    for_each(&ctx.pool, pieces, |(examples, first_position, rows)| {
        for example in examples {
            let span = batch.rows.span(example);
            let mine = &mut rows[(span.start - first_position) * group..][..span.len() * group];
            for (token, rows) in mine.chunks_exact_mut(group).enumerate() {
                mask.apply(Spot { layer, example, token }, width, rows);
            }
        }
    });
}
