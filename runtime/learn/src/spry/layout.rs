//! The groups of an adapter, and where their weights lie in its flat vector: known from the model's header alone, so that
//! a coordinator needs no weights.

use super::{MAX_GROUPS, Share};
use crate::directions::initial_normals;
use crate::error::LearnError;
use sprig_budget::Bytes;
use sprig_engine::adapter::{AdapterSpec, Tensor};
use sprig_engine::dual::TensorId;
use sprig_engine::model::{Geometry, Module};
use std::ops::Range;

/// All groups of an adapter, in canonical order (block, module); behind them its routers, where it is one of two
/// adapters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    tensors: Vec<Tensor>,
    groups: Vec<Group>,
    len: usize,
}

/// The trainable tensors of one adapted linear layer, or a router: the unit of assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Block and linear layer; `None` of a router.
    pub layer: Option<(usize, Module)>,
    /// Its tensors, as places in [`Layout::tensors`].
    pub tensors: Range<usize>,
    /// Its weights, as places in the flat vector.
    pub weights: Range<usize>,
}

/// The weights of one share, one group after another: what its holder works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its tensors, ascending; their ranges are places in the part, over which Walsh functions run.
    pub tensors: Vec<Tensor>,
    /// Where each of them lies in the flat vector.
    pub places: Vec<Range<usize>>,
    /// Weights in all.
    pub len: usize,
}

impl Layout {
    /// The layout of `spec` on a model of shape `geometry`.
    ///
    /// # Errors
    /// [`LearnError::Adapter`] if `spec` does not fit the model, [`LearnError::Settings`] if it has too many groups.
    pub fn new(spec: &AdapterSpec, geometry: &Geometry) -> Result<Self, LearnError> {
        spec.check(geometry)?;
        let count = spec.layers.len() * spec.targets.len() + spec.shared_routers(geometry).len();
        if count > MAX_GROUPS {
            return Err(LearnError::Settings(format!(
                "{count} adapted layers are more than the {MAX_GROUPS} groups of a fleet; adapt fewer layers or targets"
            )));
        }
        let (mut tensors, mut groups) = (Vec::new(), Vec::with_capacity(count));
        let layers = spec.trained(geometry).into_iter();
        let layers = layers.map(|(block, module, own)| (Some((block, module)), own));
        let routers = spec.shared_routers(geometry).into_iter().map(|tensor| (None, vec![tensor]));
        for (layer, own) in layers.chain(routers) {
            let first = tensors.len();
            let weights = own[0].range.start..own[own.len() - 1].range.end;
            tensors.extend(own);
            groups.push(Group { layer, tensors: first..tensors.len(), weights });
        }
        let len = groups.last().map_or(0, |group| group.weights.end);
        Ok(Self { len, tensors, groups })
    }

    /// `groups` groups (at most [`MAX_GROUPS`]) of one tensor of `weights` weights each, of no model: for load tests.
    pub fn synthetic(groups: usize, weights: usize) -> Self {
        let groups = groups.min(MAX_GROUPS);
        let range = |i: usize| i * weights..(i + 1) * weights;
        // Names as those of the query layers of as many blocks.
        let tensor = |i: usize| Tensor { id: TensorId(14 * i as u32), range: range(i) };
        let group = |i| Group { layer: Some((i, Module::Q)), tensors: i..i + 1, weights: range(i) };
        Self {
            tensors: (0..groups).map(tensor).collect(),
            groups: (0..groups).map(group).collect(),
            len: groups * weights,
        }
    }

    /// The weights of a new adapter: bit for bit what a device's [`Adapter`](sprig_engine::adapter::Adapter) starts
    /// from under the same key.
    pub fn initial(&self, spec: &AdapterSpec, geometry: &Geometry, run_key: [u32; 2]) -> Vec<f32> {
        let one = AdapterSpec { routing: None, ..spec.clone() };
        let mut values = one.start(geometry, |id, out| initial_normals(run_key, id, out));
        values.resize(self.len, 0.0); // routers give both adapters the same share
        values
    }

    /// All trainable tensors.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// All groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Weights in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to train.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Weights of `share`, whose groups must exist.
    pub fn weights(&self, share: Share) -> usize {
        share.iter().map(|g| self.groups[g].weights.len()).sum()
    }

