//! Settings of a fleet that is only simulated: those of a real one, as far as there are any, and single changes to them.

use super::fleet::{FleetFile, Given};
use super::{FleetSettings, Preset, SettingsError, join, parse, read};
use sprig_ground::file;
use sprig_learn::recipe::Whole;
use std::path::Path;
use toml::{Table, Value};

/// Keys of `[train]` that are about the data, what is learnt of them, and the run; a preset leaves them as they are.
const OF_THE_DATA: [&str; 18] = [
    "task",
    "raw",
    "template",
    "labels",
    "label_style",
    "len",
    "seed",
    "local_steps",
    "objective",
    "beta",
    "lam",
    "sft_weight",
    "smoothing",
    "kappa",
    "cal_form",
    "invert",
    "stopgrad_z",
    "mask_shared",
];

impl FleetSettings {
    /// Settings for a simulation: those of the file `config`, if any; with a `preset`, its algorithm instead of theirs; and
    /// each of `changes`, `key=value` of `[train]` or `rounds.key=value`, made on top. Nobody is waited for.
    ///
    /// # Errors
    /// [`SettingsError`]; a change that makes no sense is [`SettingsError::Value`].
    pub fn simulated(
        config: Option<&Path>,
        model: Option<&Path>,
        preset: Option<Preset>,
        changes: &[String],
    ) -> Result<Self, SettingsError> {
        let mut table: Table = match config {
            Some(path) => parse(path, &read(path)?)?,
            None => stand_in(),
        };
        if let Some(path) = model {
            put(&mut table, &["model", "path"], path.display().to_string().into());
        }
        let here = config.unwrap_or(Path::new("settings"));
        if let Some(preset) = preset {
            let train = table.entry("train").or_insert_with(|| Table::new().into());
            if let Some(train) = train.as_table_mut() {
                let one_step = preset == Preset::FedSgd; // which is what makes it FedSGD
                let stays = |key: &str| OF_THE_DATA.contains(&key) && !(one_step && key == "local_steps");
                train.retain(|key, _| stays(key));
            }
            put(&mut table, &["train", "preset"], preset.name().into());
        }
        let unread = |problem| SettingsError::Parse { path: here.to_owned(), problem };
        take(&table).map_err(unread)?;
        change(&mut table, changes)?;
        let mut file = take(&table).map_err(unread)?;
        (file.rounds.min_devices, file.rounds.quorum) = (Whole::of::<1>(), Whole::of::<1>());
        let given = |key| table.get(key).and_then(Value::as_table).cloned().unwrap_or_default();
        let mut settings = file.completed(&Given { train: given("train"), rounds: given("rounds") })?;
        if let Some(init) = &settings.train.init {
            let problem = "a simulation begins with a new adapter; leave it out";
            return Err(SettingsError::value("train", "init", init.display(), problem.to_owned()));
        }
        let folder = config.map_or(Path::new(""), file::folder_of);
        match model {
            Some(path) => settings.model.path = path.to_owned(),
            None => join(folder, &mut settings.model.path),
        }
        settings.coordinator.eval_data.iter_mut().for_each(|p| join(folder, p));
        Ok(settings)
    }
}

/// Makes `changes`, `key=value`, whatever their order. If what they lead to makes no sense, the first is blamed after which
/// it makes none.
fn change(table: &mut Table, changes: &[String]) -> Result<(), SettingsError> {
    let mut blamed = None;
    for change in changes {
        let wrong =
            |problem: String| SettingsError::value("train", "--set", format_args!("{change:?}"), problem);
        let pair = change.split_once('=');
        let (key, value) = pair.ok_or_else(|| wrong("write key=value, such as lr=0.02".to_owned()))?;
        let path: Vec<&str> = match key.split_once('.') {
            Some(("rounds" | "train", _)) => key.split('.').collect(),
            _ => std::iter::once("train").chain(key.split('.')).collect(),
        };
        if !put(table, &path, value_of(value)) {
            return Err(wrong(format!("{key} is no table")));
        }
        blamed = take(table).err().map(|problem| blamed.unwrap_or_else(|| wrong(problem)));
    }
    blamed.map_or(Ok(()), Err)
}

