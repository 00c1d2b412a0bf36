//! From a model's shape and a workload to a memory plan that fits the budget, before a weight is read.

use crate::estimator::{Cut, Needs};
use crate::optimiser::Rule;
use crate::prefix::PrefixCache;
use crate::session::Session;
use sprig_budget::{BudgetError, Bytes, Kind, Move, Plan, Region, Step, climb, code, process};
use sprig_engine::adapter::AdapterSpec;
use sprig_engine::dual::HEAD_TILE;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, Llama, PassLayout, PassSize, WeightBytes};
use sprig_ground::names;

/// What a training run asks for.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Examples of an optimiser step.
    pub batch: usize,
    /// Most tokens of an example.
    pub length: usize,
    /// K; 0 for an evaluation.
    pub tangents: usize,
    /// The adapter.
    pub adapter: Option<AdapterSpec>,
    /// Rank of an adapter that is only evaluated.
    pub frozen_rank: usize,
    /// Heap bytes of an adapter that is only evaluated.
    pub frozen_bytes: Bytes,
    /// Optimiser of the trainer; `None` for an evaluation, and where steps are taken elsewhere (see `beside`).
    pub rule: Option<Rule>,
    /// Heap bytes that the caller holds beside the session and the data, and what for.
    pub beside: Vec<(&'static str, Bytes)>,
    /// Most candidate answers of an example; `None` for a language model, which needs all logits of all rows.
    pub candidates: Option<usize>,
    /// Threads.
    pub threads: usize,
    /// Bytes of the encoded data sets.
    pub data: Bytes,
    /// Whether a prefix cache is kept.
    pub prefix: bool,
    /// Where the weights may be.
    pub residency: Residency,
    /// What reading the data takes and gives back before training begins: the tokenizer.
    pub loading: Bytes,
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

/// Sizes the ladder may shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How a batch is cut into passes.
    pub cut: Cut,
    /// Weight rows a thread dequantises at a time.
    pub panel_rows: usize,
    /// Whether weights are streamed.
    pub streamed: bool,
}

/// What the program holds besides its code and what the plan lists: data, stacks, the allocator's rounding, reports.
const REST: Bytes = Bytes::kib(448);
/// Code and constants, libraries included, that the program holds while it trains, evaluates or generates: what is hot lies
/// scattered over windows of 16 KiB. Measured on x86-64 over some hundred streamed runs: 2.8 to 3.2 MiB, and in a build
/// with the tests' assertions 3.1 to 3.6. Features that a run does not use do not count, however large the program.
const CODE: Bytes = Bytes::kib(if cfg!(debug_assertions) { 3840 } else { 3456 });
/// Of that not in memory while data are read.
const CODE_LATER: Bytes = Bytes::kib(384);

/// What a memory control group counts on top: the kernel's tables (0.8 MiB while weights are streamed), and the page cache
/// of reads under way, which cannot be given back. With less than these take the kernel kills the process at its limit,
/// whatever that process holds itself.
const CONTROL_GROUP: Bytes = Bytes::mib(3);

/// Resident bytes of the program itself.
pub fn program() -> Bytes {
    // Where the kernel does not let it be held in parts, it may be there whole.
    REST + if code::is_divided() { CODE.min(code::bytes()) } else { code::bytes() }
}

/// Time of a step with streamed weights against resident ones, while the file stays in the page cache. From flash it
/// is at least the file's size over the flash's read rate, a pass.
pub const STREAMED_TIME: f64 = 1.1;

const DATA: &str = "data";

impl Tuning {
    /// The roomiest, fastest choice for `workload`.
    pub fn widest(workload: &Workload) -> Self {
        Self {
            cut: Cut { tangents: workload.tangents, examples: workload.batch },
            panel_rows: Ctx::PANEL_ROWS,
            streamed: workload.residency == Residency::Streamed,
        }
    }

    /// Size of the largest pass.
    pub fn pass(&self, geometry: &Geometry, workload: &Workload) -> PassSize {
        let positions = self.cut.examples * workload.length;
        let spec = workload.adapter.as_ref();
        PassSize {
            positions,
            tangents: self.cut.tangents,
            wanted: if workload.candidates.is_none() { positions } else { 0 },
            candidates: workload.candidates.unwrap_or(0) * self.cut.examples,
            rank: spec.map_or(workload.frozen_rank, |s| s.rank),
            largest_tensor: spec.map_or(0, |s| s.largest_tensor(geometry)),
            threads: workload.threads,
            panel_rows: self.panel_rows,
            head_tile: HEAD_TILE,
        }
    }
}

