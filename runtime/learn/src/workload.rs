//! What is asked of a model, in the numbers that decide its memory.

use crate::data::Task;
use crate::dropout::Dropout;
use crate::estimator::buffers::Needs;
use crate::objective::{Choice, Extent, Objective};
use crate::optimiser::Rule;
use sprig_budget::Bytes;
use sprig_engine::adapter::AdapterSpec;
use sprig_engine::dual::HEAD_TILE;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Checkpoints, Geometry, PREFILL, PassLayout, PassSize, RouteSize};
use sprig_ground::names;
use std::sync::Arc;

/// Data of a run that is only foreseen: room for some 250,000 tokens.
const DATA_ALLOWANCE: Bytes = Bytes::mib(1);

/// What is asked of a model. Made by [`training`](Self::training), [`evaluation`](Self::evaluation) or
/// [`generation`](Self::generation); what only the data tell is filled in once they are read.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Examples of an optimiser step, or of one pass of an evaluation.
    pub batch: usize,
    /// Most tokens of an example, or of a text that is continued.
    pub length: usize,
    /// Most candidate answers of an example; 0 where tokens are the targets.
    pub candidates: usize,
    /// What is learnt, or judged by: decides which rows and logits of an example are wanted.
    pub objective: Arc<dyn Objective>,
    /// What the estimator takes.
    pub needs: Needs,
    /// Whether inputs of the adapter are dropped.
    pub dropout: bool,
    /// The adapter.
    pub adapter: Adapted,
    /// Optimiser of the trainer; `None` where nothing trains, and where steps are taken elsewhere (see
    /// `held_elsewhere`).
    pub rule: Option<Rule>,
    /// Heap bytes that the caller holds beside the session and the data, and what for.
    pub held_elsewhere: Vec<(&'static str, Bytes)>,
    /// Whether a text is continued: keys and values are kept, and so is the tokenizer.
    pub generates: bool,
    /// Bytes of the encoded data sets.
    pub data: Bytes,
    /// What reading them takes beyond that and a usual record: the longest lines.
    pub reading: Bytes,
    /// Whether a prefix cache is kept.
    pub prefix: bool,
    /// What it may use.
    pub means: Means,
}

/// What a workload may use of the machine, beside its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// Threads.
    pub threads: usize,
    /// Where the weights may be.
    pub residency: Residency,
}

/// Where weights are between their uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residency {
    /// In memory if the budget allows it.
    Auto,
    /// In memory, or the budget is refused.
    Resident,
    /// In the file: a linear layer at a time is mapped, used and released.
    Streamed,
}

names!(Residency, "place for the weights", [Auto = "auto", Resident = "resident", Streamed = "streamed"]);

/// The adapter of a workload.
#[derive(Clone, Debug, PartialEq)]
pub enum Adapted {
    /// None: the model as it is.
    Plain,
    /// Made from its specification.
    Made(AdapterSpec),
    /// Read from a file, to be used as it is.
    Read {
        /// Its largest rank.
        rank: usize,
        /// Its bytes on the heap.
        bytes: Bytes,
        /// What reading it takes beside them.
        loading: Bytes,
        /// Routed blocks and what a router looks at, of two adapters in one.
        routes: Option<(usize, usize)>,
    },
}

/// How a batch is cut to fit the budget; the gradient is the same for every cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Tangents carried by one pass.
    pub tangents: usize,
    /// Examples of one pass.
    pub examples: usize,
}

/// Sizes the ladder may shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How a batch is cut into passes.
    pub cut: Cut,
    /// Weight rows a thread dequantises at a time.
    pub panel_rows: usize,
    /// Whether weights are streamed.
    pub streamed: bool,
    /// Blocks of a run whose inputs are kept together for a pass backwards, beside the first of each other run; 1 keeps all.
    pub run: usize,
}

/// The most that a session can run.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// The largest pass.
    pub layout: PassLayout,
    /// The largest example.
    pub extent: Extent,
    /// Most examples of a batch.
    pub examples: usize,
}

impl Workload {
    /// Training of `spec` by an estimator of `needs`. Without a `rule`, steps are taken elsewhere.
    pub fn training(
        objective: Arc<dyn Objective>,
        spec: AdapterSpec,
        batch: usize,
        needs: Needs,
        rule: Option<Rule>,
        means: Means,
    ) -> Self {
        let prefix = spec.lowest_block() > 0;
        Self { needs, rule, prefix, ..Self::evaluation(objective, Adapted::Made(spec), batch, means) }
    }

    /// The same with some of the adapter's inputs dropped, or none.
    pub fn under(self, dropout: Dropout) -> Self {
        Self { dropout: dropout.is_on(), ..self }
    }

    /// Judging examples, `batch` at a time.
    pub fn evaluation(objective: Arc<dyn Objective>, adapter: Adapted, batch: usize, means: Means) -> Self {
        Self {
            batch,
            length: 0,
            candidates: 0,
            objective,
            needs: Needs::NOTHING,
            dropout: false,
            adapter,
            rule: None,
            held_elsewhere: Vec::new(),
            generates: false,
            data: Bytes::ZERO,
            reading: Bytes::ZERO,
            prefix: false,
            means,
        }
    }

    /// Continuing one text up to `length` tokens in all.
    pub fn generation(adapter: Adapted, length: usize, means: Means) -> Self {
        // The one row whose logits are wanted has a place of its own: no answers are chosen among.
        Self { length, generates: true, ..Self::evaluation(Arc::new(Choice), adapter, 1, means) }
    }