/// What a fleet without a file has.
fn stand_in() -> Table {
    let mut table = Table::new();
    put(&mut table, &["fleet", "name"], "simulation".into());
    put(&mut table, &["fleet", "broker"], "mqtt://localhost".into());
    put(&mut table, &["model", "path"], "".into());
    table.insert("train".to_owned(), Table::new().into());
    table
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
fn value_of(text: &str) -> Value {
    let line: Result<Table, _> = format!("value = {text}").parse();
    match line {
        Ok(mut line) if line.len() == 1 => line.remove("value").unwrap_or_else(|| text.into()),
        _ => text.into(),
    }
}

fn take(table: &Table) -> Result<FleetFile, String> {
    table.clone().try_into().map_err(|e: toml::de::Error| e.to_string().trim().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Mode;
    use sprig_learn::directions::run_key;
    use sprig_learn::spry::{ServerOptimiser, Terms};

    fn changed(preset: Option<Preset>, changes: &[&str]) -> Result<FleetSettings, SettingsError> {
        let labels = std::iter::once("labels=[\"a\", \"b\"]").chain(changes.iter().copied());
        let changes: Vec<String> = labels.map(str::to_owned).collect();
        FleetSettings::simulated(None, Some(Path::new("m.gguf")), preset, &changes)
    }

    /// A table that needs another key has it once all changes are made.
    #[test]
    fn changes_are_made_in_any_order() {
        let (among, dp) = ("noise.noise_among=3", "noise.dp=8");
        let made = |changes: &[&str]| {
            let found = changed(None, &[&["secure_aggregation=true"], changes].concat());
            found.map(|settings| settings.train.sharers()).map_err(|e| e.to_string())
        };
        assert_eq!((made(&[among, dp]), made(&[dp, among])), (Ok(3), Ok(3)));
        let error = made(&["lr=1", among, "seed=2"]).unwrap_err();
        assert!(error.contains("noise_among=3") && error.contains("`dp`"), "{error}");
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
        let s = FleetSettings::simulated(Some(&path), None, None, &changes).unwrap();
        let server = &s.train.server;
        assert_eq!((s.train.lr.get(), server.eta.get(), server.rule), (0.5, 0.25, ServerOptimiser::Yogi));
        let layers = s.train.layers.as_ref().map(|layers| layers.of(30));
        assert_eq!((layers, s.train.rank.get(), s.train.raw), (Some(1..3), 2, true));
        let rounds = [s.rounds.count.get(), s.rounds.devices.get(), s.rounds.min_devices.get()];
        assert_eq!(rounds, [7, 4, 1]);
        assert_eq!(s.model.path, dir.path().join("m.gguf"));
        let other = FleetSettings::simulated(Some(&path), Some(Path::new("other.gguf")), None, &[]).unwrap();
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
                None,
                if change == "lr.x=1" { &["lr=1", "lr.x=1"] } else { std::slice::from_ref(&change) },
            );
            let error = error.unwrap_err();
            assert!(matches!(error, SettingsError::Value { .. }), "{error}");
            assert!(words.iter().all(|w| error.to_string().contains(w)), "{error}");
        }
    }

    /// The paper's algorithm on the data, the template and the epochs of the fleet.
    #[test]
    fn a_preset_replaces_the_algorithm_and_changes_go_on_top() {
        let changes = ["raw=true", "len=64", "local_steps=25", "rank=4", "tangents=3"];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.toml");
        let text = format!(
            "[fleet]\nname = \"home\"\nbroker = \"mqtt://b\"\n[model]\npath = \"m.gguf\"\n[train]\nlabels = [\"a\", \"b\"]\n{}",
            changes.join("\n")
        );
        std::fs::write(&path, text).unwrap();
        let train = FleetSettings::simulated(Some(&path), None, Some(Preset::Paper), &["seed=3".to_owned()])
            .unwrap()
            .train;
        assert_eq!(*train.rules(), Terms::paper(run_key(3), 25));
        assert_eq!((train.raw, train.len.get(), train.rank.get()), (true, 64, 1));
        let changed = changed(Some(Preset::Paper), &["server.eta=0.5", "mode=per-iteration"]).unwrap().train;
        assert_eq!(
            (changed.mode, changed.server.eta.get(), changed.server.rule),
            (Mode::PerIteration, 0.5, ServerOptimiser::Yogi)
        );
    }

    /// What a file leaves out follows from what is changed, as it does from what is in the file.
    #[test]
    fn changes_complete_as_a_file_does() {
        let train = |changes: &[&str]| changed(None, changes).unwrap().train;
        assert_ne!(train(&["mode=per-epoch"]).lr, train(&[]).lr);
        assert_ne!(train(&["mode=per-epoch", "local_optimizer=sgd"]).lr, train(&["mode=per-epoch"]).lr);
        for changes in [&["mode=per-epoch", "lr=0.5"][..], &["lr=0.5"]] {
            assert_eq!(train(changes).lr.get(), 0.5);
        }
        assert_ne!(train(&["mode=per-epoch"]).server.rule, train(&[]).server.rule);
    }
}
