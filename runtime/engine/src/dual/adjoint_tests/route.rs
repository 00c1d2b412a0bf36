//! Routers: shares, tangents and adjoints are those of the formula; none looks ahead.

use super::*;

const D: usize = 24;
const N: usize = 9;
/// Two examples; the second is of two sequences.
const EXAMPLES: [usize; 3] = [0, 4, N];
const SEQUENCES: [usize; 4] = [0, 4, 7, N];
const PROMPTS: [usize; 2] = [2, 3];
const TOKENS: [u32; N] = [0; N];
const WEIGHTS: TensorId = TensorId(0);
const LOGIT: TensorId = TensorId(1);

struct Sums(Vec<f32>);

impl Gradient for Sums {
    fn of(&mut self, _: TensorId) -> Option<&mut [f32]> {
        Some(&mut self.0)
    }
}

/// A direction of the weights, or of each example's logit.
struct Along {
    weights: Vec<f32>,
    logits: [f32; 2],
}

impl Directions for Along {
    fn fill(&self, _: usize, example: usize, tensor: TensorId, out: &mut [f32]) {
        match tensor {
            WEIGHTS => out.copy_from_slice(&self.weights),
            _ => out.copy_from_slice(&self.logits[example..=example]),
        }
    }
}

fn batch() -> Batch<'static> {
    let batch = Batch::new(&TOKENS, &EXAMPLES, 1).unwrap().prompted(&PROMPTS);
    batch.of_sequences(&SEQUENCES).unwrap()
}

/// z of the rows `seen`, one after another, by the `weights`.
fn logit(seen: &[f64], weights: &[f64]) -> f64 {
    let n = (seen.len() / D) as f64;
    let mean: Vec<f64> = (0..D).map(|j| seen.iter().skip(j).step_by(D).sum::<f64>() / n).collect();
    let mu = mean.iter().sum::<f64>() / D as f64;
    let off: Vec<f64> = mean.iter().map(|m| m - mu).collect();
    let sigma = (dot(&off, &off) / D as f64 + 1e-5).sqrt();
    dot(&weights[..D], &off) / sigma + weights[D]
}

/// Rows that position `at` is decided by.
fn seen(pool: Pool, at: usize) -> std::ops::Range<usize> {
    match pool {
        Pool::Prompt if at < 4 => 0..2,
        Pool::Prompt => 4..7,
        Pool::Prefix => SEQUENCES[SEQUENCES.iter().rposition(|&s| s <= at).unwrap()]..at + 1,
    }
}

/// q of every position; `all` is x, then the weights. Logits are moved by `shift`, by example.
fn shares(pool: Pool, all: &[f64], shift: [f64; 2]) -> Vec<f64> {
    let (x, weights) = all.split_at(N * D);
    let share = |at: usize| {
        let rows = seen(pool, at);
        let z = logit(&x[rows.start * D..rows.end * D], weights) + shift[usize::from(at >= 4)];
        1.0 / (1.0 + (-z).exp())
    };
    (0..N).map(share).collect()
}

fn numbers() -> Vec<f64> {
    noise(31, N * D + D + 1)
}

fn route(weights: &[f32], pool: Pool) -> Route<'_> {
    let weights = Factor { values: weights, tensor: Some(WEIGHTS) };
    Route { weights, logit: None, pool, follows: true, hard: false }
}

fn slopes(f: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    let h = 1e-3;
    let [a, b, c, d] = [f(h), f(-h), f(2.0 * h), f(-2.0 * h)];
    (0..a.len()).map(|i| (8.0 * (a[i] - b[i]) - (c[i] - d[i])) / (12.0 * h)).collect()
}

#[test]
fn shares_and_their_tangents_are_those_of_the_formula() {
    let (all, v) = (numbers(), noise(32, N * D + D + 1));
    let (x, weights) = (single(&all[..N * D]), single(&all[N * D..]));
    let along = Along { weights: single(&v[N * D..]), logits: [0.7, -1.3] };
    let probe = Probe { directions: &along, tangents: 1, first_example: 0 };
    let woven: Vec<f32> = x.chunks(D).zip(single(&v).chunks(D)).flat_map(|(a, b)| [a, b].concat()).collect();
    let stack = Stack { positions: N, tangents: 1 };
    let batch = batch().along(probe);
    let mut scratch = vec![0.0; route_scratch_len(D, 1)];
    for pool in Pool::ALL {
        let mut run = |route: Route<'_>, seen: DualRows<'_>| {
            let router = Router { batch, route, seen: Seen::Rows(seen) };
            assert!(router.moves());
            let mut q = vec![0.0; 2 * N];
            router.shares(DualRowsMut::new(&mut q, 1, stack), Left::default(), &mut scratch);
            let of = |first: usize| q.iter().skip(first).step_by(2).copied().collect::<Vec<f32>>();
            (of(0), of(1))
        };
        let moved = |h: f64| all.iter().zip(&v).map(|(a, v)| a + h * v).collect::<Vec<_>>();
        let (q, dq) = run(route(&weights, pool), DualRows::new(&woven, D, stack));
        close("shares", &q, &shares(pool, &all, [0.0; 2]));
        close("their tangents", &dq, &slopes(|h| shares(pool, &moved(h), [0.0; 2])));
        // Not through what is looked at.
        let held = Route { follows: false, ..route(&weights, pool) };
        let still = |h: f64| [&all[..N * D], &moved(h)[N * D..]].concat();
        let (_, dq) = run(held, DualRows::new(&woven, D, stack));
        close("of the weights alone", &dq, &slopes(|h| shares(pool, &still(h), [0.0; 2])));
        // The logits themselves.
        let weights = Factor { values: &weights, tensor: None };
        let perturbed = Route { weights, logit: Some(LOGIT), ..held };
        let (_, dq) = run(perturbed, read(&x, D));
        close("of the logits", &dq, &slopes(|h| shares(pool, &all, [0.7 * h, -1.3 * h])));
    }
}

