//! A model file in the stages that every command goes through: the header, the data, the plan, and only then the weights.

use crate::{Data, Engine, Guards, Planned, RunError};
use sprig_budget::{Bytes, Machine, alloc, code, process};
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, Stream, Transformer, WeightBytes};
use sprig_engine::tokenizer::{Tokenizer, TokenizerBytes};
use sprig_learn::data::{DataSet, LoadOptions, RECORD_BYTES};
use sprig_learn::planner::{Fitted, ModelSize, plan, reading_room};
use sprig_learn::setting::Setting;
use sprig_learn::workload::Workload;
use sprig_learn::{FileError, LearnError};
use std::path::Path;

/// Data that are read whatever the budget: so little that the refusal may as well name one that would do.
const ALWAYS_READ: Bytes = Bytes::mib(1);
/// One part of so many of what there is for reading may be examples that stay in memory: what learns needs the rest.
const HELD_SHARE: usize = 8;

/// A model file of which only the header has been read, on this machine.
pub struct Base<'m> {
    /// The file.
    pub map: &'m Mapped,
    /// Its header.
    pub gguf: Gguf<'m>,
    /// The model's shape.
    pub geometry: Geometry,
    /// The process and the machine, as they were found.
    pub machine: Machine,
    /// What the tokenizer takes. Found once, for it is read from all of the header, whose pages a run does without.
    tokenizer: TokenizerBytes,
}

impl<'m> Base<'m> {
    /// Parses the header; errors name the file.
    ///
    /// # Errors
    /// The file is no GGUF, or holds no model of a known family.
    pub fn open(map: &'m Mapped) -> Result<Self, LearnError> {
        let gguf = Gguf::parse(map.bytes()).map_err(|e| wrong(map, e))?;
        let geometry = Geometry::read(&gguf).map_err(|e| wrong(map, e))?;
        let tokenizer = Tokenizer::bytes(&gguf);
        Ok(Self { map, gguf, geometry, machine: Machine::measure(), tokenizer })
    }

    /// The tokenizer. Some tens of MiB: what trains lets it go before an arena is made.
    ///
    /// # Errors
    /// Its kind is not supported, or it contradicts itself.
    pub fn tokenizer(&self) -> Result<Tokenizer, LearnError> {
        let tokenizer = Tokenizer::from_gguf(&self.gguf).map_err(|e| wrong(self.map, e));
        code::release(); // what made the tokenizer
        alloc::release_free_memory();
        tokenizer
    }

    /// Bytes of the tokenizer, for who keeps it.
    pub fn tokenizer_bytes(&self) -> Bytes {
        self.tokenizer.kept
    }
    /// Reads the files of the data, those held out, if there are any, with the training set's labels, or the others where
    /// `options` name a part, and returns what that took to the system. No more is held than `budget` has room for beside
    /// program and tokenizer.
    ///
    /// # Errors
    /// A file that cannot be read or used, or for which there is no room; examples may be longer than the model's texts.
    /// Nothing is left out silently.
    pub fn data<P: AsRef<Path>>(
        &self,
        train: &[P],
        held_out: &[P],
        options: LoadOptions,
        budget: Bytes,
    ) -> Result<Data, RunError> {
        self.check_length(options.len)?;
        // The program's share has room for a usual record.
        let room = reading_room(&self.size()?, &self.machine, budget) + Bytes(RECORD_BYTES as u64);
        let room = usize::try_from(room.max(ALWAYS_READ).0).unwrap_or(usize::MAX);
        code::release(); // what parsed the command line and the header
        let data = {
            let tokenizer = self.tokenizer()?;
            let (rows, max_bytes) = (self.geometry.vocabulary, options.max_bytes.min(room));
            let overflow = options
                .overflow
                .map(|overflow| overflow.above_at_most((room / HELD_SHARE).max(ALWAYS_READ.0 as usize)));
            let options = LoadOptions { rows, max_bytes, overflow, ..options };
            let files = train;
            let train = DataSet::load(files, &options, &tokenizer)?;
            let max_bytes = max_bytes.saturating_sub(train.bytes());
            // Of data that are split those held out are the others.
            let (held_out, part) = match options.part {
                Some(part) => (files, Some(part.others())),
                None => (held_out, None),
            };
            let options = LoadOptions { labels: train.labels().cloned(), max_bytes, part, ..options };
            let held_out =
                (!held_out.is_empty()).then(|| DataSet::load(held_out, &options, &tokenizer)).transpose()?;
            Data { train, held_out }
        };
        alloc::release_free_memory();
        Ok(data)
    }

