//! The update of an adapter's file in the trainable numbers of an adapter that was made otherwise: what training goes on
//! from where the frozen factors are not the file's but made anew, on every device the same.
//!
//! With factors P (out × r) and Q (r × in) the core is the least-squares solution of P·R·Q = B·A over the file's pair:
//! R = (PᵀP)⁻¹·(PᵀB)·(A·Qᵀ)·(Q·Qᵀ)⁻¹. It is B·A again only where that lies between the factors: what is lost is measured,
//! and refused past [`LOST`].

use super::file::{AdapterError, AdapterFile, At, LoraPair};
use super::sites::Adapter;
use super::spec::{Kind, tensor_id};
use crate::model::{Geometry, Module};
use std::ops::Range;

/// Share of a layer's update (root of squares) that may be lost: factors that are made anew are the same but for rounding.
const LOST: f64 = 1e-3;

impl AdapterFile {
    /// Gives `adapter`, a new one on a model of shape `geometry`, the update of this file. Layers that the file does not
    /// adapt stay as they are.
    ///
    /// # Errors
    /// The file adapts what `adapter` does not, at another rank, or between other frozen factors; or a weight is not finite.
    pub fn express(&self, adapter: &mut Adapter, geometry: &Geometry) -> Result<(), AdapterError> {
        let at = At(self.path());
        for (pair, place) in self.pairs().iter().zip(self.places(geometry)?) {
            let refuse = |problem: String| at.content(format!("pair `{}` {problem}", pair.base_tensor));
            let (mut a, mut b) = (vec![0.0; pair.a_len()], vec![0.0; pair.b_len()]);
            self.copy(pair, &mut a, &mut b)?;
            let layer = (place.block, place.module);
            let Some(site) = adapter.site(layer.0, layer.1, false) else {
                return Err(refuse(
                    "is of a layer that this training does not adapt; adapt all of its layers".into(),
                ));
            };
            let ratio = self.alpha() / pair.rank as f32 / site.scale;
            let core = site.core.is_some();
            if !core && site.rank != pair.rank {
                return Err(refuse(format!(
                    "has rank {}, and this training {}; use its rank",
                    pair.rank, site.rank
                )));
            }
            if adapter.kind() == Kind::BOnly && site.down.values != a {
                let problem = "has another first factor than this training draws; use the seed of the training that made it, or \
                               adapter kind lora";
                return Err(refuse(problem.into()));
            }
            if core {
                let (found, lost) = between(pair, (&a, &b), (site.down.values, site.up.values, site.rank));
                if lost > LOST {
                    return Err(refuse(format!(
                        "loses {:.1} % of its update between this training's frozen factors; use adapter kind lora and rank {}",
                        100.0 * lost,
                        pair.rank
                    )));
                }
                put(adapter, layer, 0, found.iter().map(|v| (v * f64::from(ratio)) as f32));
                continue;
            }
            if adapter.kind() == Kind::Lora {
                put(adapter, layer, 0, a.into_iter());
            }
            put(adapter, layer, 1, b.into_iter().map(|v| v * ratio));
        }
        Ok(())
    }
}

/// Fills one trainable tensor.
fn put(
    adapter: &mut Adapter,
    (block, module): (usize, Module),
    slot: u32,
    values: impl Iterator<Item = f32>,
) {
    let id = tensor_id(block, module, slot);
    let range: Option<Range<usize>> = adapter.tensors().find(|t| t.id == id).map(|t| t.range.clone());
    if let Some(range) = range {
        adapter.values_mut()[range].iter_mut().zip(values).for_each(|(own, value)| *own = value);
    }
}

