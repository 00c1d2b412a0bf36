//! Settings of a fleet that is only simulated: those of a real one, as far as there are any, and single changes to them.

use super::{FleetSettings, SettingsError, folder, join, read};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The paper's algorithm (specification, section 4) in terms of the `[train]` table; the local optimiser's constants come
/// on top.
const PAPER: &str = r#"
batch = 8
tangents = 1
adapter = "lora"
rank = 1
alpha = 1.0
targets = "q,v"
family = "gaussian"
directions = "shared"
seeds = "shared"
mode = "per-epoch"
local_optimizer = "adamw"
lr = 1e-4
dealing = "cyclic"
server = { rule = "yogi", eta = 1e-2, beta1 = 0.9, beta2 = 0.99, tau = 1e-3, decay_rounds = 0 }
"#;

impl FleetSettings {
    /// Settings for a simulation: those of the file `config`, if any, with the paper's instead where `paper` is set, and
    /// each of `changes`, `key=value` of `[train]` or `rounds.key=value`, made on top. Nobody is waited for.
    ///
    /// # Errors
    /// [`SettingsError`]; a change that makes no sense is [`SettingsError::Value`].
    pub fn simulated(
        config: Option<&Path>,
        model: Option<&Path>,
        paper: bool,
        changes: &[String],
    ) -> Result<Self, SettingsError> {
        let mut table: Table = config.map(read).transpose()?.unwrap_or_default();
        table.entry("train").or_insert_with(|| Table::new().into());
        if config.is_none() {
            let fleet = [("name", "simulation"), ("broker", "mqtt://localhost")];
            table.insert(
                "fleet".to_owned(),
                fleet.map(|(k, v)| (k.to_owned(), Value::from(v))).into_iter().collect::<Table>().into(),
            );
        }
        if config.is_none() || model.is_some() {
            let path = model.map_or_else(String::new, |path| path.display().to_string());
            put(&mut table, &["model", "path"], path.into());
        }
        if paper {
            put_paper(&mut table);
        }
        let here = config.unwrap_or(Path::new("settings"));
        let mut settings =
            take(&table).map_err(|problem| SettingsError::Parse { path: here.to_owned(), problem })?;
        for change in changes {
            let wrong =
                |problem: String| SettingsError::value("train", "--set", format_args!("{change:?}"), problem);
            let (key, value) =
                change.split_once('=').ok_or_else(|| wrong("write key=value, such as lr=0.02".to_owned()))?;
            let path: Vec<&str> = match key.split_once('.') {
                Some(("rounds" | "train", _)) => key.split('.').collect(),
                _ => std::iter::once("train").chain(key.split('.')).collect(),
            };
            if !put(&mut table, &path, parse(value)) {
                return Err(wrong(format!("{key} is no table")));
            }
            settings = take(&table).map_err(wrong)?;
        }
        let folder = config.map_or_else(PathBuf::new, folder);
        match model {
            Some(path) => settings.model.path = path.to_owned(),
            None => join(&folder, &mut settings.model.path),
        }
        settings.coordinator.eval_data.iter_mut().for_each(|p| join(&folder, p));
        (settings.rounds.min_devices, settings.rounds.quorum) = (1, 1);
        settings.check()?;
        Ok(settings)
    }
}

fn put_paper(table: &mut Table) {
    // The text above is TOML.
    let paper: Table = PAPER.parse().unwrap_or_default();
    for (key, value) in paper {
        put(table, &["train", &key], value);
    }
    if let Some(train) = table.get_mut("train").and_then(Value::as_table_mut) {
        train.remove("layers"); // all of them
    }
}

/// Sets a key, making tables on the way; false if something else is in the way.
fn put(table: &mut Table, path: &[&str], value: Value) -> bool {
    match path {
        [] => false,
        [key] => {
            table.insert((*key).to_owned(), value);
            true
        }
        [first, rest @ ..] => {
            let inner = table.entry(*first).or_insert_with(|| Table::new().into());
            inner.as_table_mut().is_some_and(|inner| put(inner, rest, value))
        }
    }
}

