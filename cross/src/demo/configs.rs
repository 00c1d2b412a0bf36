//! The configurations of a demo: one folder for the coordinator and one for each device, laid out as `sprig provision`
//! does.

use super::Mode;
use super::broker::Kind;
use crate::data;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What a device may hold.
const BUDGET: &str = "200MiB";

/// What every device trains, in either mode: as `cargo xtask demo --alone`.
const TRAIN: &str = r#"
[train]
task = "label"
raw = true
len = 96
batch = 8
tangents = 4
adapter = "lora-xs"
rank = 8
targets = "q,v,o"
layers = "22..30"
seed = 1
"#;

/// Rounds per iteration unless told otherwise.
pub const ROUNDS: u32 = 60;
/// Seconds that a round of one step may take.
const DEADLINE: u32 = 120;
/// Times that the fleet's adapter is judged on its way, for the dashboard.
const JUDGED: u32 = 6;
/// Steps of a device in a round per epoch.
pub const LOCAL_STEPS: u32 = 5;

/// How the fleet learns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Round by round.
    Steps,
    /// In one round, from sums.
    ReadOut,
}

/// What the read-out's coordinator is asked, beside what is asked of examples.
const READ_OUT: &str = r#"
[train]
task = "label"
raw = true
len = 96
batch = 8
readout = {}
"#;

/// What the configurations are written from.
pub struct Configs<'a> {
    pub way: Way,
    pub mode: Mode,
    pub rounds: u32,
    pub devices: usize,
    pub model: &'a Path,
    pub files: &'a data::Files,
    /// The records that it is judged by on its way.
    pub judged: &'a Path,
    pub broker: &'a Kind,
    pub url: &'a str,
    /// The folder of all of them.
    pub work: &'a Path,
}

impl Configs<'_> {
    /// The coordinator's. Adapter and page go into the folder of the whole demo.
    pub fn coordinator(&self) -> Result<PathBuf> {
        let (rounds, devices) = (self.rounds, self.devices);
        let deadline = match self.way {
            Way::Steps => DEADLINE * self.mode.steps(),
            Way::ReadOut => 30 * DEADLINE,
        };
        let (train, mode) = match self.way {
            Way::Steps => (TRAIN, self.mode()),
            Way::ReadOut => (READ_OUT, String::new()),
        };
        let suffix = self.way.suffix();
        // By a part of the records, and beside the rounds: for looking at, not to take any round back.
        let text = format!(
            "[rounds]\ncount = {rounds}\ndevices = {devices}\nmin_devices = {devices}\nquorum = {devices}\n\
             deadline_seconds = {deadline}\nevaluate_every = {every}\ngate = false\n{train}{mode}\
             template = {template}\nlabels = {labels}\n\n\
             [coordinator]\nstate = \"state{suffix}\"\ndashboard = \"127.0.0.1:0\"\neval_data = {judged}\n\
             adapter = \"../adapter{suffix}.gguf\"\npage = \"../fleet{suffix}.html\"\n",
            template = quoted(self.files.template),
            labels = serde_json::to_string(&self.files.labels)?,
            every = rounds.div_ceil(JUDGED),
            judged = quoted(&self.judged.to_string_lossy()),
        );
        self.write(&self.work.join("coordinator/fleet.toml"), None, "", &text)
    }

    /// A device's, with records of its own.
    pub fn device(&self, name: &str, shard: &Path) -> Result<PathBuf> {
        let model = format!("budget = \"{BUDGET}\"\nthreads = 1\n");
        let suffix = self.way.suffix();
        let text = format!(
            "[data]\ntrain = {}\n[agent]\nstate = \"state{suffix}\"\n",
            quoted(&shard.to_string_lossy())
        );
        let path = self.work.join("devices").join(name).join("device.toml");
        self.write(&path, Some(name), &model, &text)
    }

    fn mode(&self) -> String {
        // The server's steps, full ones at first, fall in a straight line; the rest is what the mode's defaults are.
        format!(
            "mode = \"{}\"\nlocal_steps = {LOCAL_STEPS}\nserver = {{ decay_rounds = {} }}\n",
            self.mode.name(),
            self.rounds
        )
    }

    /// Writes a configuration: who and where, the model, and `rest`.
    fn write(&self, path: &Path, id: Option<&str>, model: &str, rest: &str) -> Result<PathBuf> {
        let fleet = match self.broker {
            Kind::Mosquitto => {
                let made =
                    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                provisioned(&made).with_context(|| format!("{} has no [model]", path.display()))?.to_owned()
            }
            _ => {
                let id = id.map_or_else(String::new, |id| format!("id = \"{id}\"\n"));
                format!("[fleet]\nname = \"demo\"\nbroker = {}\n{id}\n", quoted(self.url))
            }
        };
        let text =
            format!("{fleet}[model]\npath = {}\n{model}\n{rest}", quoted(&self.model.to_string_lossy()));
        fs::create_dir_all(path.parent().context("a file needs a folder")?)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.to_owned())
    }
}

