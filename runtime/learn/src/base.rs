//! From a model file to something that runs, in the stages that every command goes through: the header, the data, the
//! plan, and only then the weights. What trains or evaluates reuses it, wherever its settings came from.

use crate::data::{DataSet, LoadOptions};
use crate::directions::initial_normals;
use crate::error::{FileError, LearnError};
use crate::objective::{CausalLm, Choice, Extent, Objective};
use crate::planner::{Tuning, Workload, plan};
use crate::prefix::PrefixCache;
use crate::session::{Room, Session};
use crate::setting::Setting;
use sprig_budget::process::{self, Status};
use sprig_budget::{Bytes, Plan, alloc, code};
use sprig_engine::adapter::{Adapter, AdapterSpec};
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, Llama, PassLayout, Stream, WeightBytes};
use sprig_engine::tokenizer::Tokenizer;
use std::path::Path;
use std::sync::Arc;

/// A model file of which only the header has been read.
pub struct Base<'m> {
    /// The file.
    pub map: &'m Mapped,
    /// Its header.
    pub gguf: Gguf<'m>,
    /// The model's shape.
    pub geometry: Geometry,
}

/// Encoded examples.
pub struct Data {
    /// What is learnt from.
    pub train: DataSet,
    /// What is judged by.
    pub held_out: Option<DataSet>,
}

/// What a run does, how it is cut to fit, and what it then holds.
pub struct Planned {
    /// What is asked for.
    pub work: Workload,
    /// How it is cut.
    pub tuning: Tuning,
    /// What it holds.
    pub plan: Plan,
}

/// A base model ready to run.
pub struct Engine<'m> {
    /// Its weights, in memory or streamed.
    pub model: Llama<'m>,
    /// Threads and instruction set.
    pub ctx: Ctx,
    /// The process just before the weights were brought into memory.
    pub before: Status,
}

impl<'m> Base<'m> {
    /// Parses the header; errors name the file.
    pub fn open(map: &'m Mapped) -> Result<Self, LearnError> {
        let gguf = Gguf::parse(map.bytes()).map_err(|e| wrong(map, e))?;
        let geometry = Geometry::read(&gguf).map_err(|e| wrong(map, e))?;
        Ok(Self { map, gguf, geometry })
    }

    /// The tokenizer. Some tens of MiB: it has to be gone before an arena is made.
    pub fn tokenizer(&self) -> Result<Tokenizer, LearnError> {
        Tokenizer::from_gguf(&self.gguf).map_err(|e| wrong(self.map, e))
    }

    /// Reads the data, held-out data with the training set's labels, and returns what that took to the system.
    pub fn data(
        &self,
        train: &Path,
        held_out: Option<&Path>,
        options: LoadOptions,
    ) -> Result<Data, LearnError> {
        code::release(); // what parsed the command line and the header
        let data = {
            let tokenizer = self.tokenizer()?;
            code::release(); // what made the tokenizer
            let train = DataSet::load(train, &options, &tokenizer)?;
            let options = LoadOptions { labels: train.labels().cloned(), ..options };
            let held_out = held_out.map(|path| DataSet::load(path, &options, &tokenizer)).transpose()?;
            Data { train, held_out }
        };
        alloc::release_free_memory();
        Ok(data)
    }

    /// Refuses examples longer than the texts the model was made for.
    pub fn check_length(&self, len: usize) -> Result<(), LearnError> {
        let context = self.geometry.context;
        match len <= context {
            true => Ok(()),
            false => Err(Setting::Len
                .error(len, format!("the model's context is {context} tokens; use that or less"))
                .into()),
        }
    }

    /// What the weights take in memory.
    pub fn weights(&self) -> Result<WeightBytes, LearnError> {
        WeightBytes::read(&self.gguf, &self.geometry).map_err(|e| wrong(self.map, e))
    }

    /// Heap bytes of the parsed header: its tables of keys and tensors.
    pub fn header_bytes(&self) -> Bytes {
        // About 96 bytes a metadata entry and 112 a tensor, with growth of the vectors.
        Bytes((self.gguf.metadata().len() * 192 + self.gguf.tensors().len() * 224) as u64)
    }

    /// Plans `work` within `budget`, or refuses with the smallest that would do.
    pub fn plan(&self, work: Workload, budget: Bytes) -> Result<Planned, LearnError> {
        let (tuning, plan) = plan(&self.geometry, &self.weights()?, self.header_bytes(), &work, budget)?;
        Ok(Planned { work, tuning, plan })
    }

    /// The model, with its weights in memory or streamed.
    pub fn model(&self, streamed: bool) -> Result<Llama<'m>, LearnError> {
        let stream = Stream::new(self.map, &self.gguf, &self.geometry).map_err(|e| wrong(self.map, e))?;
        stream.set(streamed);
        Llama::load_streamed(&self.gguf, stream).map_err(|e| wrong(self.map, e))
    }

    /// The model and threads of a plan.
    pub fn engine(&self, planned: &Planned) -> Result<Engine<'m>, LearnError> {
        code::release(); // what read the data and will not run again
        let before = process::status();
        let model = self.model(planned.tuning.streamed)?;
        let ctx = Ctx::new(planned.work.threads)
            .and_then(|ctx| ctx.with_panel_rows(planned.tuning.panel_rows))
            .map_err(|e| LearnError::Settings(e.to_string()))?;
        Ok(Engine { model, ctx, before })
    }
}

impl Data {
    /// `work` with what only the data tell: the longest example, the most candidates, the bytes.
    pub fn measure(&self, work: Workload) -> Workload {
        let sets = || std::iter::once(&self.train).chain(&self.held_out);
        Workload {
            length: sets().map(DataSet::longest).max().unwrap_or(0),
            candidates: sets().filter_map(candidates).max(),
            data: Bytes(sets().map(DataSet::bytes).sum::<usize>() as u64),
            ..work
        }
    }
}

/// Most candidates of an example; `None` for a language model.
fn candidates(data: &DataSet) -> Option<usize> {
    (!data.is_lm()).then(|| (0..data.len()).map(|i| data.candidates(i)).max().unwrap_or(0))
}

impl Engine<'_> {
    /// A new adapter that changes nothing yet; `key` seeds its start values.
    pub fn adapter(&self, spec: &AdapterSpec, key: [u32; 2]) -> Result<Adapter, LearnError> {
        Ok(Adapter::new(spec, &self.model, &self.ctx, |id, out| initial_normals(key, id, out))?)
    }

    /// The arena and tables of a plan.
    pub fn session(&self, planned: &Planned, prefix: Option<PrefixCache>) -> Result<Session<'_>, LearnError> {
        let Planned { work, tuning, .. } = planned;
        let layout = PassLayout::new(self.model.geometry(), tuning.pass(self.model.geometry(), work));
        let extent = Extent { tokens: work.length, candidates: work.candidates.unwrap_or(0) };
        let objective: Arc<dyn Objective> =
            if work.candidates.is_some() { Arc::new(Choice) } else { Arc::new(CausalLm) };
        let room = Room { layout, extent, examples: work.batch };
        Session::new(&self.model, &self.ctx, room, objective, prefix)
    }
}

fn wrong(map: &Mapped, error: impl Into<FileError>) -> LearnError {
    LearnError::File { path: map.path().to_owned(), source: error.into() }
}
