//! Two adapters of a layer, blended: values, tangents, adjoints, and what has no share of a position.

use super::*;
use std::ops::Range;

const TOKENS: [u32; 7] = [0; 7];
const TWO: [usize; 3] = [0, 3, 7];
const INPUTS: usize = 40;
const OUTPUTS: usize = 90;
const RANK: usize = 3;
const SCALE: f64 = 0.5;
/// x, q, then D and U of the first adapter, then of the second.
const LENGTHS: [usize; 6] = [7 * INPUTS, 7, RANK * INPUTS, OUTPUTS * RANK, RANK * INPUTS, OUTPUTS * RANK];

/// Gradients by tensor id.
struct Sums(Vec<Vec<f32>>);

impl Gradient for Sums {
    fn of(&mut self, tensor: TensorId) -> Option<&mut [f32]> {
        Some(&mut self.0[tensor.0 as usize])
    }
}

/// One direction, by tensor.
struct Along(Vec<Vec<f32>>);

impl Directions for Along {
    fn fill(&self, _: usize, _: usize, tensor: TensorId, out: &mut [f32]) {
        out.copy_from_slice(&self.0[tensor.0 as usize]);
    }
}

fn place(part: usize) -> Range<usize> {
    let from: usize = LENGTHS[..part].iter().sum();
    from..from + LENGTHS[part]
}

fn parts(all: &[f64]) -> [&[f64]; 6] {
    std::array::from_fn(|part| &all[place(part)])
}

fn product(m: &[f64], x: &[f64]) -> Vec<f64> {
    m.chunks(x.len()).map(|row| dot(row, x)).collect()
}

fn turned(m: &[f64], y: &[f64]) -> Vec<f64> {
    let n = m.len() / y.len();
    (0..n).map(|j| y.iter().enumerate().map(|(o, y)| y * m[o * n + j]).sum()).collect()
}

/// y = W·x + q·s·U₀·D₀·x + (1 − q)·s·U₁·D₁·x.
fn value(w: &[f64], all: &[f64]) -> Vec<f64> {
    let [x, q, d0, u0, d1, u1] = parts(all);
    let row = |(x, q): (&[f64], &f64)| {
        let (first, second) = (product(u0, &product(d0, x)), product(u1, &product(d1, x)));
        let low = first.iter().zip(&second).map(|(a, b)| SCALE * (q * a + (1.0 - q) * b));
        product(w, x).iter().zip(low).map(|(wide, low)| wide + low).collect::<Vec<_>>()
    };
    x.chunks(INPUTS).zip(q).flat_map(row).collect()
}

/// Its transpose, in the order of the parts.
fn adjoint(w: &[f64], all: &[f64], y: &[f64]) -> Vec<f64> {
    let [x, q, d0, u0, d1, u1] = parts(all);
    let mut found = vec![0.0; all.len()];
    for (i, ((x, q), y)) in x.chunks(INPUTS).zip(q).zip(y.chunks(OUTPUTS)).enumerate() {
        let mut add = |at: usize, v: f64| found[at] += v;
        turned(w, y).iter().enumerate().for_each(|(j, v)| add(i * INPUTS + j, *v));
        for (d, u, share, sign, at) in [(d0, u0, *q, 1.0, 2), (d1, u1, 1.0 - q, -1.0, 4)] {
            let c: Vec<f64> = turned(u, y).iter().map(|v| SCALE * v).collect();
            let h = product(d, x);
            add(place(1).start + i, sign * dot(&c, &h));
            turned(d, &c).iter().enumerate().for_each(|(j, v)| add(i * INPUTS + j, share * v));
            for (r, c) in c.iter().enumerate() {
                x.iter().enumerate().for_each(|(j, x)| add(place(at).start + r * INPUTS + j, share * c * x));
            }
            for (o, y) in y.iter().enumerate() {
                let row = place(at + 1).start + o * RANK;
                h.iter().enumerate().for_each(|(r, h)| add(row + r, share * SCALE * y * h));
            }
        }
    }
    found
}

/// Shares between 0.1 and 0.9.
fn numbers(seed: u64) -> Vec<f64> {
    let mut all = noise(seed, LENGTHS.iter().sum());
    all[place(1)].iter_mut().for_each(|q| *q = f64::from((0.5 + 0.4 * *q) as f32));
    all
}

/// A layer, and working memory for up to two rows a position.
struct Case {
    ctx: Ctx,
    w: Vec<f32>,
    values: [Vec<f32>; 6],
    rooms: [Vec<f32>; 6],
}

impl Case {
    fn new(threads: usize, w: &[f64], all: &[f64]) -> Self {
        let n = 14 * RANK;
        let rooms = [40_000, n, n, n, 20_000, 2 * n].map(|len| vec![0.0; len]);
        let ctx = Ctx::new(threads).unwrap().with_panel_rows(16).unwrap();
        Self { ctx, w: single(w), values: parts(all).map(single), rooms }
    }

