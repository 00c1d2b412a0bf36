//! What a command answers with: the model as it is, an adapter, or a device's own state.

use crate::args::PersonalArgs;
use crate::exit::Failure;
use crate::open;
use sprig_engine::adapter::{Adapter, AdapterFile, AdapterSpec, Asking, PersonalFile, Policy};
use sprig_learn::workload::Adapted;
use sprig_run::{Base, Engine};
use std::path::{Path, PathBuf};

/// What is worn over the model.
pub enum Worn {
    /// Nothing.
    Nothing,
    /// An adapter, of which the header was read.
    Adapter(PathBuf, Box<AdapterFile>),
    /// A personal state, of which the header was read, and how it answers.
    Personal(PathBuf, Box<(PersonalFile, AdapterSpec)>, Policy),
}

impl Worn {
    /// Opens what the flags name, and checks that it belongs to this base.
    ///
    /// # Errors
    /// A file that cannot be read, or belongs to another model.
    pub fn open(adapter: Option<&Path>, personal: &PersonalArgs, base: &Base<'_>) -> Result<Self, Failure> {
        if let Some(path) = &personal.personal {
            let file = PersonalFile::open(path)?;
            file.check_base(&base.map.digest_hex()?).map_err(|e| Failure::from(e).about(path))?;
            let spec = file.spec(&base.geometry)?;
            let policy = if personal.hard { Policy::Hard } else { Policy::Soft };
            return Ok(Self::Personal(path.clone(), Box::new((file, spec)), policy));
        }
        Ok(match adapter {
            Some(path) => Self::Adapter(path.to_owned(), Box::new(open::adapter(path, base)?)),
            None => Self::Nothing,
        })
    }

    /// Its file, and how it was asked while it learnt, if that says so.
    pub fn asking(&self) -> (Option<&Path>, Option<&Asking>) {
        match self {
            Self::Nothing => (None, None),
            Self::Adapter(path, file) => (Some(path), file.meta().asking.as_ref()),
            Self::Personal(path, state, _) => (Some(path), state.0.meta().adapter.asking.as_ref()),
        }
    }

    /// As a plan sees it.
    pub fn adapted(&self, base: &Base<'_>) -> Adapted {
        match self {
            Self::Nothing => Adapted::Plain,
            Self::Adapter(_, file) => open::adapted(Some(file), &base.geometry),
            Self::Personal(_, state, _) => Adapted::Made(state.1.clone()),
        }
    }

    /// Reads its numbers.
    ///
    /// # Errors
    /// A number that is not finite, or what the disk says.
    pub fn load(self, engine: &Engine<'_>) -> Result<Option<Adapter>, Failure> {
        Ok(match self {
            Self::Nothing => None,
            Self::Adapter(_, file) => Some(file.load(engine.model.geometry())?),
            Self::Personal(_, state, policy) => {
                let mut adapter = state.0.load(&engine.model, &engine.ctx)?;
                adapter.follow(policy);
                Some(adapter)
            }
        })
    }
}

/// How routers decided.
#[derive(Debug, Default)]
pub struct Routes {
    /// Share of the shared adapter in each routed block; `None` without a personal state.
    pub gates: Option<Vec<f32>>,
    /// Blocks that the device's own adapter has most of.
    pub local: Option<Vec<usize>>,
    told: Option<String>,
}

impl Routes {
    /// Of the `shares` of `adapter`'s routed blocks.
    pub fn of(args: &PersonalArgs, adapter: Option<&Adapter>, shares: &[f32]) -> Self {
        let Some(adapter) = adapter.filter(|_| args.personal.is_some()) else { return Self::default() };
        let each = || adapter.routed().zip(shares);
        let local = each().filter(|(_, share)| **share < 0.5).map(|(block, _)| block).collect();
        let words: Vec<String> =
            each().map(|(block, share)| format!("{block}: {:.0} %", 100.0 * share)).collect();
        let told = (args.explain && !words.is_empty())
            .then(|| format!("share of the shared adapter by block: {}", words.join(", ")));
        Self { gates: Some(shares.to_vec()), local: Some(local), told }
    }

    /// A line for people, if they asked.
    pub fn told(&self) -> Option<&str> {
        self.told.as_deref()
    }
}
