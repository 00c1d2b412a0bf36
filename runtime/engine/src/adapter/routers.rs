//! The routers of an adapter, and the names of what two adapters and their routers have beside one alone.

use super::routing::{Routing, Sees};
use super::spec::{AdapterSpec, Tensor};
use crate::dual::TensorId;
use crate::model::Geometry;

/// Names of the local adapter's tensors lie beside those of the global one.
const LOCAL: u32 = 1 << 20;
/// Names of the routers' weights, by block.
const ROUTER: u32 = 1 << 21;
/// Names of their logits, by block.
const LOGIT: u32 = 1 << 22;

/// The routers of an adapter.
#[derive(Clone, Debug)]
pub(super) struct Routers {
    pub routing: Routing,
    /// Adapted blocks, ascending, each with the weights of its router.
    pub weights: Vec<(usize, Tensor)>,
}

impl Routers {
    /// Of an adapter of `blocks`, with weights from `at` on.
    pub(super) fn new(
        routing: Routing,
        blocks: impl Iterator<Item = usize>,
        g: &Geometry,
        mut at: usize,
    ) -> Self {
        let len = routing.width(g) + 1;
        let mut weights: Vec<(usize, Tensor)> = Vec::new();
        for block in blocks {
            let shared = weights.first().filter(|_| routing.sees == Sees::Text);
            let tensor = shared.map(|(_, tensor)| tensor.clone()).unwrap_or_else(|| {
                at += len;
                Tensor { id: TensorId(ROUTER + block as u32), range: at - len..at }
            });
            weights.push((block, tensor));
        }
        Self { routing, weights }
    }

    /// The routers' tensors, each once.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let once = if self.routing.sees == Sees::Text { 1 } else { usize::MAX };
        self.weights.iter().map(|(_, tensor)| tensor).take(once)
    }
}

impl AdapterSpec {
    /// The tensors of its routers, behind those of the global adapter: where they lie among the numbers that a fleet shares.
    pub fn shared_routers(&self, g: &Geometry) -> Vec<Tensor> {
        let Some(routing) = self.routing else { return Vec::new() };
        let one = Self { routing: None, ..self.clone() }.sizes(g).0;
        Routers::new(routing, self.blocks().into_iter(), g, one).tensors().cloned().collect()
    }
}

/// The name of the local adapter's tensor beside `id`.
pub(super) fn local(id: TensorId) -> TensorId {
    TensorId(id.0 + LOCAL)
}

/// The name of the logit of the router of `block`.
pub(super) fn logit(block: usize) -> TensorId {
    TensorId(LOGIT + block as u32)
}