impl Way {
    /// What tells its files apart.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Steps => "",
            Self::ReadOut => "-readout",
        }
    }
}

/// What `sprig provision` has settled: all before the model, which is for the user to fill in.
fn provisioned(text: &str) -> Option<&str> {
    text.find("[model]").map(|at| &text[..at])
}

/// A text as TOML has it; JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(mode: Mode, broker: &Kind, work: &Path) -> [toml::Table; 2] {
        let files = data::Files {
            train: "train.jsonl".into(),
            held_out: "held_out.jsonl".into(),
            train_records: 2,
            held_out_records: 2,
            task: "label",
            labels: vec!["a", "b"],
            template: "{text}\n->",
        };
        let model = Path::new("/models/m.gguf");
        let url = "mqtt://127.0.0.1:7";
        let way = Way::Steps;
        let configs = Configs {
            way,
            mode,
            rounds: 7,
            devices: 3,
            model,
            files: &files,
            judged: Path::new("a \"part\".jsonl"),
            broker,
            url,
            work,
        };
        let paths = [configs.coordinator(), configs.device("device-1", Path::new("one.jsonl"))];
        paths.map(|path| fs::read_to_string(path.unwrap()).unwrap().parse().unwrap())
    }

    #[test]
    fn both_modes_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let [fleet, device] = written(Mode::PerIteration, &Kind::Embedded, folder.path());
        assert_eq!(fleet["train"]["mode"].as_str(), Some("per-iteration"));
        assert_eq!(fleet["train"]["server"]["decay_rounds"].as_integer(), Some(7));
        assert_eq!(fleet["coordinator"]["eval_data"].as_str(), Some("a \"part\".jsonl"));
        assert_eq!(fleet["rounds"]["evaluate_every"].as_integer(), Some(2));
        assert_eq!(fleet["fleet"]["broker"].as_str(), Some("mqtt://127.0.0.1:7"));
        assert_eq!(device["fleet"]["id"].as_str(), Some("device-1"));
        assert_eq!(device["model"]["budget"].as_str(), Some(BUDGET));
        let [fleet, _] = written(Mode::PerEpoch, &Kind::Embedded, folder.path());
        assert_eq!(fleet["train"]["mode"].as_str(), Some("per-epoch"));
        assert_eq!(fleet["train"]["local_steps"].as_integer(), Some(i64::from(LOCAL_STEPS)));
    }

    #[test]
    fn what_was_provisioned_stays() {
        let folder = tempfile::tempdir().unwrap();
        let made = "# Comment\n[fleet]\nname = \"demo\"\nbroker = \"mqtts://localhost:9\"\nca = \"ca.crt\"\n\n[model]\nx = 1\n";
        for path in ["coordinator/fleet.toml", "devices/device-1/device.toml"] {
            fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            fs::write(folder.path().join(path), made).unwrap();
        }
        for config in written(Mode::PerIteration, &Kind::Mosquitto, folder.path()) {
            assert_eq!(config["fleet"]["broker"].as_str(), Some("mqtts://localhost:9"));
            assert_eq!(config["fleet"]["ca"].as_str(), Some("ca.crt"));
            assert_eq!(config["model"]["path"].as_str(), Some("/models/m.gguf"));
            assert!(config["model"].get("x").is_none());
        }
    }
}
