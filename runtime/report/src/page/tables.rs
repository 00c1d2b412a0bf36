//! The tables below the charts: what was given up, what was set, where it all came from.

use crate::record::{DataSet, Prefix, RunRecord};
use crate::words;
use maud::{Markup, html};

/// The rungs of the ladder that were taken.
pub(super) fn ladder(run: &RunRecord) -> Markup {
    let plan = &run.plan;
    html! {
        @if plan.ladder.is_empty() {
            p { "None: the run fitted its budget as asked." }
        } @else {
            div.wide { table.numbers {
                thead { tr { th scope="col" { "rung" } th scope="col" { "change" } th.num scope="col" { "time of a step" } } }
                tbody { @for rung in &plan.ladder {
                    tr { th scope="row" { (rung.rung) } td { (rung.why) } td.num { "× " (format!("{:.2}", rung.time_factor)) } }
                } }
                @if plan.ladder.len() > 1 {
                    tfoot { tr { th scope="row" colspan="2" { "together" } td.num { "× " (format!("{:.2}", plan.time_factor())) } } }
                }
            } }
        }
        @if !run.moves.is_empty() {
            p { "Other processes needed memory, and the run stepped aside for them:" }
            div.wide { table.numbers {
                thead { tr { th.num scope="col" { "after step" } th.num scope="col" { "planned" } th scope="col" { "how" } } }
                tbody { @for moved in &run.moves {
                    tr { td.num { (moved.step) } td.num { (moved.plan) } td { (moved.what) } }
                } }
            } }
        }
        p.note { "The smallest budget this run could be squeezed into is " strong { (plan.smallest_budget) } "." }
    }
}

/// Settings as given, then what they made.
pub(super) fn settings(run: &RunRecord) -> Markup {
    let adapter = &run.adapter;
    let (from, to) = adapter.layers;
    let scalars = &run.scalars;
    let share = |n: u64| words::percent(n as f64 / scalars.total.max(1) as f64);
    html! {
        dl {
            (fact("task", &run.task))
            @for (name, value) in &run.settings { (fact(name, value)) }
            (fact("adapter", &format!("{}, rank {}, alpha {}", adapter.kind, adapter.rank, words::number(adapter.alpha))))
            (fact("targets", &adapter.targets.join(", ")))
            (fact("layers", &format!("{from}–{} of {}", to.saturating_sub(1), run.model.layers)))
            (fact("trained weights", &words::count(adapter.trainable)))
            (fact("directional derivatives", &format!(
                "{}; {} skipped as not finite ({}), {} clipped ({})", words::count(scalars.total),
                words::count(scalars.skipped), share(scalars.skipped), words::count(scalars.clipped), share(scalars.clipped)
            )))
            @if let Some(prefix) = &run.prefix { (fact("prefix cache", &cached(prefix))) }
        }
    }
}

fn cached(prefix: &Prefix) -> String {
    let visits = prefix.hits + prefix.misses;
    let mut text = format!(
        "{} of {} visits to an example served ({})",
        words::count(prefix.hits),
        words::count(visits),
        words::percent(prefix.hits as f64 / visits.max(1) as f64)
    );
    if prefix.corrupt > 0 {
        text += &format!(", {} damaged and computed anew", words::count(prefix.corrupt));
    }
    if let Some(error) = &prefix.error {
        text += &format!("; less was kept than allowed: {error}");
    }
    text
}

/// The model and the data, each with its digest.
pub(super) fn sources(run: &RunRecord) -> Markup {
    let model = &run.model;
    html! {
        dl {
            (fact("model", &model.name))
            (fact("geometry", &format!(
                "{}, {} layers of width {}, {} heads over {} key-value heads, {} tokens", model.architecture,
                model.layers, model.width, model.heads, model.kv_heads, words::count(model.vocabulary.into())
            )))
            (fact("weights", &format!("{} in {}, {}", words::count(model.weights), model.quantisation, model.bytes)))
            (digest("model sha256", &model.sha256))
            (data("training data", &run.train_data))
            @if let Some(held_out) = &run.eval_data { (data("held-out data", held_out)) }
        }
    }
}

/// Who ran it, when and on what.
pub(super) fn provenance(run: &RunRecord) -> Markup {
    let machine = &run.machine;
    html! {
        dl {
            (fact("program", &format!("sprig {}", run.sprig_version)))
            (fact("seed", &run.seed.to_string()))
            (fact("started", &words::date(run.started)))
            (fact("ended", &words::date(run.ended)))
            (fact("processor", &format!("{}, {}", machine.cpu, words::counted(machine.cores.into(), "core"))))
            (fact("kernels", &format!("{} on {}", run.isa, words::counted(run.threads.into(), "thread"))))
            (fact("memory", &machine.ram.to_string()))
            (fact("system", &machine.kernel))
        }
    }
}

fn data(name: &str, set: &DataSet) -> Markup {
    html! {
        (fact(name, &format!("{}, {}, {} cut to length", set.name, words::counted(set.n, "example"), words::count(set.cut))))
        (digest(&format!("{name} sha256"), &set.sha256))
    }
}

pub(super) fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn digest(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { code { (value) } } } }
}
