//! Attention over a cache gives what attention over a batch gives, the row's own key among those it sees.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use half::f16;
use sprig_engine::dual::{
    Attention, Batch, Cached, DualRows, DualRowsMut, Qkv, Stack, attend_batch, attend_cache,
};
use sprig_engine::kernels::Ctx;

/// More positions than a tile of keys.
const POSITIONS: usize = 90;

/// Numbers that half floats hold, so that nothing but the way tells the two apart.
fn waves(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| f16::from_f32(2.0 * ((seed * 7919 + i * i % 911 + 3 * i) as f32).sin()).to_f32()).collect()
}

#[test]
fn each_row_of_a_cache_sees_what_it_sees_in_a_batch() {
    let windows = [Attention::ALL, 1, 20, 70];
    let shapes = [(4, 4, 16), (6, 2, 8), (4, 1, 64)];
    for ((heads, kv_heads, head_dim), window) in shapes.into_iter().flat_map(|s| windows.map(|w| (s, w))) {
        let shape = Attention { window, ..Attention::new(heads, kv_heads, head_dim) };
        let (qw, kw) = (heads * head_dim, kv_heads * head_dim);
        let (q, k, v) = (waves(POSITIONS * qw, 1), waves(POSITIONS * kw, 2), waves(POSITIONS * kw, 3));
        let (tokens, starts, ctx) = ([0; POSITIONS], [0, POSITIONS], Ctx::new(2).unwrap());
        let plain = Stack { positions: POSITIONS, tangents: 0 };
        let mut want = vec![0.0; q.len()];
        let qkv = Qkv {
            q: DualRows::new(&q, qw, plain),
            k: DualRows::new(&k, kw, plain),
            v: DualRows::new(&v, kw, plain),
        };
        let batch = Batch::new(&tokens, &starts, 1).unwrap();
        attend_batch(&ctx, shape, &batch, qkv, DualRowsMut::new(&mut want, qw, plain), None);
        let half = |rows: &[f32]| rows.iter().map(|&v| f16::from_f32(v)).collect::<Vec<_>>();
        let (keys, values) = (half(&k), half(&v));
        for rows in [1, 2, 7, POSITIONS] {
            for past in (0..POSITIONS).step_by(rows) {
                let end = POSITIONS.min(past + rows);
                let cached = Cached { past, keys: &keys[..end * kw], values: &values[..end * kw] };
                let mut found = vec![f32::NAN; (end - past) * qw];
                attend_cache(&ctx, shape, cached, &q[past * qw..end * qw], &mut found);
                let apart = found.iter().zip(&want[past * qw..]).map(|(f, w)| (f - w).abs());
                let worst = apart.fold(0.0, |worst: f32, apart| if apart <= worst { worst } else { apart });
                assert!(worst < 1e-5, "{heads}:{kv_heads}, {rows} rows after {past}: {worst}");
            }
        }
    }
}
