//! `fleet.toml`: the coordinator's settings.

use super::connection::FleetName;
use super::folding;
use super::rounds::LONG_LEASE;
use super::{
    Connection, ModelSettings, Rounds, RoundsTable, Seconds, SettingsError, Train, TrainTable, Version,
};
use super::{join, named, parse, read};
use serde::{Deserialize, Serialize};
use sprig_ground::file;
use sprig_learn::recipe::{NotNegative, Whole};
use std::path::{Path, PathBuf};

/// `fleet.toml`: what the coordinator runs.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// Broker and identity.
    pub fleet: Connection,
    /// Model for evaluation and export.
    pub model: ModelSettings,
    /// How rounds go.
    pub rounds: Rounds,
    /// What every device trains.
    pub train: Train,
    /// Where the coordinator keeps its ledger and shows itself.
    pub coordinator: CoordinatorSettings,
}

/// The tables of the file, before what `[train]` leaves out is filled in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FleetFile {
    pub fleet: Connection,
    pub model: ModelSettings,
    #[serde(default)]
    pub rounds: RoundsTable,
    pub train: TrainTable,
    #[serde(default)]
    pub coordinator: CoordinatorSettings,
}

/// The coordinator's own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoordinatorSettings {
    /// Folder of the ledger.
    pub state: PathBuf,
    /// Address of the dashboard; none if absent.
    pub dashboard: Option<String>,
    /// Allows other machines to look at the dashboard, with the token.
    pub dashboard_beyond_loopback: bool,
    /// Address of `/metrics` (OpenMetrics) and `/healthz`, such as `127.0.0.1:9464`; none if absent.
    pub metrics: Option<String>,
    /// Allows other machines to read them: they have no password.
    pub metrics_beyond_loopback: bool,
    /// File whose first line is what those that look at the dashboard have to know, which only its owner may read: 16 to 256
    /// letters, digits, `-` and `_`.
    pub dashboard_token_file: Option<PathBuf>,
    /// Certificate of the dashboard (PEM), for https; the broker's, which `sprig provision` made, serves too where both have one
    /// name.
    pub dashboard_cert: Option<PathBuf>,
    /// Its key (PEM).
    pub dashboard_key: Option<PathBuf>,
    /// A command and its arguments, called when somebody should look: a round is abandoned, a device quarantined, an adapter
    /// taken back, another coordinator there, a certificate ends, or this one ends with an error. It gets the event as one line of JSON on its
    /// standard input, and its kind in `SPRIG_ALERT`. A name with `/` in it is relative to this file.
    pub alert: Vec<String>,
    /// Seconds after which that command is killed.
    pub alert_seconds: Seconds<3600>,
    /// Held-out records, evaluated every few rounds.
    pub eval_data: Option<PathBuf>,
    /// Weight of what calibrates, in rounds that are closed from now on, where devices send parts one by one
    /// (`[train] parts`); `lam` of `[train]` if absent. It may be another whenever the coordinator is started.
    pub lam: Option<NotNegative>,
    /// The same for the chosen answer's cross-entropy.
    pub sft_weight: Option<NotNegative>,
    /// Seconds for which, after the last round, devices that catch up are still served. The broker keeps the last adapter for
    /// those that come later, if it has at most 1 MiB with its moments.
    pub linger_seconds: Seconds<604_800>,
    /// Names of other fleets that learn the same adapter, each with its own coordinator and devices: what their devices find in a
    /// round is applied with what this fleet's find, so that all have one adapter. Their coordinators name this fleet likewise, and
    /// have the same `[train]`, model and number of rounds; each waits for all others in every round. Only steps that are aggregated securely add up
    /// so (`[train] secure_aggregation`). At most 32.
    pub fold_with: Vec<FleetName>,
    /// The folder that `sprig provision` made, with the authority in `ca`: devices' certificates are signed anew from there over
    /// the connection, in the last third of their lives. None is signed if absent.
    pub authority: Option<PathBuf>,
    /// Days for which a certificate that is signed anew holds.
    pub certificate_days: Whole<1, 36_500>,
    /// The least version of sprig with which a device takes part, as in "0.1.0": older ones are not selected, and are told so.
    /// Any takes part if absent.
    pub least_agent: Option<Version>,
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
            metrics: None,
            metrics_beyond_loopback: false,
            dashboard_token_file: None,
            dashboard_cert: None,
            dashboard_key: None,
            alert: Vec::new(),
            alert_seconds: Seconds::of(30.0),
            eval_data: None,
            lam: None,
            sft_weight: None,
            linger_seconds: Seconds::of(5.0),
            fold_with: Vec::new(),
            authority: None,
            certificate_days: Whole::of::<398>(),
            least_agent: None,
            adapter: None,
            page: None,
        }
    }
}

/// The keys of `[train]` and `[rounds]` that a file has.
#[derive(Deserialize)]
pub(super) struct Given {
    pub train: toml::Table,
    #[serde(default)]
    pub rounds: toml::Table,
}

