//! A base model in memory, and what is made on it.

use crate::Planned;
use sprig_budget::process::{self, Status};
use sprig_budget::{Size, code};
use sprig_engine::adapter::{Adapter, AdapterSpec};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::Transformer;
use sprig_learn::LearnError;
use sprig_learn::data::DataSet;
use sprig_learn::directions::initial_normals;
use sprig_learn::prefix::{Origin, PrefixCache};
use sprig_learn::session::Session;
use std::path::Path;

/// A base model ready to run.
pub struct Engine<'m> {
    /// Its weights, in memory or streamed.
    pub model: Transformer<'m>,
    /// Threads and instruction set.
    pub ctx: Ctx,
    /// The process just before the weights were brought into memory.
    pub before: Status,
}

impl Engine<'_> {
    /// A new adapter that changes nothing yet; `key` seeds its start values.
    ///
    /// # Errors
    /// `spec` does not fit the model.
    pub fn adapter(&self, spec: &AdapterSpec, key: [u32; 2]) -> Result<Adapter, LearnError> {
        Ok(Adapter::new(spec, &self.model, &self.ctx, |id, out| initial_normals(key, id, out))?)
    }

    /// The arena and tables of a plan.
    ///
    /// # Errors
    /// The system has no memory for them.
    pub fn session(&self, planned: &Planned, prefix: Option<PrefixCache>) -> Result<Session<'_>, LearnError> {
        let Planned { work, layout, .. } = planned;
        code::release(); // what told of the plan and made the model
        Session::new(&self.model, &self.ctx, work.room(*layout), work.objective.clone(), prefix)
    }

    /// The cache at `path`, of at most `limit` bytes, of what the examples of `data` become in the blocks below `spec`;
    /// `None` where there are none below. `digest` is the model file's.
    pub fn prefix(
        &self,
        path: &Path,
        limit: Size,
        digest: &str,
        data: &DataSet,
        planned: &Planned,
    ) -> Option<PrefixCache> {
        let blocks = planned.work.adapter.lowest_block().filter(|&blocks| blocks > 0)?;
        let (data, width) = (data.digest(), self.model.geometry().width);
        let origin = Origin { model: digest, data, blocks, width, isa: self.ctx.isa };
        // A share makes no sense of a disk whose size we do not ask; a percentage is taken of the memory at hand.
        let limit = limit.resolve(process::memory_at_hand().unwrap_or_default());
        Some(PrefixCache::open(path, limit, &origin, planned.work.length))
    }
}
