//! What a server's model wears, under which names: itself, adapters, or a device's own state.

use crate::args::{NamedFile, PersonalArgs};
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::worn::Worn;
use sprig_engine::adapter::Adapter;
use sprig_learn::data::LoadOptions;
use sprig_learn::workload::Adapted;
use sprig_run::{Base, Engine};
use std::path::Path;

/// Adapters at most: all are held at a time, so that none is waited for.
const MOST: usize = 32;

/// What may be worn, the first by whoever names nothing.
pub struct Wardrobe {
    each: Vec<(String, Worn)>,
}

/// What a name stands for, once its numbers are read.
pub struct Outfit {
    /// The name.
    pub name: String,
    /// A place among the adapters.
    pub adapter: Option<usize>,
    /// How it is asked for labels, where it has some.
    pub labelling: Option<LoadOptions>,
}

impl Wardrobe {
    /// Opens what the flags name: the adapters, then the model as it is; or a personal state alone.
    ///
    /// # Errors
    /// A file that cannot be read or belongs to another model, or a name that is taken.
    pub fn open(adapters: &[NamedFile], personal: &PersonalArgs, base: &Base<'_>) -> Result<Self, Failure> {
        if let Some(path) = &personal.personal {
            return Ok(Self { each: vec![(stem(path), Worn::open(None, personal, base)?)] });
        }
        let usage = |message: String| Err(Failure::new(Exit::Usage, message));
        if adapters.len() > MOST {
            return usage(format!("{} adapters; {MOST} can be served at a time", adapters.len()));
        }
        let mut each: Vec<(String, Worn)> = Vec::with_capacity(adapters.len() + 1);
        for file in adapters {
            let name = file.name.clone().unwrap_or_else(|| stem(&file.path));
            if each.iter().any(|(other, _)| *other == name) {
                return usage(format!(
                    "--adapter: two are called `{name}`; name one with --adapter NAME=FILE"
                ));
            }
            each.push((name, Worn::open(Some(&file.path), personal, base)?));
        }
        let own = stem(base.map.path());
        if each.iter().any(|(other, _)| *other == own) {
            return usage(format!(
                "--adapter: the model itself is called `{own}`; name it with --adapter NAME=FILE"
            ));
        }
        each.push((own, Worn::Nothing));
        Ok(Self { each })
    }

    /// As a plan sees it: all adapters are held, and a pass has rows for the largest rank.
    pub fn adapted(&self, base: &Base<'_>) -> Adapted {
        let each = self.each.iter().map(|(_, worn)| worn.adapted(base));
        let together = each.filter(|one| !matches!(one, Adapted::Plain)).reduce(|a, b| match (a, b) {
            (
                Adapted::Read { rank: r1, bytes: b1, loading: l1, routes },
                Adapted::Read { rank: r2, bytes: b2, loading: l2, .. },
            ) => Adapted::Read { rank: r1.max(r2), bytes: b1 + b2, loading: l1.max(l2), routes },
            (a, _) => a, // a personal state is alone
        });
        together.unwrap_or(Adapted::Plain)
    }

    /// How labels are asked for under each name, for texts of up to `len` tokens.
    fn labellings(&self, len: usize) -> Result<Vec<Option<LoadOptions>>, Failure> {
        let one = |(_, worn): &(String, Worn)| match worn.asking() {
            (path, Some(asked)) if !asked.labels.is_empty() => {
                asking::labelling(path, Some(asked), len).map(Some)
            }
            _ => Ok(None),
        };
        self.each.iter().map(one).collect()
    }

    /// Reads the numbers of all; what each name stands for, for texts of up to `len` tokens.
    ///
    /// # Errors
    /// A number that is not finite, what the disk says, or labels that cannot be asked for.
    pub fn load(self, engine: &Engine<'_>, len: usize) -> Result<(Vec<Adapter>, Vec<Outfit>), Failure> {
        let labellings = self.labellings(len)?;
        let (mut adapters, mut outfits) = (Vec::new(), Vec::new());
        for ((name, worn), labelling) in self.each.into_iter().zip(labellings) {
            let loaded = worn.load(engine)?;
            let adapter = loaded.is_some().then_some(adapters.len());
            adapters.extend(loaded);
            outfits.push(Outfit { name, adapter, labelling });
        }
        Ok((adapters, outfits))
    }
}

/// What a file is called where nobody says it.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
