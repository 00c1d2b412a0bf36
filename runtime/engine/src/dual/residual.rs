//! Sums of rows, for branches that join the residual stream behind a norm of their own: y = x + b; ẏ = ẋ + ḃ, and both have ȳ
//! for their adjoint.

use super::parallel::{for_each, piece_len};
use super::rows::{DualRows, DualRowsMut};
use crate::kernels::Ctx;

/// Adds `branch` to `x`, tangents included, both \[positions × (1+K)\] × width. Where `x` is live and `branch` plain, to the
/// values alone.
///
/// # Panics
/// If `branch` is live and `x` is not.
pub fn add_rows(ctx: &Ctx, branch: DualRows<'_>, mut x: DualRowsMut<'_>) {
    assert!(branch.stack() == x.stack() || branch.stack().tangents == 0, "a live branch joins a live stream");
    let (group, of_branch, positions) = (x.group(), branch.group(), x.stack().positions);
    let piece = piece_len(&ctx.pool, positions);
    let pieces = x.data().chunks_mut(piece * group).zip(branch.data().chunks(piece * of_branch));
    for_each(&ctx.pool, pieces, |(x, branch)| {
        for (x, branch) in x.chunks_exact_mut(group).zip(branch.chunks_exact(of_branch)) {
            x.iter_mut().zip(branch).for_each(|(x, b)| *x += b);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::rows::Stack;
    use super::*;

    #[test]
    fn tangents_join_tangents_and_values_values() {
        let ctx = Ctx::new(2).unwrap();
        let live = Stack { positions: 2, tangents: 1 };
        let mut x: Vec<f32> = (0..8).map(|i| i as f32).collect();
        let b = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0];
        add_rows(&ctx, DualRows::new(&b, 2, live), DualRowsMut::new(&mut x, 2, live));
        assert_eq!(x, [10.0, 21.0, 32.0, 43.0, 54.0, 65.0, 76.0, 87.0]);
        add_rows(&ctx, DualRows::new(&b[..4], 2, Stack::plain(2)), DualRowsMut::new(&mut x, 2, live));
        assert_eq!(x, [20.0, 41.0, 32.0, 43.0, 84.0, 105.0, 76.0, 87.0]);
    }
}