/// The core between Q and P (of rank r) whose update is nearest to that of a pair, r × r; and the share of it that is lost.
fn between(pair: &LoraPair, (a, b): (&[f32], &[f32]), (q, p, r): (&[f32], &[f32], usize)) -> (Vec<f64>, f64) {
    let s = pair.rank;
    let (inp, out) = (pair.in_features, pair.out_features);
    let gram_p = product(r, r, out, |i, k| p[k * r + i], |k, j| p[k * r + j]);
    let gram_q = product(r, r, inp, |i, k| q[i * inp + k], |k, j| q[j * inp + k]);
    let up = product(r, s, out, |i, k| p[k * r + i], |k, j| b[k * s + j]);
    let down = product(s, r, inp, |i, k| a[i * inp + k], |k, j| q[j * inp + k]);
    let seen = times(&up, &down, (r, s, r)); // Pᵀ·B·A·Qᵀ
    // (PᵀP)⁻¹·seen, and then from the right by (Q·Qᵀ)⁻¹, which is symmetric.
    let left = solved(gram_p, seen.clone(), r, r);
    let core = transposed(&solved(gram_q, transposed(&left, r), r, r), r);
    let gram_b = product(s, s, out, |i, k| b[k * s + i], |k, j| b[k * s + j]);
    let gram_a = product(s, s, inp, |i, k| a[i * inp + k], |k, j| a[j * inp + k]);
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let (whole, kept) = (dot(&gram_b, &gram_a), dot(&core, &seen));
    let lost = if whole > 0.0 { ((whole - kept).max(0.0) / whole).sqrt() } else { 0.0 };
    (core, lost)
}

/// Of two matrices by their elements, over `inner`: `rows` × `cols`.
fn product(
    rows: usize,
    cols: usize,
    inner: usize,
    x: impl Fn(usize, usize) -> f32,
    y: impl Fn(usize, usize) -> f32,
) -> Vec<f64> {
    let mut out = vec![0.0; rows * cols];
    for k in 0..inner {
        for i in 0..rows {
            let left = f64::from(x(i, k));
            let row = &mut out[i * cols..][..cols];
            row.iter_mut().enumerate().for_each(|(j, v)| *v += left * f64::from(y(k, j)));
        }
    }
    out
}

fn times(x: &[f64], y: &[f64], (rows, inner, cols): (usize, usize, usize)) -> Vec<f64> {
    let mut out = vec![0.0; rows * cols];
    for i in 0..rows {
        for k in 0..inner {
            let row = &mut out[i * cols..][..cols];
            row.iter_mut().zip(&y[k * cols..]).for_each(|(v, y)| *v += x[i * inner + k] * y);
        }
    }
    out
}

fn transposed(x: &[f64], n: usize) -> Vec<f64> {
    (0..n * n).map(|at| x[at % n * n + at / n]).collect()
}

