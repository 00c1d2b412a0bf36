//! `fleet.toml`: the coordinator's settings.

use super::{Connection, ModelSettings, Rounds, SettingsError, Train};
use super::{join, named, parse, read};
use serde::Deserialize;
use sprig_ground::file;
use std::path::{Path, PathBuf};

/// `fleet.toml`: what the coordinator runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSettings {
    /// Broker and identity.
    pub fleet: Connection,
    /// Model for evaluation and export.
    pub model: ModelSettings,
    /// How rounds go.
    #[serde(default)]
    pub rounds: Rounds,
    /// What every device trains.
    pub train: Train,
    /// Where the coordinator keeps its ledger and shows itself.
    #[serde(default)]
    pub coordinator: CoordinatorSettings,
}

/// The coordinator's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoordinatorSettings {
    /// Folder of the ledger.
    pub state: PathBuf,
    /// Address of the dashboard; none if absent.
    pub dashboard: Option<String>,
    /// Allows other machines to look at the dashboard: it has no password.
    pub dashboard_beyond_loopback: bool,
    /// Held-out records, evaluated every few rounds.
    pub eval_data: Option<PathBuf>,
    /// Where the finished adapter goes (GGUF LoRA).
    pub adapter: Option<PathBuf>,
    /// Where the dashboard's page goes when the run is over, as it stands then.
    pub page: Option<PathBuf>,
}

impl Default for CoordinatorSettings {
    fn default() -> Self {
        Self {
            state: PathBuf::from("state"),
            dashboard: None,
            dashboard_beyond_loopback: false,
            eval_data: None,
            adapter: None,
            page: None,
        }
    }
}

/// The keys of `[train]` that a file has.
#[derive(Deserialize)]
struct Given {
    train: toml::Table,
}

impl FleetSettings {
    /// Reads `fleet.toml`; paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = read(path)?;
        let mut s: Self = parse(path, &text)?;
        let given: Given = parse(path, &text)?;
        s.train = s.train.completed(&given.train).map_err(|e| named(path, e))?;
        let folder = file::folder_of(path);
        s.fleet.resolve(folder);
        s.model.resolve(folder);
        join(folder, &mut s.coordinator.state);
        s.coordinator.eval_data.iter_mut().for_each(|p| join(folder, p));
        s.coordinator.adapter.iter_mut().for_each(|p| join(folder, p));
        s.coordinator.page.iter_mut().for_each(|p| join(folder, p));
        s.check().map_err(|e| named(path, e))?;
        Ok(s)
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        self.rounds.check()?;
        self.fleet.check()?;
        self.train.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_train(train: &str) -> Result<Train, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        let head =
            "[fleet]\nname = \"home\"\nbroker = \"mqtt://localhost\"\n[model]\npath = \"m.gguf\"\n[train]\n";
        std::fs::write(&path, format!("{head}task = \"lm\"\n{train}\n")).unwrap();
        FleetSettings::read(&path).map(|settings| settings.train)
    }

    #[test]
    fn a_file_is_completed_as_it_is_read() {
        assert_eq!(read_train("mode = \"per-epoch\"").unwrap().lr, 0.02);
        assert_eq!(read_train("preset = \"paper\"").unwrap().lr, 1e-4);
        let message = |train: &str| read_train(train).unwrap_err().to_string();
        assert!(message("preset = \"papper\"").contains("line 8: there is no preset \"papper\"; use paper"));
        assert!(message("bacth = 8").contains("line 8: unknown field `bacth`"));
        assert!(message("preset = \"paper\"\nlr = -1.0").contains("fleet.toml: [train] lr = -1"));
    }
}
