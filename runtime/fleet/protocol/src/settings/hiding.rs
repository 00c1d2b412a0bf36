//! Whether a training's devices hide what they send, among how many, and who shares their noise.

use super::secure::{AGGREGATED, Sharers, fewest_members};
use super::{SettingsError, Train};

impl Train {
    /// Whether what devices send is aggregated securely.
    pub fn is_secure(&self) -> bool {
        self.secure_aggregation || self.readout.is_some_and(|readout| readout.secure_aggregation)
    }

    /// Devices that share the noise of what each of them sends; 1 where each adds all of it, or none is added.
    pub fn sharers(&self) -> u32 {
        let of_steps = self.noise.and_then(|noise| noise.noise_among);
        self.readout.map_or(of_steps, |readout| readout.noise_among).map_or(1, Sharers::get)
    }

    /// Refuses to aggregate securely among `devices` of a round, where those are too few or too many.
    pub(super) fn check_devices(&self, devices: u32) -> Result<(), SettingsError> {
        let (least, most) = (fewest_members(self.sharers()), *AGGREGATED.end());
        if !self.is_secure() || (least..=most).contains(&devices) {
            return Ok(());
        }
        let stay = match self.sharers() {
            1 => String::new(),
            sharers => format!(", two in three of which stay, to share noise among {sharers}"),
        };
        let problem = format!(
            "secure_aggregation hides a device among {least} to {most} of a round{stay}; set `devices` so, or leave it out"
        );
        Err(SettingsError::value("rounds", "devices", devices, problem))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{JobSettings, TrainTable};
    use super::*;
    use crate::settings::Upload;
    use sprig_learn::directions::Sharing;
    use sprig_learn::spry::{Dealing, Seeds};
    use toml::Table;

    fn train(keys: &str) -> Result<Train, String> {
        let text = format!("labels = [\"a\", \"b\"]\n{keys}");
        let (table, given): (TrainTable, Table) =
            (toml::from_str(&text).map_err(|e| e.to_string())?, toml::from_str(&text).unwrap());
        let table = table.completed(&given).map_err(|e| e.to_string())?;
        Train::new(table).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_left_out_adds_up_and_what_does_not_is_refused() {
        let scalars = train("secure_aggregation = true").unwrap();
        assert!(
            scalars.is_secure() && scalars.seeds == Seeds::Shared && scalars.directions == Sharing::Shared
        );
        let weights = train("secure_aggregation = true\nmode = \"per-epoch\"").unwrap();
        assert_eq!((weights.up, weights.dealing), (Upload::Weights, Dealing::Unsplit));
        assert_eq!((weights.seeds, weights.directions), (Seeds::Own, Sharing::PerExample));
        for (keys, words) in [
            ("dealing = \"cyclic\"", "dealing = \"unsplit\""),
            ("seeds = \"own\"", "seeds = \"shared\""),
            ("directions = \"per-example\"", "directions = \"shared\""),
            ("mode = \"per-epoch\"\nup = \"scalars\"", "up = \"weights\""),
            ("server = { robust = \"median\" }", "one by one"),
            ("objective = \"catto\"\nparts = true", "parts = false"),
            ("readout = {}", "[train.readout]"),
            ("flow = {}", "[train.flow]"),
        ] {
            let error = train(&format!("secure_aggregation = true\n{keys}")).unwrap_err();
            assert!(error.contains("secure_aggregation") && error.contains(words), "{keys}: {error}");
        }
    }

    /// A device that does not know what it means would send its numbers as they are: it refuses the job.
    #[test]
    fn devices_that_cannot_hide_their_steps_refuse_to_send_them() {
        let text = |keys: &str| JobSettings::new("x".to_owned(), train(keys).unwrap()).to_text();
        assert!(text("secure_aggregation = true").starts_with("format = 4\nleast = 4\n"));
        assert!(!text("").contains("format") && !text("").contains("secure"));
    }

    #[test]
    fn a_device_hides_among_three_at_least() {
        let secure = train("[readout]\nsecure_aggregation = true").unwrap();
        assert!(secure.check_devices(3).is_ok() && secure.check_devices(512).is_ok());
        for secure in [secure, train("secure_aggregation = true").unwrap()] {
            let error = secure.check_devices(2).unwrap_err().to_string();
            assert!(error.contains("[rounds] devices = 2") && error.contains("among 3 to 512"), "{error}");
        }
        assert!(train("").unwrap().check_devices(1).is_ok());
        // Two in three of four are three.
        let shared = train("[readout]\nsecure_aggregation = true\ndp = 4\nnoise_among = 3").unwrap();
        assert!(shared.check_devices(4).is_ok());
        let error = shared.check_devices(3).unwrap_err().to_string();
        assert!(error.contains("among 4 to 512") && error.contains("noise among 3"), "{error}");
        for (sharers, members) in [(1, 3), (2, 3), (3, 4), (4, 5), (5, 7), (6, 8), (342, 512)] {
            assert_eq!(fewest_members(sharers), members);
            assert!((2 * members).div_ceil(3) >= sharers);
            assert!(members == 3 || (2 * (members - 1)).div_ceil(3) < sharers);
        }
    }

    #[test]
    fn noise_is_shared_by_devices_that_hide_alone() {
        for (keys, words) in [
            ("[readout]\ndp = 4\nnoise_among = 3", "set dp and secure_aggregation"),
            ("[readout]\nsecure_aggregation = true\nnoise_among = 3", "set dp and secure_aggregation"),
            ("[noise]\ndp = 4\nnoise_among = 3", "secure_aggregation = true"),
            (
                "secure_aggregation = true\nmode = \"per-epoch\"\nup = \"scalars\"\n[noise]\ndp = 4",
                "per-iteration",
            ),
        ] {
            let error = train(keys).unwrap_err();
            assert!(error.contains(words), "{keys}: {error}");
        }
        let both = train("secure_aggregation = true\n[noise]\ndp = 4\nnoise_among = 3").unwrap();
        assert_eq!((both.sharers(), both.is_secure()), (3, true));
        assert!(JobSettings::new("x".to_owned(), both).to_text().starts_with("format = 4\nleast = 4\n"));
    }
}