/// m⁻¹·right for a symmetric positive m (n × n) and `cols` columns, by elimination; a direction that m does not have is 0.
fn solved(mut m: Vec<f64>, mut right: Vec<f64>, n: usize, cols: usize) -> Vec<f64> {
    let largest = (0..n).map(|i| m[i * n + i]).fold(0.0, f64::max);
    let mut dead = vec![false; n];
    for k in 0..n {
        let pivot = m[k * n + k];
        if pivot <= 1e-12 * largest {
            dead[k] = true;
            continue;
        }
        for i in k + 1..n {
            let factor = m[i * n + k] / pivot;
            if factor != 0.0 {
                (k..n).for_each(|j| m[i * n + j] -= factor * m[k * n + j]);
                (0..cols).for_each(|j| right[i * cols + j] -= factor * right[k * cols + j]);
            }
        }
    }
    for k in (0..n).rev() {
        for j in 0..cols {
            let known: f64 = (k + 1..n).map(|i| m[k * n + i] * right[i * cols + j]).sum();
            let at = k * cols + j;
            right[at] = if dead[k] { 0.0 } else { (right[at] - known) / m[k * n + k] };
        }
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{AdapterMeta, AdapterSpec};
    use crate::gguf::{Gguf, Synthetic};
    use crate::kernels::Ctx;
    use crate::model::Transformer;
    use std::path::Path;

    fn number(i: usize) -> f32 {
        (i % 17) as f32 * 0.125 - 1.0
    }

    fn spec(kind: Kind, rank: usize, targets: &[Module]) -> AdapterSpec {
        let targets = targets.to_vec();
        AdapterSpec { kind, rank, alpha: 6.0, targets, layers: 1..3, kept: Vec::new(), routing: None }
    }

    /// An adapter whose random factors come from `seed`.
    fn made(model: &Transformer<'_>, spec: &AdapterSpec, seed: usize) -> Adapter {
        let normal = |_, out: &mut [f32]| {
            out.iter_mut().enumerate().for_each(|(i, v)| *v = number(i * i + 3 * i * seed + seed))
        };
        Adapter::new(spec, model, &Ctx::new(1).unwrap(), normal).unwrap()
    }

    fn written(adapter: &mut Adapter, g: &Geometry, path: &Path) -> AdapterFile {
        adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = number(i * 5));
        adapter.write(path, &AdapterMeta::of(g, &"ab".repeat(32))).unwrap();
        AdapterFile::open(path).unwrap()
    }

    #[test]
    fn the_update_of_a_file_goes_on_in_an_adapter_of_the_same_kind() {
        let (dir, bytes) = (tempfile::tempdir().unwrap(), Synthetic::tiny().bytes().unwrap());
        let (gguf, path) = (Gguf::parse(&bytes).unwrap(), dir.path().join("a.gguf"));
        let model = Transformer::load(&gguf).unwrap();
        let g = model.geometry();
        let both = [Module::Q, Module::Down];
        for kind in [Kind::Xs, Kind::XsSeeded, Kind::Lora, Kind::BOnly] {
            let mut first = made(&model, &spec(kind, 3, &both), 1);
            let file = written(&mut first, g, &path);
            let mut next = made(&model, &spec(kind, 3, &both), 1);
            file.express(&mut next, g).unwrap();
            for (found, wanted) in next.values().iter().zip(first.values()) {
                assert!((found - wanted).abs() < 1e-4, "{kind:?}: {found} {wanted}");
            }
            // Twice the scale takes half the numbers of the last factor.
            let wide = AdapterSpec { alpha: 12.0, ..spec(kind, 3, &both) };
            let mut halved = made(&model, &wide, 1);
            file.express(&mut halved, g).unwrap();
            let (full, half) = (&first.to_pairs()[0], &halved.to_pairs()[0]);
            let update = |p: &crate::adapter::Pair| {
                (0..3).map(|k| f64::from(p.b[k]) * f64::from(p.a[k * p.a.len() / 3])).sum::<f64>()
            };
            assert!((update(full) - 2.0 * update(half)).abs() < 1e-3, "{kind:?}");
            // A layer that the file does not have stays as it was made.
            let more = made(&model, &spec(kind, 3, &[Module::Q, Module::V, Module::Down]), 1);
            let mut grown = more.clone();
            file.express(&mut grown, g).unwrap();
            let pair = |a: &Adapter| a.to_pairs().into_iter().find(|p| p.module == Module::V).unwrap();
            assert_eq!(pair(&grown), pair(&more), "{kind:?}");
        }
    }

    #[test]
    fn what_cannot_go_on_is_refused_by_name() {
        let (dir, bytes) = (tempfile::tempdir().unwrap(), Synthetic::tiny().bytes().unwrap());
        let (gguf, path) = (Gguf::parse(&bytes).unwrap(), dir.path().join("a.gguf"));
        let model = Transformer::load(&gguf).unwrap();
        let g = model.geometry();
        let refused = |made_as: (Kind, usize, usize), by: (Kind, usize, &[Module])| {
            let file =
                written(&mut made(&model, &spec(made_as.0, made_as.1, &[Module::Q]), made_as.2), g, &path);
            let mut next = made(&model, &spec(by.0, by.1, by.2), 1);
            file.express(&mut next, g).unwrap_err().to_string()
        };
        let q = [Module::Q];
        let other_layer = refused((Kind::Lora, 3, 1), (Kind::Lora, 3, &[Module::Down]));
        assert!(
            other_layer.contains("blk.1.attn_q.weight") && other_layer.contains("does not adapt"),
            "{other_layer}"
        );
        let rank = refused((Kind::Lora, 3, 1), (Kind::Lora, 2, &q));
        assert!(rank.contains("rank 3, and this training 2") && rank.contains("a.gguf"), "{rank}");
        let seed = refused((Kind::BOnly, 3, 2), (Kind::BOnly, 3, &q));
        assert!(seed.contains("seed"), "{seed}");
        let lost = refused((Kind::Lora, 3, 1), (Kind::Xs, 3, &q));
        assert!(lost.contains("% of its update") && lost.contains("rank 3"), "{lost}");
    }
}