    /// The same before any data are read: for `task`, with examples as long as they may be.
    pub fn foreseen(self, task: Task, length: usize) -> Self {
        let (candidates, length) = match task {
            Task::Lm => (0, length),
            // Of the two completions each may be nearly as long.
            Task::Pair => (0, 2 * length),
            Task::Choice => (26, length),
            Task::Label => (64, length),
        };
        Self { length, candidates, data: DATA_ALLOWANCE, ..self }
    }

    /// Block inputs that its passes keep, in runs of so many blocks.
    pub(crate) fn kept(&self, geometry: &Geometry, run: usize) -> Checkpoints {
        let below = self.adapter.lowest_block().unwrap_or(0).min(geometry.blocks);
        if self.needs.backward {
            Checkpoints { blocks: geometry.blocks - below, run }
        } else {
            Checkpoints::NONE
        }
    }

    /// Plain forward passes of an example that a step is worth when it is cut by `tuning`, by arithmetic ([`Needs::passes`]).
    pub fn passes(&self, geometry: &Geometry, tuning: &Tuning) -> f64 {
        let lowest = self.adapter.lowest_block().unwrap_or(0);
        let upper = (geometry.blocks - lowest) as f64 / geometry.blocks as f64;
        let anew = self.kept(geometry, tuning.run).anew() as f64 / geometry.blocks as f64;
        self.batch as f64 * (self.needs.passes(tuning.cut.tangents, upper) + anew)
    }

    /// How large its examples are.
    pub fn extent(&self) -> Extent {
        Extent { tokens: self.length, candidates: self.candidates }
    }

    /// The most of it that a session runs, in passes of `layout`.
    pub fn room(&self, layout: PassLayout) -> Room {
        Room { layout, extent: self.extent(), examples: self.batch }
    }
}

impl Adapted {
    /// Largest rank; 0 without an adapter.
    pub fn rank(&self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Made(spec) => spec.largest_rank(),
            Self::Read { rank, .. } => *rank,
        }
    }

    /// (trainable numbers, bytes on the heap in all) on a model of shape `geometry`.
    pub fn sizes(&self, geometry: &Geometry) -> (usize, Bytes) {
        match self {
            Self::Plain => (0, Bytes::ZERO),
            Self::Made(spec) => {
                let (trainable, frozen) = spec.sizes(geometry);
                (trainable, Bytes(4 * (trainable + frozen) as u64))
            }
            Self::Read { bytes, .. } => (0, *bytes),
        }
    }

    /// Bytes on the heap that making it takes beside that, and gives back before anything runs.
    pub fn making(&self, geometry: &Geometry, threads: usize, panel_rows: usize) -> Bytes {
        match self {
            Self::Made(spec) => spec.making_bytes(geometry, threads, panel_rows),
            Self::Read { loading, .. } => *loading,
            Self::Plain => Bytes::ZERO,
        }
    }

    /// The lowest adapted block, where it is known before the adapter is.
    pub fn lowest_block(&self) -> Option<usize> {
        match self {
            Self::Made(spec) => Some(spec.lowest_block()),
            Self::Plain | Self::Read { .. } => None,
        }
    }

    /// Routed blocks of two adapters in one, and numbers that a router looks at, on a model of shape `geometry`.
    pub fn routes(&self, geometry: &Geometry) -> Option<(usize, usize)> {
        match self {
            Self::Made(spec) => spec.routing.map(|routing| (spec.blocks().len(), routing.width(geometry))),
            Self::Read { routes, .. } => *routes,
            Self::Plain => None,
        }
    }

    fn widest_input(&self, geometry: &Geometry) -> usize {
        match self {
            Self::Made(spec) => spec.widest_input(geometry),
            Self::Plain | Self::Read { .. } => 0,
        }
    }

    fn largest_tensor(&self, geometry: &Geometry) -> usize {
        match self {
            Self::Made(spec) => spec.largest_tensor(geometry),
            Self::Plain | Self::Read { .. } => 0,
        }
    }
}

impl Tuning {
    /// The roomiest, fastest choice for `workload`.
    pub fn widest(workload: &Workload) -> Self {
        Self {
            cut: Cut { tangents: workload.needs.tangents, examples: workload.batch },
            panel_rows: Ctx::PANEL_ROWS,
            streamed: workload.means.residency == Residency::Streamed,
            run: 1,
        }
    }

    /// Size of the largest pass.
    pub fn pass(&self, geometry: &Geometry, workload: &Workload) -> PassSize {
        let longest = if workload.generates { workload.length.min(PREFILL) } else { workload.length };
        let (positions, wants) = (self.cut.examples * longest, workload.objective.wants(workload.extent()));
        PassSize {
            positions,
            tangents: self.cut.tangents,
            wanted: wants.rows * self.cut.examples,
            candidates: wants.logits * self.cut.examples,
            rank: workload.adapter.rank(),
            largest_tensor: workload.adapter.largest_tensor(geometry),
            masked: if workload.dropout { workload.adapter.widest_input(geometry) } else { 0 },
            kept: workload.kept(geometry, self.run),
            threads: workload.means.threads,
            panel_rows: self.panel_rows,
            head_tile: HEAD_TILE,
            routes: workload.adapter.routes(geometry).map(|(blocks, width)| RouteSize {
                blocks,
                width,
                examples: self.cut.examples,
                features: workload.needs.features,
            }),
        }
    }
}
