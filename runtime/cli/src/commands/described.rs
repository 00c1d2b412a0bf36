//! What a run's record says of its settings, its data and the machine, from what the command line and the libraries have.

use crate::args::TrainArgs;
use sprig_budget::Bytes;
use sprig_ground::hex;
use sprig_ground::kernel::Machine;
use sprig_learn::data::DataSet;
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::evaluate::Evaluation;
use sprig_learn::optimiser::Schedule;
use sprig_learn::prefix::{Counts, PrefixCache};
use sprig_report::record;
use std::path::{Path, PathBuf};

pub fn prefix(cache: &PrefixCache) -> record::Prefix {
    let Counts { hits, misses, corrupt } = cache.counts();
    record::Prefix { hits, misses, corrupt, error: cache.error().map(str::to_owned) }
}

pub fn evaluation(e: Evaluation) -> record::Evaluation {
    record::Evaluation {
        n: e.n,
        loss: e.loss,
        accuracy: Some(e.accuracy),
        interval: Some((e.interval[0], e.interval[1])),
        answered: e.answered,
        by_label: None,
    }
}

pub fn settings(args: &TrainArgs, schedule: Schedule, held_back: usize) -> Vec<(String, String)> {
    let s = &args.shape;
    let preference = s.preference.settings(args.records.task);
    let usual = [
        ("steps", schedule.steps.to_string()),
        ("held back", held_back.to_string()),
        ("batch", s.batch.to_string()),
        ("longest example", format!("{} tokens", s.len)),
        ("estimator", s.estimator.to_string()),
        ("tangents", s.tangents(args.records.task).to_string()),
        ("directions", args.directions.map_or("automatic", Sharing::name).to_owned()),
        ("family", args.family.map_or("automatic", Family::name).to_owned()),
        ("optimizer", s.optimizer.to_string()),
        ("learning rate", schedule.peak.to_string()),
        ("warm-up", args.warmup.to_string()),
        ("decay", args.decay.to_string()),
        ("label style", args.records.label_style.unwrap_or_default().to_string()),
        ("label loss", s.label_loss().to_string()),
        ("chat template", if args.records.raw { "no" } else { "yes" }.to_owned()),
    ];
    usual.into_iter().chain(preference).map(|(k, v)| (k.to_owned(), v)).collect()
}

pub fn machine() -> record::Machine {
    let here = Machine::here();
    record::Machine {
        cpu: here.processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: here.cores as u32,
        ram: here.memory.map(Bytes).unwrap_or_default(),
        kernel: here.kernel,
    }
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

pub fn data_set(paths: &[PathBuf], set: &DataSet) -> record::DataSet {
    record::DataSet {
        name: paths.iter().map(|path| name(path)).collect::<Vec<_>>().join(", "),
        n: set.len() as u64,
        sha256: hex::encode(&set.digest()),
        cut: set.cut() as u64,
    }
}
