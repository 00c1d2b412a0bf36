//! Each adjoint rule twice: its formula, written here in f64, against central differences to 1e-9; and the operation
//! against the formula to the rounding of f32.

use super::*;
use crate::kernels::{Ctx, Matrix};

/// Positions of two sequences, of 5 and 70: more keys than a tile has, and runs that end within one.
const STARTS: [usize; 3] = [0, 5, 75];
const POSITIONS: usize = 75;

fn noise(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..n).map(|_| f64::from(next() as f32)).collect()
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Holds ⟨ȳ, ∂f/∂v⟩, by central differences of the fourth order, to ⟨x̄, v⟩ for some v.
fn holds(what: &str, f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], y_adjoint: &[f64], x_adjoint: &[f64]) {
    for seed in 90..93 {
        let v = noise(seed, x.len());
        let at = |h: f64| {
            let moved: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + h * v).collect();
            dot(&f(&moved), y_adjoint)
        };
        let h = 1e-3;
        let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
        let found = dot(x_adjoint, &v);
        let size = (dot(x_adjoint, x_adjoint) * dot(&v, &v)).sqrt();
        assert!((found - slope).abs() < 1e-9 * size, "{what}: {found} for {slope}");
    }
}

/// Holds what an operation gave to the formula.
fn close(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let size = (dot(expected, expected) / expected.len() as f64).sqrt();
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(error < 3e-5 * size, "{what}, element {i}: {found} for {expected}");
    }
}

fn plain<'a>(data: &'a mut [f32], width: usize) -> DualRowsMut<'a> {
    let positions = data.len() / width;
    DualRowsMut::new(data, width, Stack::plain(positions))
}

fn read(data: &[f32], width: usize) -> DualRows<'_> {
    DualRows::new(data, width, Stack::plain(data.len() / width))
}

#[test]
fn norm() {
    const D: usize = 40;
    const EPSILON: f64 = 1e-2;
    let (x, gain, y_adjoint) = (noise(1, 3 * D), noise(2, D), noise(3, 3 * D));
    let root = |x: &[f64]| (dot(x, x) / D as f64 + EPSILON).sqrt();
    let f = |x: &[f64]| -> Vec<f64> {
        let row = |x: &[f64]| x.iter().zip(&gain).map(|(v, g)| g * v / root(x)).collect::<Vec<_>>();
        x.chunks(D).flat_map(row).collect()
    };
    let formula: Vec<f64> = x
        .chunks(D)
        .zip(y_adjoint.chunks(D))
        .flat_map(|(x, y)| {
            let pull: Vec<f64> = y.iter().zip(&gain).map(|(y, g)| y * g).collect();
            let (rho, along) = (root(x), dot(&pull, x) / D as f64);
            (0..D).map(move |i| pull[i] / rho - x[i] * along / rho.powi(3)).collect::<Vec<_>>()
        })
        .collect();
    holds("norm", f, &x, &y_adjoint, &formula);
    let (mut y, mut found) = (single(&y_adjoint), vec![1.0; 3 * D]);
    let ctx = Ctx::new(2).unwrap();
    rms_norm_adjoint(
        &ctx,
        read(&single(&x), D),
        &single(&gain),
        EPSILON as f32,
        plain(&mut y, D),
        plain(&mut found, D),
    );
    let expected: Vec<f64> = formula.iter().map(|v| v + 1.0).collect();
    close("norm", &found, &expected);
}

#[test]
fn gate() {
    const N: usize = 130;
    let (a, u, pull) = (noise(4, N), noise(5, N), noise(6, N));
    let sigma = |a: f64| 1.0 / (1.0 + (-a).exp());
    let f = |au: &[f64]| -> Vec<f64> { (0..N).map(|i| au[i] * sigma(au[i]) * au[N + i]).collect() };
    let of_a = |i: usize| sigma(a[i]) * (1.0 + a[i] * (1.0 - sigma(a[i]))) * u[i] * pull[i];
    let formula: Vec<f64> = (0..N).map(of_a).chain((0..N).map(|i| a[i] * sigma(a[i]) * pull[i])).collect();
    let au = [&a[..], &u[..]].concat();
    holds("gate", f, &au, &pull, &formula);
    let (mut fa, mut fu, mut h) = (single(&a), single(&u), single(&pull));
    let ctx = Ctx::new(2).unwrap();
    swiglu_adjoint(&ctx, plain(&mut fa, N / 2), plain(&mut fu, N / 2), plain(&mut h, N / 2));
    close("gate", &[fa, fu].concat(), &formula);
    close("gate's output", &h, &f(&au));
}

