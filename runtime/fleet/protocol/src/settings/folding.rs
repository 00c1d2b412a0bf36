//! Fleets that learn one adapter.

use super::connection::FleetName;
use super::{SettingsError, Train};
use sprig_transport::messages::MAX_FOLDED;

/// Refuses to fold with `others` what does not add up, or a fleet with itself.
pub(super) fn check(others: &[FleetName], own: &FleetName, train: &Train) -> Result<(), SettingsError> {
    let refuse = |found: String, problem: String| {
        Err(SettingsError::value("coordinator", "fold_with", found, problem))
    };
    if others.len() > MAX_FOLDED {
        return refuse(
            format!("{} names", others.len()),
            format!("at most {MAX_FOLDED} fleets can be folded with"),
        );
    }
    for (at, other) in others.iter().enumerate() {
        let problem = if other == own {
            "it is this fleet itself; name the others alone"
        } else if others[..at].contains(other) {
            "it is there twice; name each fleet once"
        } else {
            continue;
        };
        return refuse(format!("{:?}", other.to_string()), problem.into());
    }
    if others.is_empty() || train.secure_aggregation {
        return Ok(());
    }
    let remedy = match train.readout {
        Some(_) => {
            "read-outs of several fleets are added up once they are done, by `sprig fleet export --with`; leave it out"
        }
        None => {
            "only whole numbers add up to one adapter everywhere; set [train] secure_aggregation = true, or leave it out"
        }
    };
    let names: Vec<String> = others.iter().map(ToString::to_string).collect();
    refuse(format!("{names:?}"), remedy.into())
}

/// Leaves the gate open, which a coordinator would close by its own data while the others go on.
pub(super) fn without_gate(gate: &mut bool, given: bool) -> Result<(), SettingsError> {
    if given && *gate {
        let problem =
            "with [coordinator] fold_with no coordinator takes an adapter back by itself; leave it out";
        return Err(SettingsError::value("rounds", "gate", true, problem));
    }
    *gate = false;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::settings::{FleetSettings, SettingsError};

    fn read(rounds: &str, train: &str, others: &str) -> Result<FleetSettings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        let text = format!(
            "[fleet]\nname = \"north\"\nbroker = \"mqtt://localhost\"\n[model]\npath = \"m.gguf\"\n[rounds]\ndevices = 3\n{rounds}\n\
             [train]\ntask = \"label\"\nlabels = [\"a\", \"b\"]\n{train}\n[coordinator]\nfold_with = [{others}]\n"
        );
        std::fs::write(&path, text).unwrap();
        FleetSettings::read(&path)
    }

    const SECURE: &str = "secure_aggregation = true";

    #[test]
    fn fleets_are_folded_by_steps_in_sum_alone_and_without_a_gate() {
        let settings = read("", SECURE, "\"south\", \"west\"").unwrap();
        let names: Vec<String> = settings.coordinator.fold_with.iter().map(ToString::to_string).collect();
        assert_eq!((names, settings.rounds.gate), (vec!["south".to_owned(), "west".to_owned()], false));
        assert!(read("gate = false", SECURE, "\"south\"").is_ok());
        // Nothing changes for a fleet by itself.
        assert!(read("", "", "").unwrap().rounds.gate);
        let many: Vec<String> = (0..33).map(|n| format!("\"south-{n}\"")).collect();
        for (rounds, train, others, words) in [
            ("", "", "\"south\"", "fold_with = [\"south\"]: only whole numbers"),
            ("", "", "\"south\"", "set [train] secure_aggregation = true"),
            ("", "[train.readout]", "\"south\"", "`sprig fleet export --with`"),
            ("", SECURE, "\"north\"", "it is this fleet itself"),
            ("", SECURE, "\"south\", \"south\"", "name each fleet once"),
            ("", SECURE, &many.join(", "), "at most 32 fleets"),
            ("", SECURE, "\"So/uth\"", "1 to 48 of a-z"),
            ("gate = true", SECURE, "\"south\"", "no coordinator takes an adapter back by itself"),
        ] {
            let error = read(rounds, train, others).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