    fn with<T>(
        &mut self,
        (q, shares): (&[f32], Stack),
        probe: Option<Probe<'_>>,
        run: impl FnOnce(&LinearEnv<'_>, Layer<'_>, &mut LinearScratch<'_>) -> T,
    ) -> T {
        let factor = |i: usize| Factor { values: &self.values[i], tensor: Some(TensorId(i as u32)) };
        let site = |down, up| {
            let (down, up) = (factor(down), factor(up));
            Site { layer: 5, rank: RANK, scale: SCALE as f32, down, core: None, up }
        };
        let weight = Matrix::from_f32(OUTPUTS, INPUTS, &self.w).unwrap();
        let blend = Blend { other: site(4, 5), shares: DualRows::new(q, 1, shares) };
        let layer = Layer { weight: &weight, site: Some(site(2, 3)), blend: Some(blend) };
        let batch = DualBatch { rows: Batch::new(&TOKENS, &TWO, 1).unwrap(), probe, mask: None };
        let env = LinearEnv { ctx: &self.ctx, batch, keeper: &Nobody, integer: false };
        let [panels, low, core, shared, directions, adjoints] = &mut self.rooms;
        let scratch = &mut LinearScratch { panels, low, core, shared, directions, adjoints, masked: &mut [] };
        run(&env, layer, scratch)
    }
}

#[test]
fn adjoints_are_those_of_the_formula() {
    let (w, all, y) = (noise(11, OUTPUTS * INPUTS), numbers(12), noise(13, 7 * OUTPUTS));
    let formula = adjoint(&w, &all, &y);
    holds("blend", |all| value(&w, all), &all, &y, &formula);
    let y = single(&y);
    let run = |threads: usize| {
        let mut case = Case::new(threads, &w, &all);
        let (x, q) = (case.values[0].clone(), case.values[1].clone());
        let mut sums = Sums(case.values.iter().map(|v| vec![0.0; v.len()]).collect());
        let (mut pull, mut x_adjoint) = (vec![0.0; 7], vec![0.0; x.len()]);
        case.with((&q, Stack::plain(7)), None, |env, layer, scratch| {
            let y = read(&y, OUTPUTS);
            linear_adjoint(env, layer, y, plain(&mut x_adjoint, INPUTS), scratch);
            let to = Contribution { gradient: &mut sums, shares: Some(&mut pull) };
            linear_gradient(env, layer, read(&x, INPUTS), y, to, scratch);
        });
        [x_adjoint, pull, sums.0[2..].concat()].concat()
    };
    let found = run(1);
    close("blend", &found, &formula);
    assert!(run(2) == found, "two threads: other bits");
}

/// Along directions of everything at once, the shares' included.
#[test]
fn tangents_are_those_of_the_formula() {
    let (w, all, v) = (noise(11, OUTPUTS * INPUTS), numbers(12), noise(20, LENGTHS.iter().sum()));
    let at = |h: f64| value(&w, &all.iter().zip(&v).map(|(x, v)| x + h * v).collect::<Vec<_>>());
    let h = 1e-3;
    let [a, b, c, d] = [at(h), at(-h), at(2.0 * h), at(-2.0 * h)];
    let slopes: Vec<f64> = (0..a.len()).map(|i| (8.0 * (a[i] - b[i]) - (c[i] - d[i])) / (12.0 * h)).collect();
    let along = Along(parts(&v).map(single).to_vec());
    let probe = Probe { directions: &along, tangents: 1, first_example: 0 };
    let stack = Stack { positions: 7, tangents: 1 };
    let woven = |part: usize, width: usize| -> Vec<f32> {
        let (values, slopes) = (single(parts(&all)[part]), single(parts(&v)[part]));
        values.chunks(width).zip(slopes.chunks(width)).flat_map(|(a, b)| [a, b].concat()).collect()
    };
    let (x, q) = (woven(0, INPUTS), woven(1, 1));
    let run = |threads: usize| {
        let mut y = vec![0.0; 14 * OUTPUTS];
        Case::new(threads, &w, &all).with((&q, stack), Some(probe), |env, layer, scratch| {
            let out = DualRowsMut::new(&mut y, OUTPUTS, stack);
            linear(env, layer, DualRows::new(&x, INPUTS, stack), out, Write::Set, scratch);
        });
        y
    };
    let found = run(1);
    let rows =
        |first: usize| found.chunks(OUTPUTS).skip(first).step_by(2).flatten().copied().collect::<Vec<_>>();
    close("blended values", &rows(0), &at(0.0));
    close("blended tangents", &rows(1), &slopes);
    assert!(run(2) == found, "two threads: other bits");
}

/// With a share of 1 or 0 there is one adapter alone, bit for bit, position by position; a share that is neither changes
/// nothing beside it.
#[test]
fn what_has_no_share_is_not_there() {
    let (w, all) = (noise(11, OUTPUTS * INPUTS), numbers(12));
    let run = |q: [f32; 7], alone: Option<bool>| {
        let mut case = Case::new(2, &w, &all);
        let (x, mut y) = (case.values[0].clone(), vec![0.0; 7 * OUTPUTS]);
        case.with((&q, Stack::plain(7)), None, |env, layer, scratch| {
            let other = layer.blend.map(|blend| blend.other);
            let layer = match alone {
                None => layer,
                Some(first) => Layer { site: if first { layer.site } else { other }, blend: None, ..layer },
            };
            linear(env, layer, read(&x, INPUTS), plain(&mut y, OUTPUTS), Write::Set, scratch);
        });
        y
    };
    let [first, second] = [true, false].map(|first| run([0.5; 7], Some(first)));
    assert!(run([1.0; 7], None) == first && run([0.0; 7], None) == second);
    let mixed = run([1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.25], None);
    for (i, of) in [&first, &first, &second, &first, &second, &second].into_iter().enumerate() {
        let row = i * OUTPUTS..(i + 1) * OUTPUTS;
        assert!(mixed[row.clone()] == of[row], "position {i}");
    }
    let soft = run([0.25; 7], None);
    assert!(mixed[6 * OUTPUTS..] == soft[6 * OUTPUTS..]);
}