/// The map is linear: ⟨ȳ, R·x⟩ = ⟨Rᵀ·ȳ, x⟩, with the rotation written out in f64.
#[test]
fn rotary() {
    const HEAD: usize = 8;
    const DIMS: usize = 6; // the last pair stays as it is
    let rope = Rope::new(POSITIONS, DIMS, 10_000.0, &[]);
    let y = noise(7, POSITIONS * 2 * HEAD);
    let angle = |p: usize, pair: usize| p as f64 * 10_000f64.powf(-2.0 * pair as f64 / DIMS as f64);
    let turn = |x: &[f64], sign: f64| -> Vec<f64> {
        let mut out = x.to_vec();
        for (h, head) in out.chunks_mut(HEAD).enumerate() {
            for pair in 0..DIMS / 2 {
                let (sin, cos) = (sign * angle(h / 2, pair)).sin_cos();
                let (a, b) = (head[2 * pair], head[2 * pair + 1]);
                (head[2 * pair], head[2 * pair + 1]) = (a * cos - b * sin, a * sin + b * cos);
            }
        }
        out
    };
    let formula = turn(&y, -1.0);
    holds("rotary", |x| turn(x, 1.0), &noise(8, y.len()), &y, &formula);
    let mut found = single(&y);
    rope.apply_adjoint(&Ctx::new(2).unwrap(), HEAD, plain(&mut found, 2 * HEAD), |i| i);
    close("rotary", &found, &formula);
}

