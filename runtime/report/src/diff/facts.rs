//! What is not the same of two machines, programs and models.

use super::Fact;
use crate::profile::Profile;
use crate::record::{Machine, Model, RunRecord};

/// A name and how it reads.
type Said = (String, String);

/// Those of two profiles.
pub(super) fn of_profiles(a: &Profile, b: &Profile) -> Vec<Fact> {
    let said = |profile: &Profile| {
        let board = &profile.board;
        let mut said = vec![
            pair("program", &format!("sprig {}", profile.sprig_version)),
            pair("commit", profile.commit.as_deref().unwrap_or("unknown")),
            pair("board", &format!("{} ({})", board.title, board.name)),
        ];
        said.extend(machine(&board.machine));
        let kernels = profile.ran().next().map(|(_, ran)| (ran.isa.clone(), ran.threads));
        said.extend(kernels.map(|(isa, threads)| pair("kernels", &format!("{isa} on {threads} threads"))));
        said.extend(profile.model.as_ref().map(model));
        said.extend([
            pair("budget", &profile.budget.to_string()),
            pair("task", &profile.task),
            pair("steps", &profile.steps.to_string()),
        ]);
        said
    };
    differing(&said(a), &said(b))
}

/// Those of two runs, their settings among them.
pub(super) fn of_runs(a: &RunRecord, b: &RunRecord) -> Vec<Fact> {
    let said = |run: &RunRecord| {
        let mut said = vec![pair("program", &format!("sprig {}", run.sprig_version))];
        said.extend(machine(&run.machine));
        let adapter = &run.adapter;
        said.extend([
            pair("kernels", &format!("{} on {} threads", run.isa, run.threads)),
            model(&run.model),
            pair("training data", &format!("{} ({:.8})", run.train_data.name, run.train_data.sha256)),
            pair("budget", &run.plan.budget.to_string()),
            pair("task", &run.task),
            pair(
                "adapter",
                &format!("{}, rank {}, {}", adapter.kind, adapter.rank, adapter.targets.join(",")),
            ),
            pair("seed", &run.seed.to_string()),
        ]);
        said.extend(run.settings.iter().cloned());
        said
    };
    differing(&said(a), &said(b))
}

fn machine(machine: &Machine) -> [Said; 4] {
    [
        pair("processor", &machine.cpu),
        pair("cores", &machine.cores.to_string()),
        pair("memory", &machine.ram.to_string()),
        pair("system", &machine.kernel),
    ]
}

fn model(model: &Model) -> Said {
    pair("model", &format!("{}, {} ({:.8})", model.name, model.quantisation, model.sha256))
}

fn pair(name: &str, value: &str) -> Said {
    (name.to_owned(), value.to_owned())
}

/// What both name and say otherwise, and what one of them alone says.
fn differing(a: &[Said], b: &[Said]) -> Vec<Fact> {
    const NOTHING: &str = "–";
    let value = |all: &[Said], name: &str| {
        all.iter().find(|said| said.0 == name).map_or_else(|| NOTHING.to_owned(), |said| said.1.clone())
    };
    let only_b = b.iter().filter(|(name, _)| a.iter().all(|said| said.0 != *name));
    let names = a.iter().chain(only_b).map(|(name, _)| name.clone());
    names
        .map(|name| Fact { a: value(a, &name), b: value(b, &name), name })
        .filter(|fact| fact.a != fact.b)
        .collect()
}
