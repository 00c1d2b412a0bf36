//! Routers that a fleet trained, in the file of the adapter that all share: whoever derives a state of its own begins with
//! them.
//!
//! | key | value | |
//! |---|---|---|
//! | `sprig.routers.sees` | string | what routers look at; without it the file has none |
//! | `sprig.routers.pool` | string | of which tokens |
//! | `sprig.routers.weights` | F32s | weights and bias, router after router |
//!
//! Metadata, for programs that load adapters take every tensor for a part of one and refuse what they do not know.

use super::routing::{Routing, Sees};
use super::spec::AdapterSpec;
use crate::dual::Pool;
use crate::gguf::{Gguf, GgufError, Writer};
use crate::model::Geometry;

/// Most weights of all routers together.
const MOST: usize = 1 << 20;

const SEES: &str = "sprig.routers.sees";
const POOL: &str = "sprig.routers.pool";
const WEIGHTS: &str = "sprig.routers.weights";

/// Routers, as a fleet trained them.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// What they look at.
    pub sees: Sees,
    /// Of which tokens.
    pub pool: Pool,
    /// Their numbers, as they lie in an adapter.
    pub weights: Vec<f32>,
}

impl Carried {
    /// How they decide.
    pub fn routing(&self) -> Routing {
        Routing { sees: self.sees, pool: self.pool, follows: true }
    }

    /// Whether they are those of the layers of `spec` on a model of shape `g`.
    pub fn fits(&self, spec: &AdapterSpec, g: &Geometry) -> bool {
        let routing = self.routing();
        self.weights.len() == routing.routers(spec.blocks().len()) * (routing.width(g) + 1)
    }

    pub(super) fn write<'s>(&self, writer: Writer<'s>) -> Writer<'s> {
        writer
            .metadata(SEES, self.sees.name())
            .metadata(POOL, self.pool.name())
            .metadata(WEIGHTS, &self.weights[..])
    }

    /// What `gguf` says; `Ok(Err(problem))` where that are no routers.
    pub(super) fn read(gguf: &Gguf<'_>) -> Result<Result<Option<Self>, String>, GgufError> {
        let Some(sees) = gguf.str(SEES)? else { return Ok(Ok(None)) };
        let (sees, pool) = match (sees.parse(), gguf.require_str(POOL)?.parse()) {
            (Ok(sees), Ok(pool)) => (sees, pool),
            (Err(e), _) | (_, Err(e)) => return Ok(Err(format!("its routers: {e}"))),
        };
        let weights = gguf.array_f32(WEIGHTS)?;
        let count = weights.as_ref().map_or(0, ExactSizeIterator::len);
        if count > MOST {
            return Ok(Err(format!("its routers have {count} weights; {MOST} are read")));
        }
        let weights: Vec<f32> = weights.into_iter().flatten().collect();
        match weights.iter().find(|w| !w.is_finite()) {
            Some(w) => Ok(Err(format!("a weight of its routers is {w}; the training that made it diverged"))),
            None => Ok(Ok(Some(Self { sees, pool, weights }))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Adapter, AdapterFile, AdapterMeta, Kind};
    use super::*;
    use crate::gguf::Synthetic;
    use crate::kernels::Ctx;
    use crate::model::{Module, Transformer};

    #[test]
    fn routers_travel_with_their_adapter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let bytes = Synthetic::tiny().bytes().unwrap();
        let gguf = Gguf::parse(&bytes).unwrap();
        let (model, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(1).unwrap());
        let g = model.geometry();
        let targets = vec![Module::Q];
        let kind = Kind::BOnly;
        let spec =
            AdapterSpec { kind, rank: 2, alpha: 2.0, targets, layers: 1..3, kept: Vec::new(), routing: None };
        let adapter = Adapter::new(&spec, &model, &ctx, |_, _| ()).unwrap();
        let weights: Vec<f32> = (0..2 * (g.width + 1)).map(|i| i as f32 / 8.0).collect();
        let carried = Carried { sees: Sees::Block, pool: Pool::Prompt, weights };
        assert!(carried.fits(&spec, g));
        assert!(!carried.fits(&AdapterSpec { layers: 0..3, ..spec.clone() }, g));
        let meta = AdapterMeta { routers: Some(carried.clone()), ..AdapterMeta::of(g, &"ab".repeat(32)) };
        adapter.write(&path, &meta).unwrap();
        assert_eq!(AdapterFile::open(&path).unwrap().meta(), &meta);
        let mut bad = carried;
        bad.weights[3] = f32::NAN;
        adapter.write(&path, &AdapterMeta { routers: Some(bad), ..meta }).unwrap();
        let refused = AdapterFile::open(&path).unwrap_err().to_string();
        assert!(refused.contains("routers") && refused.contains("NaN"), "{refused}");
    }
}