/// Causal attention in f64: (output, log-sum-exp).
fn attention_of(shape: Attention, qkv: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (dh, qw, kw) = (shape.head_dim, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let (q, kv) = qkv.split_at(POSITIONS * qw);
    let (k, v) = kv.split_at(POSITIONS * kw);
    let (mut out, mut lse) = (vec![0.0; POSITIONS * qw], vec![0.0; POSITIONS * shape.heads]);
    for span in STARTS.windows(2) {
        for r in span[0]..span[1] {
            for h in 0..shape.heads {
                let at = |j: usize| j * kw + h / (shape.heads / shape.kv_heads) * dh;
                let q = &q[r * qw + h * dh..][..dh];
                let e: Vec<f64> =
                    (span[0]..=r).map(|j| (dot(q, &k[at(j)..][..dh]) / (dh as f64).sqrt()).exp()).collect();
                let z: f64 = e.iter().sum();
                lse[r * shape.heads + h] = z.ln();
                for (j, e) in (span[0]..).zip(e) {
                    for i in 0..dh {
                        out[r * qw + h * dh + i] += e / z * v[at(j) + i];
                    }
                }
            }
        }
    }
    (out, lse)
}

/// The formula of the rule: adjoints of q, k and v, one after another.
fn attention_adjoint(shape: Attention, qkv: &[f64], y: &[f64]) -> Vec<f64> {
    let (dh, qw, kw) = (shape.head_dim, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let (out, lse) = attention_of(shape, qkv);
    let mut found = vec![0.0; qkv.len()];
    for span in STARTS.windows(2) {
        for (r, h) in (span[0]..span[1]).flat_map(|r| (0..shape.heads).map(move |h| (r, h))) {
            let q = r * qw + h * dh;
            let d = dot(&y[q..q + dh], &out[q..q + dh]);
            for j in span[0]..=r {
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
    }
    found
}

#[test]
fn attention() {
    let tokens = [0u32; POSITIONS];
    let batch = Batch::new(&tokens, &STARTS, 1).unwrap();
    for (heads, kv_heads, head_dim) in [(3, 1, 6), (2, 2, 8), (4, 2, 36)] {
        let shape = Attention { heads, kv_heads, head_dim };
        let (qw, kw) = (heads * head_dim, kv_heads * head_dim);
        let (qkv, y) = (noise(9, POSITIONS * (qw + 2 * kw)), noise(10, POSITIONS * qw));
        let formula = attention_adjoint(shape, &qkv, &y);
        holds("attention", |x| attention_of(shape, x).0, &qkv, &y, &formula);
        let (qkv, y) = (single(&qkv), single(&y));
        let (q, kv) = qkv.split_at(POSITIONS * qw);
        let (k, v) = kv.split_at(POSITIONS * kw);
        let qkv = Qkv { q: read(q, qw), k: read(k, kw), v: read(v, kw) };
        let run = |threads: usize| {
            let ctx = Ctx::new(threads).unwrap();
            let (mut out, mut lse) = (vec![0.0; POSITIONS * qw], vec![0.0; POSITIONS * heads]);
            attend_batch(&ctx, shape, &batch, qkv, plain(&mut out, qw), Some(&mut lse));
            let attended = Attended { qkv, out: read(&out, qw), lse: &lse, out_adjoint: read(&y, qw) };
            let mut found = vec![f32::NAN; POSITIONS * (qw + 2 * kw)];
            let rows = DualRowsMut::split(&mut found, Stack::plain(POSITIONS), [qw, kw, kw]);
            attend_adjoint(&ctx, shape, &batch, attended, rows);
            found
        };
        let found = run(1);
        close("attention", &found, &formula);
        for threads in [2, 3, 16] {
            assert!(run(threads) == found, "{threads} threads give other bits");
        }
    }
}

struct Nobody;

impl Keeper for Nobody {
    fn about_to_use(&self, _: &Matrix<'_>, _: Option<&Matrix<'_>>) {}

    fn done_with(&self, _: &Matrix<'_>) {}
}

/// Gradients by tensor id.
struct Sums(Vec<Vec<f32>>);

impl Gradient for Sums {
    fn of(&mut self, tensor: TensorId) -> Option<&mut [f32]> {
        Some(&mut self.0[tensor.0 as usize])
    }
}

/// y = W·x + s·U·C·D·x of every row, from x, D, C, U laid one after another.
struct Linear {
    positions: usize,
    inputs: usize,
    outputs: usize,
    rank: usize,
    scale: f64,
    w: Vec<f64>,
}

impl Linear {
    fn parts<'v>(&self, all: &'v [f64]) -> [&'v [f64]; 4] {
        let lengths = [self.positions * self.inputs, self.rank * self.inputs, self.rank * self.rank];
        let (x, rest) = all.split_at(lengths[0]);
        let (d, rest) = rest.split_at(lengths[1]);
        let (c, u) = rest.split_at(lengths[2]);
        [x, d, c, u]
    }

    fn numbers(&self) -> usize {
        self.positions * self.inputs + self.rank * (self.inputs + self.rank + self.outputs)
    }

    fn value(&self, all: &[f64]) -> Vec<f64> {
        let [x, d, c, u] = self.parts(all);
        let product =
            |m: &[f64], x: &[f64]| -> Vec<f64> { m.chunks(x.len()).map(|row| dot(row, x)).collect() };
        let row = |x: &[f64]| {
            let low = product(u, &product(c, &product(d, x)));
            let wide = product(&self.w, x);
            wide.into_iter().zip(low).map(|(a, b)| a + self.scale * b).collect::<Vec<_>>()
        };
        x.chunks(self.inputs).flat_map(row).collect()
    }

    fn adjoint(&self, all: &[f64], y_adjoint: &[f64]) -> Vec<f64> {
        let [x, d, c, u] = self.parts(all);
        let product =
            |m: &[f64], x: &[f64]| -> Vec<f64> { m.chunks(x.len()).map(|row| dot(row, x)).collect() };
        let turned = |m: &[f64], y: &[f64]| -> Vec<f64> {
            let n = m.len() / y.len();
            (0..n).map(|j| y.iter().enumerate().map(|(o, y)| y * m[o * n + j]).sum()).collect()
        };
        let mut found = vec![0.0; self.numbers()];
        let (to_x, rest) = found.split_at_mut(x.len());
        let (to_d, rest) = rest.split_at_mut(d.len());
        let (to_c, to_u) = rest.split_at_mut(c.len());
        let outer = |to: &mut [f64], a: &[f64], b: &[f64]| {
            to.iter_mut().enumerate().for_each(|(i, to)| *to += a[i / b.len()] * b[i % b.len()]);
        };
        let rows =
            x.chunks(self.inputs).zip(y_adjoint.chunks(self.outputs)).zip(to_x.chunks_mut(self.inputs));
        for ((x, y), to_x) in rows {
            let h = product(d, x);
            let core = product(c, &h);
            let c_adjoint: Vec<f64> = turned(u, y).iter().map(|v| self.scale * v).collect();
            let h_adjoint = turned(c, &c_adjoint);
            let (wide, low) = (turned(&self.w, y), turned(d, &h_adjoint));
            to_x.iter_mut().zip(wide.iter().zip(low)).for_each(|(to, (a, b))| *to += a + b);
            outer(to_d, &h_adjoint, x);
            outer(to_c, &c_adjoint, &h);
            outer(to_u, &y.iter().map(|y| self.scale * y).collect::<Vec<_>>(), &core);
        }
        found
    }
}

#[test]
fn linear_layer_with_an_adapter() {
    let case = Linear { positions: 7, inputs: 40, outputs: 150, rank: 3, scale: 0.5, w: noise(11, 150 * 40) };
    let (all, y) = (noise(12, case.numbers()), noise(13, case.positions * case.outputs));
    let formula = case.adjoint(&all, &y);
    holds("linear", |x| case.value(x), &all, &y, &formula);
    let (w, y) = (single(&case.w), single(&y));
    let values = case.parts(&all).map(single);
    let weight = Matrix::from_f32(case.outputs, case.inputs, &w).unwrap();
    let tokens = [0u32; 7];
    let rows = Batch::new(&tokens, &[0, 3, 7], 1).unwrap();
    let run = |threads: usize, panels: usize, with_core: bool| {
        let ctx = Ctx::new(threads).unwrap().with_panel_rows(16).unwrap();
        let env = LinearEnv { ctx: &ctx, batch: rows.plain(), keeper: &Nobody, integer: false };
        let factor = |i: usize| Factor { values: &values[i], tensor: Some(TensorId(i as u32)) };
        let core = with_core.then(|| factor(2));
        let site = Site { rank: case.rank, scale: case.scale as f32, down: factor(1), core, up: factor(3) };
        let layer = Layer { weight: &weight, site: Some(site) };
        let n = case.positions * case.rank;
        let (mut low, mut core, mut adjoints) = (vec![0.0; n], vec![0.0; n], vec![0.0; 2 * n]);
        let (mut panels, mut directions) = (vec![0.0; panels], Vec::new());
        let scratch = &mut LinearScratch {
            panels: &mut panels,
            low: &mut low,
            core: &mut core,
            directions: &mut directions,
            adjoints: &mut adjoints,
        };
        let mut x_adjoint = vec![0.0; case.positions * case.inputs];
        let mut sums = Sums(values.iter().map(|v| vec![0.0; v.len()]).collect());
        let (x, y) = (read(&values[0], case.inputs), read(&y, case.outputs));
        linear_adjoint(&env, layer, y, plain(&mut x_adjoint, case.inputs), scratch);
        linear_gradient(&env, layer, x, y, &mut sums, scratch);
        [&x_adjoint[..], &sums.0[1], &sums.0[2], &sums.0[3]].concat()
    };
    let least = 2 * 16 * case.inputs;
    let found = run(1, least, true);
    close("linear", &found, &formula);
    for (threads, panels) in [(1, 4 * least), (2, least), (2, 5000)] {
        assert!(run(threads, panels, true) == found, "{threads} threads, panels of {panels}: other bits");
    }
    // Without a core it is as if that were the identity.
    let mut all = all;
    let at = case.numbers() - case.rank * (case.rank + case.outputs);
    for i in 0..case.rank * case.rank {
        all[at + i] = if i / case.rank == i % case.rank { 1.0 } else { 0.0 };
    }
    let y = noise(13, case.positions * case.outputs);
    let mut formula = case.adjoint(&all, &y);
    formula[at..at + case.rank * case.rank].fill(0.0);
    close("linear without a core", &run(2, least, false), &formula);
}

/// What a loss by log-sum-exp, target and rival of the logits gives the hidden row, and by a few candidates.
#[test]
fn head() {
    const D: usize = 24;
    const V: usize = 90;
    let (w, hidden, slopes) = (noise(14, V * D), noise(15, 2 * D), noise(16, 6));
    let targets = [7u32, 88];
    let logits = |x: &[f64]| -> Vec<f64> { w.chunks(D).map(|row| dot(row, x)).collect() };
    let rival = |x: &[f64], target: u32| {
        let logits = logits(x);
        (0..V).filter(|v| *v != target as usize).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap()
    };
    let rivals: Vec<usize> = hidden.chunks(D).zip(targets).map(|(x, t)| rival(x, t)).collect();
    let f = |x: &[f64]| -> Vec<f64> {
        let row = |(i, x): (usize, &[f64])| {
            let l = logits(x);
            [l.iter().map(|l| l.exp()).sum::<f64>().ln(), l[targets[i] as usize], l[rivals[i]]]
        };
        x.chunks(D).enumerate().flat_map(row).collect()
    };
    let formula: Vec<f64> = (0..2)
        .flat_map(|i| {
            let (l, s) = (logits(&hidden[i * D..][..D]), &slopes[3 * i..]);
            let z: f64 = l.iter().map(|l| l.exp()).sum();
            let row = |v: usize| &w[v * D..][..D];
            let column = |j: usize| {
                let mean: f64 = (0..V).map(|v| l[v].exp() / z * row(v)[j]).sum();
                s[0] * mean + s[1] * row(targets[i] as usize)[j] + s[2] * row(rivals[i])[j]
            };
            (0..D).map(column).collect::<Vec<_>>()
        })
        .collect();
    holds("head", f, &hidden, &slopes, &formula);
    let weights = single(&w);
    let (ctx, weight) = (Ctx::new(2).unwrap(), Matrix::from_f32(V, D, &weights).unwrap());
    let head = Head { ctx: &ctx, weight: &weight, keeper: &Nobody };
    for tile in [16, 64, V] {
        let mut pull = vec![f32::NAN; 2 * D];
        let mut buffers = [2 * tile, tile * D, 2, 8 * D, 2 * 64 * D].map(|n| vec![0.0f32; n]);
        let [logits, weights, z, rows, panels] = &mut buffers;
        let mut numbers = vec![0.0f32; 8];
        let (lse, rest) = numbers.split_at_mut(2);
        let (target, rest) = rest.split_at_mut(2);
        let (rival, rival_id) = rest.split_at_mut(2);
        let (d_lse, d_target, d_rival) = (&mut [][..], &mut [][..], &mut [][..]);
        let mut stats = RowStats { lse, target, rival, rival_id, d_lse, d_target, d_rival };
        let mut scratch = HeadScratch { logits, weights, pull: &mut pull, z, rows, panels };
        head.statistics(read(&single(&hidden), D), &targets, &mut stats, &mut scratch);
        assert_eq!(rivals, stats.rival_id.iter().map(|id| *id as usize).collect::<Vec<_>>());
        head.statistics_adjoint(&targets, stats.rival_id, &single(&slopes), &mut pull, &mut vec![0.0; 8 * D]);
        close("head", &pull, &formula);
    }
    let (candidates, mut found) = ([3u32, 50, 3], vec![0.0f32; D]);
    head.candidates_adjoint(&candidates, &single(&slopes[..3]), &mut found, &mut vec![0.0; D]);
    let of = |j: usize| candidates.iter().zip(&slopes).map(|(c, s)| s * w[*c as usize * D + j]).sum();
    close("candidates", &found, &(0..D).map(of).collect::<Vec<f64>>());
}