/// Plans `workload` on a model of shape `geometry` whose file takes `weights` within `budget`.
///
/// # Errors
/// [`BudgetError::TooSmall`], naming the smallest budget that would do.
pub fn plan(
    geometry: &Geometry,
    weights: &WeightBytes,
    header: Bytes,
    workload: &Workload,
    budget: Bytes,
) -> Result<(Tuning, Plan), BudgetError> {
    let grouped = process::cgroup().limit.is_some();
    let k = workload.tangents.max(1) as f64;
    let passes = |t: &Tuning| (workload.tangents as f64 / t.cut.tangents.max(1) as f64).ceil().max(1.0);
    let fewer_tangents = |t: &Tuning| {
        (t.cut.tangents > 1).then(|| {
            let next = Tuning { cut: Cut { tangents: t.cut.tangents.div_ceil(2), ..t.cut }, ..*t };
            // Each pass computes the values anew; the tangents are shared out.
            let time_factor = (passes(&next) + k) / (passes(t) + k);
            let why = format!("{} tangents a pass instead of {}", next.cut.tangents, t.cut.tangents);
            Move { config: next, why, time_factor }
        })
    };
    let micro_batch = |t: &Tuning| {
        (t.cut.examples > 1).then(|| {
            let next = Tuning { cut: Cut { examples: t.cut.examples.div_ceil(2), ..t.cut }, ..*t };
            // Weights are dequantised once a pass: about 4 % of a pass of 512 rows, twice that at half the rows.
            let time_factor =
                1.0 + 0.04 * 512.0 / (t.cut.examples * workload.length * (1 + t.cut.tangents)).max(64) as f64;
            let why = format!("{} examples a pass instead of {}", next.cut.examples, t.cut.examples);
            Move { config: next, why, time_factor }
        })
    };
    let panels = |t: &Tuning| {
        (t.panel_rows > 16).then(|| {
            let next = Tuning { panel_rows: (t.panel_rows / 2).max(16), ..*t };
            let why = format!("weight panels of {} rows instead of {}", next.panel_rows, t.panel_rows);
            Move { config: next, why, time_factor: 1.05 }
        })
    };
    let stream = |t: &Tuning| {
        (!t.streamed && workload.residency == Residency::Auto).then(|| {
            let next = Tuning { streamed: true, ..*t };
            let why =
                format!("{} of weights mapped anew in each pass, one linear layer at a time", weights.file);
            Move { config: next, why, time_factor: STREAMED_TIME }
        })
    };
    climb(
        Tuning::widest(workload),
        &[
            Step { name: "fewer tangents per pass", next: &fewer_tangents },
            Step { name: "smaller micro-batch", next: &micro_batch },
            Step { name: "smaller tiles", next: &panels },
            Step { name: "streamed weights", next: &stream },
        ],
        budget,
        |tuning| {
            let mut regions = regions(geometry, weights, header, workload, tuning);
            if grouped {
                regions.push(
                    Region::new("kernel tables, page cache", Kind::Fixed, CONTROL_GROUP)
                        .note("counted by this process's control group"),
                );
            }
            regions
        },
    )
}

fn regions(
    geometry: &Geometry,
    weights: &WeightBytes,
    header: Bytes,
    w: &Workload,
    tuning: &Tuning,
) -> Vec<Region> {
    let layout = PassLayout::new(geometry, tuning.pass(geometry, w));
    let mut regions = vec![match tuning.streamed {
        false => Region::new("weights", Kind::Mapped, weights.file),
        true => Region::new("weights", Kind::Mapped, weights.streamed(HEAD_TILE, w.threads))
            .note("streamed: the largest linear layer, or a tile of the head"),
    }];
    regions.extend(layout.regions().into_iter().map(|(name, bytes)| Region::new(name, Kind::Arena, bytes)));
    let heap = |name: &str, bytes: u64| Region::new(name, Kind::Heap, Bytes(bytes));
    let (trainable, frozen) = w.adapter.as_ref().map_or((0, 0), |s| s.sizes(geometry));
    regions.push(heap("model tables", Llama::heap_bytes(geometry) as u64 + header.0));
    regions.push(heap("adapter", 4 * (trainable + frozen) as u64 + w.frozen_bytes.0));
    if let Some(rule) = w.rule {
        regions.push(heap("gradient", 4 * trainable as u64));
        regions.push(heap("optimiser state", 4 * (trainable * rule.moments()) as u64));
    }
    regions.extend(w.beside.iter().map(|(name, bytes)| heap(name, bytes.0)));
    let positions = layout.size().positions;
    let needs = Needs { tangents: w.tangents, scalars: w.tangents, vectors: 0 };
    let tables = Session::table_bytes(geometry.rope_dims, w.length, positions, w.batch).0;
    regions.push(heap("rotary table and batch", tables + needs.bytes(w.batch, trainable).0));
    regions.push(heap(DATA, w.data.0));
    if w.prefix {
        regions.push(heap(
            "prefix cache window",
            PrefixCache::heap_bytes(w.length, geometry.width, positions, w.batch).0,
        ));
    }
    // Before all this there was the tokenizer; the process never held both.
    let training: Bytes = regions.iter().filter(|r| r.name != DATA).map(|r| r.bytes).sum();
    let loading = w.loading.0.saturating_sub(CODE_LATER.0);
    if loading > training.0 {
        regions.push(
            heap("tokenizer, beyond the above", loading - training.0)
                .note("while the data is read, before training"),
        );
    }
    regions.push(Region::new("program", Kind::Fixed, program()));
    regions
}
