//! The adjoint of a linear layer with its adapter, and the gradients of its factors; with inputs dropped, its values and
//! tangents as well.

use super::*;

/// Gradients by tensor id.
struct Sums(Vec<Vec<f32>>);

impl Gradient for Sums {
    fn of(&mut self, tensor: TensorId) -> Option<&mut [f32]> {
        Some(&mut self.0[tensor.0 as usize])
    }
}

/// Every third input is left out, in another place at each position; the others count 1.5 times.
struct Thirds;

impl Thirds {
    fn factor(spot: Spot, channel: usize) -> f64 {
        let place = channel + spot.layer as usize + 2 * spot.example + spot.token;
        if place.is_multiple_of(3) { 0.0 } else { 1.5 }
    }
}

impl Mask for Thirds {
    fn apply(&self, spot: Spot, width: usize, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(width) {
            row.iter_mut().enumerate().for_each(|(i, x)| *x *= Self::factor(spot, i) as f32);
        }
    }
}

/// One direction, by tensor.
struct Along(Vec<Vec<f64>>);

impl Directions for Along {
    fn fill(&self, _: usize, _: usize, tensor: TensorId, out: &mut [f32]) {
        out.copy_from_slice(&single(&self.0[tensor.0 as usize]));
    }
}

/// y = W·x + s·U·C·D·(m ⊙ x) of every row, from x, D, C, U laid one after another.
struct Linear {
    positions: usize,
    inputs: usize,
    outputs: usize,
    rank: usize,
    scale: f64,
    w: Vec<f64>,
    /// m, as x.
    mask: Vec<f64>,
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
        let row = |(x, m): (&[f64], &[f64])| {
            let low = product(u, &product(c, &product(d, &times(x, m))));
            let wide = product(&self.w, x);
            wide.into_iter().zip(low).map(|(a, b)| a + self.scale * b).collect::<Vec<_>>()
        };
        x.chunks(self.inputs).zip(self.mask.chunks(self.inputs)).flat_map(row).collect()
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
        let rows = x.chunks(self.inputs).zip(self.mask.chunks(self.inputs));
        let rows = rows.zip(y_adjoint.chunks(self.outputs)).zip(to_x.chunks_mut(self.inputs));
        for (((x, m), y), to_x) in rows {
            let x = &times(x, m);
            let h = product(d, x);
            let core = product(c, &h);
            let c_adjoint: Vec<f64> = turned(u, y).iter().map(|v| self.scale * v).collect();
            let h_adjoint = turned(c, &c_adjoint);
            let (wide, low) = (turned(&self.w, y), times(&turned(d, &h_adjoint), m));
            to_x.iter_mut().zip(wide.iter().zip(low)).for_each(|(to, (a, b))| *to += a + b);
            outer(to_d, &h_adjoint, x);
            outer(to_c, &c_adjoint, &h);
            outer(to_u, &y.iter().map(|y| self.scale * y).collect::<Vec<_>>(), &core);
        }
        found
    }
}

fn times(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

const TOKENS: [u32; 7] = [0; 7];
const TWO: [usize; 3] = [0, 3, 7];

impl Linear {
    /// Seven positions of two examples, of whose inputs `mask` leaves out some.
    fn new(mask: Option<&Thirds>) -> Self {
        let spots = (0..2).flat_map(|example| {
            let tokens = TWO[example + 1] - TWO[example];
            (0..tokens).map(move |token| Spot { layer: 5, example, token })
        });
        let factor = |spot, i| mask.map_or(1.0, |_| Thirds::factor(spot, i));
        let mask = spots.flat_map(|spot| (0..40).map(move |i| factor(spot, i))).collect();
        Self { positions: 7, inputs: 40, outputs: 150, rank: 3, scale: 0.5, w: noise(11, 150 * 40), mask }
    }

    fn batch<'a>(&self, mask: Option<&'a Thirds>, probe: Option<Probe<'a>>) -> DualBatch<'a> {
        let rows = Batch::new(&TOKENS, &TWO, 1).unwrap();
        DualBatch { rows, probe, mask: mask.map(|mask| mask as &dyn Mask) }
    }

    fn site<'a>(&self, values: &'a [Vec<f32>; 4], with_core: bool) -> Site<'a> {
        let factor = |i: usize| Factor { values: &values[i], tensor: Some(TensorId(i as u32)) };
        let (down, core, up) = (factor(1), with_core.then(|| factor(2)), factor(3));
        Site { layer: 5, rank: self.rank, scale: self.scale as f32, down, core, up }
    }
}

#[test]
fn linear_layer_with_an_adapter() {
    holds_as_in_f64(None);
}

#[test]
fn linear_layer_whose_adapters_inputs_are_dropped() {
    holds_as_in_f64(Some(&Thirds));
}

