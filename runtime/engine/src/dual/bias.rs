//! A frozen bias: y = x + b; ẏ = ẋ, x̄ = ȳ. Neither tangents nor adjoints see it.

use super::parallel::{for_each, piece_len};
use super::rows::DualRowsMut;
use crate::kernels::Ctx;

/// Adds `bias` to the value of every position of `x`: \[positions × (1+K)\] × width.
pub fn add_bias(ctx: &Ctx, bias: &[f32], mut x: DualRowsMut<'_>) {
    assert_eq!(x.width(), bias.len(), "width of a bias");
    let (group, positions) = (x.group(), x.stack().positions);
    let piece = piece_len(&ctx.pool, positions) * group;
    for_each(&ctx.pool, x.data().chunks_mut(piece), |x| {
        for x in x.chunks_exact_mut(group) {
            x.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::rows::Stack;
    use super::*;

    #[test]
    fn values_move_and_tangents_stay() {
        let mut x: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let rows = DualRowsMut::new(&mut x, 2, Stack { positions: 2, tangents: 2 });
        add_bias(&Ctx::new(2).unwrap(), &[10.0, -1.0], rows);
        assert_eq!(x, [10.0, 0.0, 2.0, 3.0, 4.0, 5.0, 16.0, 6.0, 8.0, 9.0, 10.0, 11.0]);
    }
}
