//! From a model's shape and a workload to a memory plan that fits the budget, before a weight is read. Pure arithmetic:
//! the same model, workload, machine and budget give the same plan.

use crate::prefix::PrefixCache;
use crate::session::Session;
use crate::workload::{Cut, Residency, Tuning, Workload};
use sprig_budget::{BudgetError, Bytes, Kind, Machine, Move, Plan, Region, Step, climb};
use sprig_engine::dual::{HEAD_TILE, Rope};
use sprig_engine::model::{Checkpoints, Geometry, KvCache, PassLayout, Transformer, WeightBytes};
use sprig_engine::tokenizer::TokenizerBytes;

/// Time of a step with streamed weights against resident ones, while the file stays in the page cache. From flash it
/// is at least the file's size over the flash's read rate, a pass.
const STREAMED_TIME: f64 = 1.1;

const DATA: &str = "data";

/// What of a model file a plan depends on.
#[derive(Clone, Debug)]
pub struct ModelSize<'g> {
    /// The model's shape.
    pub geometry: &'g Geometry,
    /// What its weights take.
    pub weights: WeightBytes,
    /// Heap bytes of the parsed header.
    pub header: Bytes,
    /// What its tokenizer takes.
    pub tokenizer: TokenizerBytes,
}

/// A workload cut to fit a budget.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// How it is cut.
    pub tuning: Tuning,
    /// Its largest pass.
    pub layout: PassLayout,
    /// What it holds.
    pub plan: Plan,
}

/// Plans `work` on `model` within `budget`.
///
/// # Errors
/// [`BudgetError::TooSmall`], naming the smallest budget that would do.
pub fn plan(
    model: &ModelSize<'_>,
    work: &Workload,
    machine: &Machine,
    budget: Bytes,
) -> Result<Fitted, BudgetError> {
    let fewer_tangents = |t: &Tuning| fewer_tangents(t, work);
    let micro_batch = |t: &Tuning| micro_batch(t, work);
    let stream = |t: &Tuning| stream(t, work, model);
    let fewer_inputs = |t: &Tuning| fewer_inputs(t, work, model.geometry);
    let rungs = [
        Step { name: "fewer tangents per pass", next: &fewer_tangents },
        Step { name: "smaller micro-batch", next: &micro_batch },
        Step { name: "smaller tiles", next: &smaller_panels },
        Step { name: "streamed weights", next: &stream },
        Step { name: "fewer block inputs", next: &fewer_inputs },
    ];
    let regions = |t: &Tuning| regions(model, work, t, machine);
    let (tuning, plan) = climb(Tuning::widest(work), &rungs, budget, regions)?;
    let layout = PassLayout::new(model.geometry, tuning.pass(model.geometry, work));
    Ok(Fitted { tuning, layout, plan })
}

fn fewer_tangents(t: &Tuning, work: &Workload) -> Option<Move<Tuning>> {
    let k = work.needs.tangents.max(1) as f64;
    let passes = |t: &Tuning| (work.needs.tangents as f64 / t.cut.tangents.max(1) as f64).ceil().max(1.0);
    (t.cut.tangents > 1).then(|| {
        let next = Tuning { cut: Cut { tangents: t.cut.tangents.div_ceil(2), ..t.cut }, ..*t };
        // Each pass computes the values anew; the tangents are shared out.
        let time_factor = (passes(&next) + k) / (passes(t) + k);
        let why = format!("{} tangents a pass instead of {}", next.cut.tangents, t.cut.tangents);
        Move { config: next, why, time_factor }
    })
}

fn micro_batch(t: &Tuning, work: &Workload) -> Option<Move<Tuning>> {
    (t.cut.examples > 1).then(|| {
        let next = Tuning { cut: Cut { examples: t.cut.examples.div_ceil(2), ..t.cut }, ..*t };
        // Weights are dequantised once a pass: about 4 % of a pass of 512 rows, twice that at half the rows.
        let rows = t.cut.examples * work.length * (1 + t.cut.tangents);
        let why = format!("{} examples a pass instead of {}", next.cut.examples, t.cut.examples);
        Move { config: next, why, time_factor: 1.0 + 0.04 * 512.0 / rows.max(64) as f64 }
    })
}

fn smaller_panels(t: &Tuning) -> Option<Move<Tuning>> {
    (t.panel_rows > 16).then(|| {
        let next = Tuning { panel_rows: (t.panel_rows / 2).max(16), ..*t };
        let why = format!("weight panels of {} rows instead of {}", next.panel_rows, t.panel_rows);
        Move { config: next, why, time_factor: 1.05 }
    })
}

fn stream(t: &Tuning, work: &Workload, model: &ModelSize<'_>) -> Option<Move<Tuning>> {
    (!t.streamed && work.means.residency == Residency::Auto).then(|| {
        let file = model.weights.file;
        let why = format!("{file} of weights mapped anew in each pass, one linear layer at a time");
        Move { config: Tuning { streamed: true, ..*t }, why, time_factor: STREAMED_TIME }
    })
}