#[test]
fn adjoints_are_those_of_the_formula() {
    let (all, pull) = (numbers(), noise(33, N));
    let (x, weights) = (single(&all[..N * D]), single(&all[N * D..]));
    let (gamma, counts) = (0.3, [2.0, 0.5]);
    for pool in Pool::ALL {
        let share = |at: usize| shares(pool, &all, [0.0; 2])[at];
        let formula = slopes_by_each(|all| dot(&shares(pool, all, [0.0; 2]), &pull), &all);
        // The regulariser moves the weights alone, and counts positions of an example evenly.
        let held = slopes_by_each(
            |w| {
                let all = [&all[..N * D], w].concat();
                let q = shares(pool, &all, [0.0; 2]);
                let of = |e: usize| {
                    let span = EXAMPLES[e]..EXAMPLES[e + 1];
                    q[span.clone()].iter().map(|q| -q.ln()).sum::<f64>() / span.len() as f64
                };
                gamma * (counts[0] * of(0) + counts[1] * of(1))
            },
            &all[N * D..],
        );
        let q: Vec<f32> = (0..N).map(|at| share(at) as f32).collect();
        let (mut gradient, mut input) = (Sums(vec![0.0; D + 1]), vec![0.0; N * D]);
        let (mut work, mut scratch) = (vec![9.0; N * D], vec![0.0; route_scratch_len(D, 0)]);
        let router =
            Router { batch: batch().plain(), route: route(&weights, pool), seen: Seen::Rows(read(&x, D)) };
        let examples = counts.map(|c| c as f32);
        let to = RouteAdjoint {
            shares: read(&q, 1),
            pull: &single(&pull),
            held: Some(Held { weight: gamma as f32, examples: &examples }),
            gradient: &mut gradient,
            input: Some(plain(&mut input, D)),
            work: &mut work,
        };
        router.adjoint(to, &mut scratch);
        close("router's input", &input, &formula[..N * D]);
        let both: Vec<f64> = formula[N * D..].iter().zip(&held).map(|(a, b)| a + b).collect();
        close("router's weights", &gradient.0, &both);
    }
}

fn slopes_by_each(f: impl Fn(&[f64]) -> f64, x: &[f64]) -> Vec<f64> {
    let at = |i: usize, h: f64| {
        let mut moved = x.to_vec();
        moved[i] += h;
        f(&moved)
    };
    (0..x.len()).map(|i| slopes(|h| vec![at(i, h)])[0]).collect()
}

/// A text that comes in pieces has the shares of the whole; and no share moves by what comes later.
#[test]
fn no_router_looks_ahead() {
    let all = numbers();
    let (x, weights) = (single(&all[..N * D]), single(&all[N * D..]));
    let mut scratch = vec![0.0; route_scratch_len(D, 0)];
    let mut run = |x: &[f32], pool: Pool, carry: Option<Carry<'_>>| {
        let n = x.len() / D;
        let starts = [0, n];
        let rows = Batch::new(&TOKENS[..n], &starts, 1).unwrap().prompted(&[3]);
        let router =
            Router { batch: rows.plain(), route: route(&weights, pool), seen: Seen::Rows(read(x, D)) };
        let mut q = vec![0.0; n];
        router.shares(plain(&mut q, 1), Left { features: None, carry }, &mut scratch);
        q
    };
    let mut later = x.clone();
    later[5 * D..].iter_mut().for_each(|v| *v *= -3.0);
    for (pool, fixed) in [(Pool::Prompt, N), (Pool::Prefix, 5)] {
        let (a, b) = (run(&x, pool, None), run(&later, pool, None));
        assert!(a[..fixed] == b[..fixed] && (fixed == N || a[fixed..] != b[fixed..]), "{pool}");
    }
    let (mut sum, mut count) = (vec![0.0; D], 0);
    let mut piece = |x: &[f32]| run(x, Pool::Prefix, Some(Carry { sum: &mut sum, count: &mut count }));
    let pieces = [piece(&x[..4 * D]), piece(&x[4 * D..5 * D]), piece(&x[5 * D..])].concat();
    assert_eq!(pieces, run(&x, Pool::Prefix, None));
}

#[test]
fn a_hard_router_takes_the_global_one_on_a_tie() {
    for (bias, q) in [(0.0, 1.0), (1e-6, 1.0), (-1e-6, 0.0)] {
        let weights = [bias];
        let weights = Factor { values: &weights, tensor: None };
        let route = Route { weights, logit: None, pool: Pool::Prompt, follows: true, hard: true };
        let router = Router { batch: batch().plain(), route, seen: Seen::Nothing };
        let (mut found, mut scratch) = (vec![9.0; N], vec![0.0; route_scratch_len(0, 0)]);
        router.shares(plain(&mut found, 1), Left::default(), &mut scratch);
        assert_eq!(found, [q; N]);
    }
}