/// A value of TOML; what is none is a string, so that words need no quotes.
fn parse(text: &str) -> Value {
    let line: Result<Table, _> = format!("value = {text}").parse();
    match line {
        Ok(mut line) if line.len() == 1 => line.remove("value").unwrap_or_else(|| text.into()),
        _ => text.into(),
    }
}

fn take(table: &Table) -> Result<FleetSettings, String> {
    table.clone().try_into().map_err(|e: toml::de::Error| e.to_string().trim().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_learn::directions::run_key;
    use sprig_learn::optimiser::Rule;
    use sprig_learn::spry::{Dealing, Rules, paper_adapter};

    fn changed(paper: bool, changes: &[&str]) -> Result<FleetSettings, SettingsError> {
        let labels = std::iter::once("labels=[\"a\", \"b\"]").chain(changes.iter().copied());
        let changes: Vec<String> = labels.map(str::to_owned).collect();
        FleetSettings::simulated(None, Some(Path::new("m.gguf")), paper, &changes)
    }

    #[test]
    fn single_keys_are_changed_on_top_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.toml");
        let text = "[fleet]\nname = \"home\"\nbroker = \"mqtt://b\"\n[model]\npath = \"m.gguf\"\n[rounds]\ncount = 7\n\
                    min_devices = 9\n[train]\nlabels = [\"a\", \"b\"]\nlr = 0.5\n[train.server]\neta = 0.25\n";
        std::fs::write(&path, text).unwrap();
        let changes = ["server.rule=yogi", "layers=1..3", "rounds.devices=4", "train.rank=2", "raw=true"];
        let changes = changes.map(str::to_owned);
        let s = FleetSettings::simulated(Some(&path), None, false, &changes).unwrap();
        assert_eq!((s.train.lr, s.train.server.eta, s.train.server.rule.as_str()), (0.5, 0.25, "yogi"));
        assert_eq!((s.train.layers.as_deref(), s.train.rank, s.train.raw), (Some("1..3"), 2, true));
        assert_eq!((s.rounds.count, s.rounds.devices, s.rounds.min_devices), (7, 4, 1));
        assert_eq!(s.model.path, dir.path().join("m.gguf"));
        let other = FleetSettings::simulated(Some(&path), Some(Path::new("other.gguf")), false, &[]).unwrap();
        assert_eq!(other.model.path, Path::new("other.gguf"));
    }

    #[test]
    fn a_change_that_makes_no_sense_is_named() {
        for (change, words) in [
            ("lr", ["lr", "key=value"]),
            ("learning_rate=1", ["learning_rate", "unknown field"]),
            ("lr=fast", ["lr=fast", "invalid type"]),
            ("lr=-1", ["lr", "above 0"]),
            ("lr.x=1", ["lr.x", "is no table"]),
            ("mode=sometimes", ["sometimes", "per-epoch"]),
            ("rounds.count=0", ["count", "1 to"]),
        ] {
            let error = changed(
                false,
                if change == "lr.x=1" { &["lr=1", "lr.x=1"] } else { std::slice::from_ref(&change) },
            );
            let error = error.unwrap_err();
            assert!(matches!(error, SettingsError::Value { .. }), "{error}");
            assert!(words.iter().all(|w| error.to_string().contains(w)), "{error}");
        }
    }

    #[test]
    fn the_papers_preset_is_the_papers_but_for_the_local_optimiser() {
        let train = changed(true, &["seed=3", "local_steps=25"]).unwrap().train;
        let wanted = Rules::paper(run_key(3), 25);
        let rules = train.rules().unwrap();
        assert_eq!(Rules { local: wanted.local, ..rules }, wanted);
        assert!(matches!((rules.local, wanted.local), (Rule::AdamW { .. }, Rule::AdamW { .. })));
        assert_eq!(train.dealing().unwrap(), Dealing::Cyclic);
        let g = sprig_engine::model::Geometry {
            blocks: 3,
            width: 64,
            ffn: 128,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            rope_dims: 16,
            rope_base: 10_000.0,
            rope_scale: 1.0,
            norm_epsilon: 1e-5,
            vocabulary: 300,
            context: 512,
        };
        assert_eq!(train.adapter(&g).unwrap(), paper_adapter(&g));
    }
}