impl FleetSettings {
    /// Reads `fleet.toml`; paths in it are relative to its folder.
    ///
    /// # Errors
    /// It cannot be read, or says what cannot be done; the message names file, line and key.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = read(path)?;
        let file: FleetFile = parse(path, &text)?;
        let given: Given = parse(path, &text)?;
        let mut s = file.completed(&given).map_err(|e| named(path, e))?;
        let folder = file::folder_of(path);
        s.fleet.resolve(folder);
        s.model.resolve(folder);
        s.train.resolve(folder);
        join(folder, &mut s.coordinator.state);
        if let Some(program) = s.coordinator.alert.first_mut().filter(|program| program.contains('/')) {
            // A folder that is no UTF-8 leaves it as it stands.
            if let Some(path) = folder.join(&*program).to_str() {
                *program = path.to_owned();
            }
        }
        let CoordinatorSettings { eval_data, adapter, page, .. } = &mut s.coordinator;
        [eval_data, adapter, page].into_iter().flatten().for_each(|p| join(folder, p));
        let CoordinatorSettings { dashboard_token_file, dashboard_cert, dashboard_key, authority, .. } =
            &mut s.coordinator;
        [dashboard_token_file, dashboard_cert, dashboard_key, authority]
            .into_iter()
            .flatten()
            .for_each(|p| join(folder, p));
        Ok(s)
    }

    /// Files of the certificates that the coordinator needs.
    pub fn certificates(&self) -> Vec<PathBuf> {
        let page =
            self.coordinator.dashboard_cert.as_ref().filter(|&page| Some(page) != self.fleet.cert.as_ref());
        self.fleet.certificates().chain(page).cloned().collect()
    }
}

impl FleetFile {
    /// The settings, with what `[train]` and `[rounds]` leave out; `given` is what they have.
    pub(super) fn completed(self, given: &Given) -> Result<FleetSettings, SettingsError> {
        let Self { fleet, model, mut rounds, train, coordinator } = self;
        if train.readout.is_some() && !given.rounds.contains_key("count") {
            rounds.count = Whole::of::<1>();
        }
        if rounds.follow.is_by_task() && !given.rounds.contains_key("lease_seconds") {
            rounds.lease_seconds = LONG_LEASE;
        }
        if !coordinator.fold_with.is_empty() {
            folding::without_gate(&mut rounds.gate, given.rounds.contains_key("gate"))?;
        }
        let (fleet, rounds) = (fleet.checked()?, Rounds::new(rounds)?);
        let mut table = train.completed(&given.train)?;
        if let Some(noise) = &mut table.noise {
            noise.rounds.get_or_insert(rounds.count);
        }
        let train = Train::new(table)?;
        train.check_devices(rounds.devices.get())?;
        if coordinator.alert.first().is_some_and(String::is_empty) {
            let problem = "its first word is the command to call";
            return Err(SettingsError::value("coordinator", "alert", "\"\"", problem));
        }
        if coordinator.dashboard_cert.is_some() != coordinator.dashboard_key.is_some() {
            let remedy = "give both `dashboard_cert` and `dashboard_key`, or neither";
            return Err(SettingsError::value("coordinator", "dashboard_cert", "one of the two", remedy));
        }
        folding::check(&coordinator.fold_with, &fleet.name, &train)?;
        for (field, weight) in [("lam", coordinator.lam), ("sft_weight", coordinator.sft_weight)] {
            if let Some(weight) = weight.filter(|_| !train.parts) {
                let problem = "it weighs what devices send part by part; set [train] parts = true";
                return Err(SettingsError::value("coordinator", field, weight, problem));
            }
        }
        Ok(FleetSettings { fleet, model, rounds, train, coordinator })
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
        assert_eq!(read_train("mode = \"per-epoch\"").unwrap().lr.get(), 0.02);
        assert_eq!(read_train("preset = \"paper\"").unwrap().lr.get(), 1e-4);
        let message = |train: &str| read_train(train).unwrap_err().to_string();
        assert!(message("preset = \"papper\"").contains("line 8: there is no preset \"papper\"; use paper"));
        assert!(message("bacth = 8").contains("line 8: unknown field `bacth`"));
        let message = message("preset = \"paper\"\nlr = -1.0");
        assert!(
            message.contains("fleet.toml: line 9") && message.contains("a number above 0, in `lr = -1.0`"),
            "{message}"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line_and_what_it_may_be() {
        for (line, words) in [
            ("batch = 0", "a whole number from 1 to 4096"),
            ("tangents = 65", "a whole number from 1 to 64"),
            ("label_style = \"poetry\"", "there is no label style \"poetry\"; use word or letter"),
            ("layers = \"9\"", "write FROM..TO"),
            ("lr = nan", "a number above 0"),
            ("targets = \"q,x\"", "there is no linear layer \"x\""),
            ("server = { beta1 = 1.0 }", "a number from 0 up to, but not, 1"),
            ("dropout = 1.0", "a number from 0 up to, but not, 1"),
            ("rank = 4.5", "a whole number from 1 to 1024"),
        ] {
            let message = read_train(line).unwrap_err().to_string();
            assert!(message.contains("line 8") && message.contains(words), "{message}");
            assert!(message.ends_with(&format!(", in `{line}`")), "{message}");
        }
        let message = read_train("parts = true\n[coordinator]\nlam = 1.0").unwrap_err().to_string();
        assert!(message.contains("parts"), "{message}");
        let message = read_train("[coordinator]\nlam = 1.0").unwrap_err().to_string();
        assert!(message.contains("[coordinator] lam = 1") && message.contains("parts = true"), "{message}");
        let message = read_train("[coordinator]\nalert = [\"\"]").unwrap_err().to_string();
        assert!(message.contains("[coordinator] alert") && message.contains("command to call"), "{message}");
        let message = read_train("[coordinator]\ndashboard_key = \"k\"").unwrap_err().to_string();
        assert!(message.contains("both `dashboard_cert` and `dashboard_key`"), "{message}");
        let message = read_train("up = \"weights\"").unwrap_err().to_string();
        assert!(
            message.contains("fleet.toml: [train] up = weights: an iteration has scalars alone"),
            "{message}"
        );
    }
}
