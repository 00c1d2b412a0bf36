//! The `[train.noise]` table: steps by scalars that say little of each record.

use super::beside::Beside;
use super::secure::Sharers;
use super::{SettingsError, Upload};
use serde::{Deserialize, Serialize};
use sprig_learn::directions::Sharing;
use sprig_learn::estimator::Method;
use sprig_learn::privacy::{Epsilon, Visits};
use sprig_learn::recipe::Whole;
use sprig_learn::setting::{Setting, SettingError};
use sprig_learn::spry::{Mode, Rules};

/// Noise on every device's scalars, before they leave it. With this table all examples of a batch share their directions, and each
/// counts alike, whatever its loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseTable {
    /// ε of differential privacy that the run spends of a record, at δ = 10⁻⁶; of fleet and device (`[data] dp`) the smaller holds.
    pub dp: Epsilon,
    /// Rounds that it is to last for: a device that has spent it takes part in no more. `[rounds] count` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<Whole<1, 10_000_000>>,
    /// With [train] secure_aggregation, each device adds one of so many parts of the noise, and the sum of so many devices has
    /// all of it: `dp` then holds of sums, which are all that anybody sees, and against any so many devices less one. Each adds
    /// all of it if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_among: Option<Sharers>,
}

impl NoiseTable {
    /// Refuses noise beside what would tell more.
    pub(super) fn check(self, beside: Beside) -> Result<(), SettingError> {
        let setting = Setting::Noise;
        if let Some(among) = self.noise_among.filter(|_| !beside.secure) {
            let remedy = Setting::SecureAggregation.to(true);
            let problem = format!(
                "a part of the noise hides nothing in scalars that are seen by themselves; use {remedy}"
            );
            return Err(Setting::NoiseAmong.error(among, problem));
        }
        if beside.secure && beside.mode != Mode::PerIteration {
            let remedy = Setting::Mode.to(Mode::PerIteration);
            return Err(setting.error("on", format!("the weights of an epoch get none; use {remedy}")));
        }
        if beside.readout {
            return Err(setting
                .error("on", "a read-out has a `dp` of its own, in [train.readout]; leave this table out"));
        }
        if beside.flow {
            return Err(setting
                .error("on", "[train.flow] sends weights, which get none; leave one of the tables out"));
        }
        if beside.parts {
            let remedy = Setting::Parts.to(false);
            return Err(
                setting.error("on", format!("the parts of a loss would be told one by one; use {remedy}"))
            );
        }
        if beside.up != Upload::Scalars {
            let remedy = Setting::Up.to(Upload::Scalars);
            return Err(setting.error("on", format!("what is sent again is kept on the card; use {remedy}")));
        }
        if beside.estimator != Method::Forward {
            let remedy = Setting::Estimator.to(Method::Forward);
            return Err(setting.error("on", format!("each example's derivatives are bounded; use {remedy}")));
        }
        if beside.directions != Sharing::Shared {
            let remedy = Setting::Directions.to(Sharing::Shared);
            return Err(setting.error("on", format!("noise hides examples in their batch; use {remedy}")));
        }
        Ok(())
    }

    /// How a device with `records` records visits them, and with what noise, if it spends `epsilon` and no more.
    ///
    /// # Errors
    /// That would be more noise than can be drawn.
    pub fn visits(&self, epsilon: Epsilon, records: usize, rules: &Rules) -> Result<Visits, SettingsError> {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let rounds = self.rounds.map_or(1, Whole::get);
        let among = self.noise_among.map_or(1, Sharers::get);
        let visits = Visits::planned(epsilon, rounds, records, rules.examples().min(records));
        let visits = visits.map(|visits| visits.among(among));
        let remedy = "so many rounds over so few records take more noise than can be drawn; use a larger dp, fewer `rounds`, \
                      or more records";
        visits.ok_or_else(|| SettingsError::value("train.noise", "dp", epsilon, remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FleetSettings, JobSettings, Train, TrainTable};
    use super::*;
    use std::path::Path;

    fn train(keys: &str, table: &str) -> Result<Train, String> {
        let text = format!("labels = [\"a\", \"b\"]\n{keys}\n[noise]\ndp = 4.0\n{table}");
        let table: TrainTable = toml::from_str(&text).map_err(|e| e.to_string())?;
        Train::new(table).map_err(|e| e.to_string())
    }

    #[test]
    fn noise_is_refused_where_something_else_would_be_told() {
        for (keys, words) in [
            ("", "directions = \"shared\""),
            ("directions = \"shared\"\nestimator = \"mezo\"", "estimator = \"forward\""),
            ("directions = \"shared\"\nmode = \"per-epoch\"\nup = \"weights\"", "up = \"scalars\""),
            ("directions = \"shared\"\nobjective = \"catto\"\nparts = true", "parts = false"),
            ("directions = \"shared\"\nreadout = {}", "a `dp` of its own"),
        ] {
            let error = train(keys, "").unwrap_err();
            assert!(error.contains("noise") && error.contains(words), "{keys}: {error}");
        }
        let error = train("directions = \"shared\"", "dp_ = 3").unwrap_err();
        assert!(error.contains("dp_"), "{error}");
        assert!(toml::from_str::<TrainTable>("[noise]\nrounds = 3").unwrap_err().to_string().contains("dp"));
    }

    #[test]
    fn a_file_with_noise_shares_directions_and_counts_its_rounds() {
        let changes = ["labels=[\"a\", \"b\"]", "rounds.count=70", "noise.dp=2"].map(str::to_owned);
        let found = FleetSettings::simulated(None, Some(Path::new("m.gguf")), None, &changes).unwrap();
        let noise = found.train.noise.unwrap();
        assert_eq!((noise.dp.get(), noise.rounds.map(Whole::get)), (2.0, Some(70)));
        assert_eq!(found.train.directions, Sharing::Shared);
        // Whoever does not know of it must not take part.
        let job = JobSettings::new("ab".repeat(32), found.train);
        assert!(job.to_text().starts_with("format = 2\nleast = 2\n"), "{}", job.to_text());
        assert_eq!(JobSettings::announced(&job.to_text()).unwrap(), (job, Vec::new()));
    }

    #[test]
    fn noise_that_cannot_be_drawn_is_refused_with_the_remedy() {
        let train = train("directions = \"shared\"\nbatch = 4096", "").unwrap();
        let set = NoiseTable {
            dp: Epsilon::new(0.01).unwrap(),
            rounds: Some(Whole::of::<10_000_000>()),
            noise_among: None,
        };
        let error = set.visits(set.dp, 3, &train.rules()).unwrap_err().to_string();
        assert!(error.contains("[train.noise] dp = 0.01") && error.contains("larger dp"), "{error}");
        assert!(set.visits(Epsilon::new(8.0).unwrap(), 100_000, &train.rules()).is_ok());
    }
}
