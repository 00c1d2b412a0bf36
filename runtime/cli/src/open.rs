//! What commands take from the command line: the model file, the budget, the adapter to make or to read.

use crate::args::ModelArgs;
use crate::exit::{Exit, Failure};
use crate::output::problem;
use sprig_budget::{Bytes, process};
use sprig_engine::adapter::AdapterFile;
use sprig_engine::gguf::Mapped;
use sprig_engine::model::Geometry;
use sprig_learn::workload::{Adapted, Means};
use sprig_run::Base;
use std::path::Path;

/// Maps a model file.
pub fn model(path: &Path) -> Result<Mapped, Failure> {
    if path.is_dir() {
        let message = format!("{} is a folder; name the .gguf file in it", path.display());
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(Mapped::open(path)?)
}

impl ModelArgs {
    /// Maps the model file.
    pub fn open(&self) -> Result<Mapped, Failure> {
        model(&self.model)
    }

    /// The budget in bytes.
    pub fn budget(&self) -> Result<Bytes, Failure> {
        let budget = sprig_run::budget(self.budget, None)?;
        if let Some(total) = process::memory_at_hand().filter(|&total| budget > total) {
            problem(format_args!(
                "sprig: warning: --budget {budget} is more than the {total} that this machine has or its control group \
                 allows, and cannot be held there"
            ));
        }
        Ok(budget)
    }

    /// What of the machine may be used beside its memory.
    pub fn means(&self) -> Means {
        Means { threads: sprig_run::threads(self.threads), residency: self.weights }
    }
}

/// Opens an adapter and checks that it belongs to this base. Its weights stay in the file until they are planned.
pub fn adapter(path: &Path, base: &Base<'_>) -> Result<AdapterFile, Failure> {
    let file = AdapterFile::open(path)?;
    if file.meta().base_digest.is_some() {
        file.check_base(&base.map.digest_hex()?).map_err(|e| Failure::from(e).about(path))?;
    }
    Ok(file)
}

/// An adapter as a plan sees it.
pub fn adapted(file: Option<&AdapterFile>, g: &Geometry) -> Adapted {
    file.map_or(Adapted::Plain, |file| {
        let bytes = file.heap_bytes(g);
        Adapted::Read { rank: file.rank(), bytes, loading: file.load_bytes(g) - bytes, routes: None }
    })
}
