//! The adjoint of attention.

use super::*;

/// Positions that each position sees.
type Sees = dyn Fn(usize) -> Vec<usize>;

/// Causal attention in f64: (output, log-sum-exp).
fn attention_of(shape: Attention, qkv: &[f64], sees: &Sees) -> (Vec<f64>, Vec<f64>) {
    let (dh, qw, kw) = (shape.head_dim, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let (q, kv) = qkv.split_at(POSITIONS * qw);
    let (k, v) = kv.split_at(POSITIONS * kw);
    let (mut out, mut lse) = (vec![0.0; POSITIONS * qw], vec![0.0; POSITIONS * shape.heads]);
    for (r, h) in (0..POSITIONS).flat_map(|r| (0..shape.heads).map(move |h| (r, h))) {
        let at = |j: usize| j * kw + h / (shape.heads / shape.kv_heads) * dh;
        let q = &q[r * qw + h * dh..][..dh];
        let seen = sees(r);
        let score = |&j: &usize| (dot(q, &k[at(j)..][..dh]) / (dh as f64).sqrt()).exp();
        let e: Vec<f64> = seen.iter().map(score).collect();
        let z: f64 = e.iter().sum();
        lse[r * shape.heads + h] = z.ln();
        for (j, e) in seen.into_iter().zip(e) {
            for i in 0..dh {
                out[r * qw + h * dh + i] += e / z * v[at(j) + i];
            }
        }
    }
    (out, lse)
}

/// The formula of the rule: adjoints of q, k and v, one after another.
fn attention_adjoint(shape: Attention, qkv: &[f64], y: &[f64], sees: &Sees) -> Vec<f64> {
    let (dh, qw, kw) = (shape.head_dim, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let (out, lse) = attention_of(shape, qkv, sees);
    let mut found = vec![0.0; qkv.len()];
    for (r, h) in (0..POSITIONS).flat_map(|r| (0..shape.heads).map(move |h| (r, h))) {
        let q = r * qw + h * dh;
        let d = dot(&y[q..q + dh], &out[q..q + dh]);
        for j in sees(r) {
            let k = POSITIONS * qw + j * kw + h / (shape.heads / shape.kv_heads) * dh;
            let v = k + POSITIONS * kw;
            let root = (dh as f64).sqrt();
            let p = (dot(&qkv[q..q + dh], &qkv[k..k + dh]) / root - lse[r * shape.heads + h]).exp();
            let s = p * (dot(&y[q..q + dh], &qkv[v..v + dh]) - d) / root;
            for i in 0..dh {
                found[q + i] += s * qkv[k + i];
                found[k + i] += s * qkv[q + i];
                found[v + i] += p * y[q + i];
            }
        }
    }
    found
}

#[test]
fn attention() {
    let tokens = [0u32; POSITIONS];
    let batch = Batch::new(&tokens, &STARTS, 1).unwrap();
    let own = |r: usize| -> Vec<usize> {
        let starts = STARTS.partition_point(|&start| start <= r);
        (STARTS[starts - 1]..=r).collect()
    };
    holds_over(&batch, Attention::ALL, &own);
    // Of less than a tile of keys, and of more.
    for window in [1, 9, 66] {
        let last = move |r: usize| own(r).into_iter().rev().take(window).collect();
        holds_over(&batch, window, &last);
    }
}

/// Branches see the prompt of their example, whose keys get what all branches send back.
#[test]
fn attention_of_branches() {
    let tokens = [0u32; POSITIONS];
    // Prompts of less than a tile of keys, and of more.
    for (prompt, first, last) in [(12, 25, 50), (66, 70, 72)] {
        let (sequences, prompts) = ([0, first, last, POSITIONS], [prompt]);
        let batch = Batch::new(&tokens, &[0, POSITIONS], 1).unwrap().of_sequences(&sequences).unwrap();
        let sees = move |r: usize| {
            let start = sequences[sequences.partition_point(|&start| start <= r) - 1];
            let trunk = if start > 0 { 0..prompt } else { 0..0 };
            trunk.chain(start..=r).collect()
        };
        let branching = batch.prompted(&prompts).branching();
        holds_over(&branching, Attention::ALL, &sees);
        for window in [7, 30] {
            let last = move |r: usize| {
                let seen: Vec<usize> = sees(r);
                seen[seen.len().saturating_sub(window)..].to_vec()
            };
            holds_over(&branching, window, &last);
        }
    }
}

/// Attention and its adjoint over `batch`, of which each position sees what `sees` says: the last `window` of the text.
fn holds_over(batch: &Batch<'_>, window: usize, sees: &Sees) {
    for (heads, kv_heads, head_dim) in [(3, 1, 6), (2, 2, 8), (4, 2, 36)] {
        let shape = Attention { window, ..Attention::new(heads, kv_heads, head_dim) };
        let (qw, kw) = (heads * head_dim, kv_heads * head_dim);
        let (qkv, y) = (noise(9, POSITIONS * (qw + 2 * kw)), noise(10, POSITIONS * qw));
        let formula = attention_adjoint(shape, &qkv, &y, sees);
        holds("attention", |x| attention_of(shape, x, sees).0, &qkv, &y, &formula);
        let (qkv, y) = (single(&qkv), single(&y));
        let (q, kv) = qkv.split_at(POSITIONS * qw);
        let (k, v) = kv.split_at(POSITIONS * kw);
        let qkv = Qkv { q: read(q, qw), k: read(k, kw), v: read(v, kw) };
        let run = |threads: usize| {
            let ctx = Ctx::new(threads).unwrap();
            let (mut out, mut lse) = (vec![0.0; POSITIONS * qw], vec![0.0; POSITIONS * heads]);
            attend_batch(&ctx, shape, batch, qkv, plain(&mut out, qw), Some(&mut lse));
            let attended = Attended { qkv, out: read(&out, qw), lse: &lse, out_adjoint: read(&y, qw) };
            let mut found = vec![f32::NAN; POSITIONS * (qw + 2 * kw)];
            let rows = DualRowsMut::split(&mut found, Stack::plain(POSITIONS), [qw, kw, kw]);
            attend_adjoint(&ctx, shape, batch, attended, rows);
            found
        };
        let found = run(1);
        close("attention", &found, &formula);
        for threads in [2, 3, 16] {
            assert!(run(threads) == found, "{threads} threads give other bits");
        }
    }
}