/// The adjoint and the gradients are those of the formula.
fn holds_as_in_f64(mask: Option<&Thirds>) {
    let case = Linear::new(mask);
    let (all, y) = (noise(12, case.numbers()), noise(13, case.positions * case.outputs));
    let formula = case.adjoint(&all, &y);
    holds("linear", |x| case.value(x), &all, &y, &formula);
    let (w, y) = (single(&case.w), single(&y));
    let values = case.parts(&all).map(single);
    let weight = Matrix::from_f32(case.outputs, case.inputs, &w).unwrap();
    let run = |threads: usize, panels: usize, with_core: bool| {
        let ctx = Ctx::new(threads).unwrap().with_panel_rows(16).unwrap();
        let env = LinearEnv { ctx: &ctx, batch: case.batch(mask, None), keeper: &Nobody, integer: false };
        let layer = Layer { weight: &weight, site: Some(case.site(&values, with_core)), blend: None };
        let n = case.positions * case.rank;
        let (mut low, mut core, mut adjoints) = (vec![0.0; n], vec![0.0; n], vec![0.0; 2 * n]);
        let (mut panels, mut directions) = (vec![0.0; panels], Vec::new());
        let mut masked = vec![0.0; case.positions * case.inputs];
        let scratch = &mut LinearScratch {
            panels: &mut panels,
            low: &mut low,
            core: &mut core,
            shared: &mut [],
            directions: &mut directions,
            adjoints: &mut adjoints,
            masked: &mut masked,
        };
        let mut x_adjoint = vec![0.0; case.positions * case.inputs];
        let mut sums = Sums(values.iter().map(|v| vec![0.0; v.len()]).collect());
        let (x, y) = (read(&values[0], case.inputs), read(&y, case.outputs));
        linear_adjoint(&env, layer, y, plain(&mut x_adjoint, case.inputs), scratch);
        let to = Contribution { gradient: &mut sums, shares: None };
        linear_gradient(&env, layer, x, y, to, scratch);
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

/// Values and tangents under a mask, along directions of the inputs and of all factors, are those of the formula and of its
/// differences; one mask serves both, whatever the threads.
#[test]
fn tangents_see_the_mask_of_their_values() {
    let mask = Thirds;
    let case = Linear::new(Some(&mask));
    let (all, v) = (noise(12, case.numbers()), noise(20, case.numbers()));
    let h = 1e-3;
    let at = |h: f64| case.value(&all.iter().zip(&v).map(|(x, v)| x + h * v).collect::<Vec<_>>());
    let [a, b, c, d] = [at(h), at(-h), at(2.0 * h), at(-2.0 * h)];
    let slope = |i: usize| (8.0 * (a[i] - b[i]) - (c[i] - d[i])) / (12.0 * h);
    let slopes: Vec<f64> = (0..a.len()).map(slope).collect();
    let (w, values) = (single(&case.w), case.parts(&all).map(single));
    let weight = Matrix::from_f32(case.outputs, case.inputs, &w).unwrap();
    let along = Along(case.parts(&v).map(<[f64]>::to_vec).to_vec());
    let probe = Probe { directions: &along, tangents: 1, first_example: 0 };
    let x: Vec<f32> = values[0]
        .chunks(case.inputs)
        .zip(single(case.parts(&v)[0]).chunks(case.inputs))
        .flat_map(|(x, v)| [x, v].concat())
        .collect();
    let run = |threads: usize| {
        let ctx = Ctx::new(threads).unwrap().with_panel_rows(16).unwrap();
        let batch = case.batch(Some(&mask), Some(probe));
        let env = LinearEnv { ctx: &ctx, batch, keeper: &Nobody, integer: false };
        let layer = Layer { weight: &weight, site: Some(case.site(&values, true)), blend: None };
        let n = 2 * case.positions;
        let [mut panels, mut directions] = [(); 2].map(|()| vec![0.0; threads * 10_000]);
        let [mut low, mut core] = [(); 2].map(|()| vec![0.0; n * case.rank]);
        let (mut masked, mut y) = (vec![0.0; n * case.inputs], vec![0.0; n * case.outputs]);
        let scratch = &mut LinearScratch {
            panels: &mut panels,
            low: &mut low,
            core: &mut core,
            shared: &mut [],
            directions: &mut directions,
            adjoints: &mut [],
            masked: &mut masked,
        };
        let stack = batch.live();
        let out = DualRowsMut::new(&mut y, case.outputs, stack);
        linear(&env, layer, DualRows::new(&x, case.inputs, stack), out, Write::Set, scratch);
        y
    };
    let found = run(1);
    let rows = |first: usize| -> Vec<f32> {
        found.chunks(case.outputs).skip(first).step_by(2).flatten().copied().collect()
    };
    close("values under a mask", &rows(0), &case.value(&all));
    close("tangents under a mask", &rows(1), &slopes);
    assert!(run(2) == found && run(3) == found, "threads: other bits");
}