fn fewer_inputs(t: &Tuning, work: &Workload, geometry: &Geometry) -> Option<Move<Tuning>> {
    let all = work.kept(geometry, t.run);
    let fewest = Checkpoints::fewest(all.blocks);
    (t.run == 1 && fewest.inputs() < all.inputs()).then(|| {
        let why = format!(
            "{} inputs of {} blocks kept for the pass backwards, {} blocks computed once more",
            fewest.inputs(),
            all.blocks,
            fewest.anew()
        );
        // Of these blocks a step has a pass forwards, one anew, and the transposes.
        let time_factor = 1.0 + fewest.anew() as f64 / (3 * all.blocks) as f64;
        Move { config: Tuning { run: fewest.run, ..*t }, why, time_factor }
    })
}

/// What reading data may take within `budget`, the tokenizer being there.
pub fn reading_room(model: &ModelSize<'_>, machine: &Machine, budget: Bytes) -> Bytes {
    let others = machine.program() + machine.group().unwrap_or_default() + while_reading(model, machine);
    Bytes(budget.0.saturating_sub(others.0))
}

/// Bytes of the tokenizer beside the program, while data are read.
fn while_reading(model: &ModelSize<'_>, machine: &Machine) -> Bytes {
    Bytes(model.tokenizer.building.0.saturating_sub(machine.unused_while_reading().0))
}

/// All that is alive at the peak.
fn regions(model: &ModelSize<'_>, w: &Workload, tuning: &Tuning, machine: &Machine) -> Vec<Region> {
    let (g, threads) = (model.geometry, w.means.threads);
    let layout = PassLayout::new(g, tuning.pass(g, w));
    let mut regions = vec![match tuning.streamed {
        false => Region::new("weights", Kind::Mapped, model.weights.file),
        true => Region::new("weights", Kind::Mapped, model.weights.streamed(HEAD_TILE, threads))
            .note("streamed: the largest linear layer, or a tile of the head"),
    }];
    regions.extend(layout.regions().into_iter().map(|(name, bytes)| Region::new(name, Kind::Arena, bytes)));
    let (trainable, adapter) = w.adapter.sizes(g);
    regions.push(heap("model tables", Bytes(Transformer::heap_bytes(g) as u64) + model.header));
    regions.push(heap("adapter", adapter));
    if let Some(rule) = w.rule {
        regions.push(heap("gradient", Bytes(4 * trainable as u64)));
        regions.push(heap("optimiser state", Bytes(4 * (trainable * rule.moments()) as u64)));
    }
    regions.extend(w.held_elsewhere.iter().map(|(name, bytes)| heap(name, *bytes)));
    regions.extend(if w.generates { of_a_text(model, w) } else { of_batches(model, w, &layout) });
    // What making the adapter takes is gone before the arena is there.
    let making = w.adapter.making(g, threads, tuning.panel_rows);
    if making > layout.bytes() {
        let beyond = heap("adapter under way, beyond the above", making - layout.bytes());
        regions.push(beyond.note("while it is made or read, before anything runs"));
    }
    // Before all this there was the tokenizer; the process never held both.
    let running: Bytes = regions.iter().filter(|r| r.name != DATA).map(|r| r.bytes).sum();
    let loading = while_reading(model, machine) + w.reading;
    if loading > running {
        let beyond = heap("tokenizer, beyond the above", Bytes(loading.0 - running.0));
        regions.push(beyond.note("while the data is read, before training"));
    }
    regions.push(Region::new("program", Kind::Fixed, machine.program()));
    if w.needs.backward {
        regions.push(Region::new("program, going backwards", Kind::Fixed, machine.backwards()));
    }
    if let Some(bytes) = machine.group() {
        let region = Region::new("kernel tables, page cache", Kind::Fixed, bytes);
        regions.push(region.note("counted by this process's control group"));
    }
    regions
}

/// What batches of examples take beside their passes.
fn of_batches(model: &ModelSize<'_>, w: &Workload, layout: &PassLayout) -> Vec<Region> {
    let (g, positions) = (model.geometry, layout.size().positions);
    let tables = Session::table_bytes(g.rope_numbers(), &w.room(*layout), &*w.objective);
    let scalars = w.needs.bytes(w.batch, w.adapter.sizes(g).0);
    let mut regions = vec![heap("rotary table and batch", tables + scalars), heap(DATA, w.data)];
    if w.prefix {
        let window = PrefixCache::heap_bytes(w.length, g.width, positions, w.batch);
        regions.push(heap("prefix cache window", window));
    }
    regions
}

/// What a text that is continued takes beside its passes.
fn of_a_text(model: &ModelSize<'_>, w: &Workload) -> Vec<Region> {
    let g = model.geometry;
    let table = Rope::table_bytes(w.length, g.rope_numbers());
    vec![
        heap("keys and values", KvCache::bytes(g, w.length, w.adapter.routes(g))),
        heap("logits and rotary table", Bytes((g.vocabulary * 4 + table) as u64)),
        heap("tokenizer", model.tokenizer.kept),
    ]
}

fn heap(name: &str, bytes: Bytes) -> Region {
    Region::new(name, Kind::Heap, bytes)
}