    /// Its heap bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.tensors.len() * size_of::<Tensor>() + self.groups.len() * size_of::<Group>()
    }

    /// Heap bytes of a part of all groups.
    pub(super) fn part_bytes(&self) -> Bytes {
        Bytes((self.tensors.len() * (size_of::<Tensor>() + size_of::<Range<usize>>())) as u64)
    }

    /// Whether all groups of `share` exist, none is named twice, and there is one.
    pub fn holds(&self, share: Share) -> bool {
        share.step > 0 && share.last().is_some_and(|last| last < self.groups.len())
    }

    /// The part of `share`, whose groups must exist.
    pub fn part(&self, share: Share) -> Part {
        let count = share.iter().map(|g| self.groups[g].tensors.len()).sum();
        let mut part = Part { tensors: Vec::with_capacity(count), places: Vec::with_capacity(count), len: 0 };
        for tensor in share.iter().flat_map(|g| &self.tensors[self.groups[g].tensors.clone()]) {
            let range = part.len..part.len + tensor.range.len();
            part.len = range.end;
            part.tensors.push(Tensor { id: tensor.id, range });
            part.places.push(tensor.range.clone());
        }
        part
    }
}

impl Part {
    /// Copies the part's weights out of the flat vector `all`.
    pub fn gather(&self, all: &[f32], part: &mut [f32]) {
        for (tensor, place) in self.tensors.iter().zip(&self.places) {
            part[tensor.range.clone()].copy_from_slice(&all[place.clone()]);
        }
    }

    /// Copies the part's weights to their places in the flat vector `all`.
    pub fn scatter(&self, part: &[f32], all: &mut [f32]) {
        for (tensor, place) in self.tensors.iter().zip(&self.places) {
            all[place.clone()].copy_from_slice(&part[tensor.range.clone()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directions::run_key;
    use sprig_engine::adapter::{Adapter, Kind};
    use sprig_engine::gguf::{Gguf, Synthetic};
    use sprig_engine::kernels::Ctx;
    use sprig_engine::model::Transformer;

    /// The coordinator, which has no weights, starts from the numbers every device starts from.
    #[test]
    fn a_layout_is_that_of_the_adapter() {
        let bytes = Synthetic::tiny().bytes().unwrap();
        let gguf = Gguf::parse(&bytes).unwrap();
        let (model, ctx, key) = (Transformer::load(&gguf).unwrap(), Ctx::new(1).unwrap(), run_key(99));
        for kind in [Kind::Lora, Kind::BOnly, Kind::Xs, Kind::XsSeeded] {
            let targets = vec![Module::Q, Module::O, Module::Down];
            let spec = AdapterSpec {
                kind,
                rank: 3,
                alpha: 6.0,
                targets,
                layers: 1..3,
                kept: Vec::new(),
                routing: None,
            };
            let adapter = Adapter::new(&spec, &model, &ctx, |id, out| initial_normals(key, id, out)).unwrap();
            let layout = Layout::new(&spec, model.geometry()).unwrap();
            assert!(layout.tensors().iter().eq(adapter.tensors()));
            assert!(layout.groups().iter().filter_map(|g| g.layer).eq(adapter.places()));
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&layout.initial(&spec, model.geometry(), key)), bits(adapter.values()));
            assert_eq!(kind == Kind::Lora, adapter.values().iter().any(|v| *v != 0.0));
            let mut end = 0;
            for group in layout.groups() {
                let tensors = &layout.tensors()[group.tensors.clone()];
                assert_eq!(group.weights, tensors[0].range.start..tensors[tensors.len() - 1].range.end);
                assert_eq!(std::mem::replace(&mut end, group.weights.end), group.weights.start);
            }
            assert_eq!(end, layout.len());
        }
    }

    #[test]
    fn a_part_has_its_weights_and_no_others() {
        let layout = Layout::synthetic(5, 3);
        let share = Share { first: 1, step: 2, count: 2 };
        let part = layout.part(share);
        let mut all: Vec<f32> = (0..15).map(|v| v as f32).collect();
        let mut own = vec![0.0; part.len];
        part.gather(&all, &mut own);
        assert_eq!(own, [3.0, 4.0, 5.0, 9.0, 10.0, 11.0]);
        part.scatter(&[-1.0; 6], &mut all);
        assert_eq!(all.iter().filter(|v| **v < 0.0).count(), 6);
        assert_eq!((all[2], all[3], all[6], all[9], all[12]), (2.0, -1.0, 6.0, -1.0, 12.0));
        assert!(layout.holds(share) && !layout.holds(Share { count: 3, ..share }));
        assert!(!layout.holds(Share { count: 0, ..share }));
    }
}