    /// An example that asks about `text`, with the labels that `options` name.
    ///
    /// # Errors
    /// As [`DataSet::about`].
    pub fn about(&self, text: &str, options: LoadOptions) -> Result<DataSet, RunError> {
        let options = LoadOptions { rows: self.geometry.vocabulary, ..options };
        let set = DataSet::about(text, &options, &self.tokenizer()?)?;
        alloc::release_free_memory();
        Ok(set)
    }

    /// Refuses examples longer than the texts the model was made for.
    ///
    /// # Errors
    /// [`LearnError::Settings`], with both lengths.
    pub fn check_length(&self, len: usize) -> Result<(), LearnError> {
        let context = self.geometry.context;
        match len <= context {
            true => Ok(()),
            false => Err(Setting::Len
                .error(len, format!("the model's context is {context} tokens; use that or less"))
                .into()),
        }
    }

    /// What a plan depends on of this file.
    ///
    /// # Errors
    /// A tensor that the model needs is missing.
    pub fn size(&self) -> Result<ModelSize<'_>, LearnError> {
        Ok(ModelSize {
            geometry: &self.geometry,
            weights: WeightBytes::read(&self.gguf, &self.geometry).map_err(|e| wrong(self.map, e))?,
            // About 96 bytes a metadata entry and 112 a tensor, with growth of the vectors.
            header: Bytes((self.gguf.metadata().len() * 192 + self.gguf.tensors().len() * 224) as u64),
            tokenizer: self.tokenizer,
        })
    }

    /// How `work` fits `budget`; nothing is guarded and nothing held.
    ///
    /// # Errors
    /// A budget that is too small, with the smallest that would do.
    pub fn fit(&self, work: &Workload, budget: Bytes) -> Result<Fitted, LearnError> {
        Ok(plan(&self.size()?, work, &self.machine, budget)?)
    }

    /// Plans `work` within `budget` and sets the guards behind the plan. They hold the heap to `heap_limit`, if one is
    /// given: an absolute number or a share of the budget.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and where the kernel refuses its guard.
    pub fn plan(
        &self,
        work: Workload,
        budget: Bytes,
        heap_limit: Option<Bytes>,
    ) -> Result<Planned, RunError> {
        let Fitted { tuning, layout, plan } = self.fit(&work, budget)?;
        let guards = Guards::set(&plan, heap_limit)?;
        Ok(Planned { work, tuning, layout, plan, guards })
    }

    /// The model, with its weights in memory or streamed.
    ///
    /// # Errors
    /// A tensor that is missing or of a shape or type that does not fit.
    pub fn model(&self, streamed: bool) -> Result<Transformer<'m>, LearnError> {
        let stream = Stream::new(self.map, &self.gguf, &self.geometry).map_err(|e| wrong(self.map, e))?;
        stream.set(streamed);
        Transformer::load_streamed(&self.gguf, stream).map_err(|e| wrong(self.map, e))
    }

    /// The model and threads of a plan.
    ///
    /// # Errors
    /// As [`model`](Self::model).
    pub fn engine(&self, planned: &Planned) -> Result<Engine<'m>, LearnError> {
        code::release(); // what read the data and will not run again
        let before = process::status();
        let model = self.model(planned.tuning.streamed)?;
        let ctx = Ctx::new(planned.work.means.threads)
            .and_then(|ctx| ctx.with_panel_rows(planned.tuning.panel_rows))
            .map_err(|e| LearnError::Settings(e.to_string()))?;
        Ok(Engine { model, ctx, before })
    }
}

fn wrong(map: &Mapped, error: impl Into<FileError>) -> LearnError {
    LearnError::File { path: map.path().to_owned(), source: error.into() }
}
