//! The adjoint of a linear layer with its adapter, and the gradients of its factors.

use super::*;

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
