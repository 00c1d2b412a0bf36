//! What can travel between devices and coordinator. Whatever is larger is encoded all the same and refused by every
//! receiver, the coordinator's own ledger among them: so settings that lead there are refused before anything is trained.

use crate::settings::{JobSettings, Mode, SettingsError, Train, TrainTable, Upload};
use sprig_learn::setting::quoted;
use sprig_learn::spry::{Dealing, Layout};
use sprig_transport::messages::{MAX_SCALARS, MAX_SETTINGS, MAX_VALUES};

/// Whether adapter, moments and updates of this training can travel.
///
/// # Errors
/// [`SettingsError::Value`], with the setting, the limit and what to write instead.
pub fn check(train: &Train, layout: &Layout) -> Result<(), SettingsError> {
    let rules = train.rules();
    let refuse =
        |field, found: String, problem: String| Err(SettingsError::value("train", field, found, problem));
    if train.flow.is_some() {
        train.flow()?;
        if train.dealing != Dealing::Unsplit {
            let problem =
                format!("under Flow each device has all of the adapter; use dealing = {:?}", "unsplit");
            return refuse("dealing", quoted(train.dealing.name()), problem);
        }
        if train.up == Upload::Scalars {
            let problem = format!("Flow's devices send weights; use up = {:?}", "weights");
            return refuse("up", quoted(train.up.name()), problem);
        }
    }
    let smaller = "a smaller `rank`, or fewer `targets` or `layers`";
    let weights = layout.len();
    if weights > MAX_VALUES {
        let problem = format!(
            "an adapter of rank {} has {weights} weights here, and {MAX_VALUES} can travel; use {smaller}",
            train.rank
        );
        return refuse("adapter", quoted(train.adapter.name()), problem);
    }
    let moments = weights * rules.server.moments();
    if moments > MAX_VALUES {
        let problem = format!(
            "it keeps {moments} moments for {weights} weights, and {MAX_VALUES} can travel; use `avg`, {smaller}"
        );
        return refuse("server.rule", quoted(train.server.rule.name()), problem);
    }
    let scalars = rules.sent_count(rules.examples());
    if train.up == Upload::Scalars && scalars > MAX_SCALARS {
        let too_many = format!("make an update of {scalars} scalars, and {MAX_SCALARS} can travel");
        let TrainTable { batch, local_steps, tangents, .. } = &**train;
        return match train.mode {
            Mode::PerIteration => refuse(
                "batch",
                batch.to_string(),
                format!("so many examples and {tangents} tangents {too_many}; use fewer of either"),
            ),
            Mode::PerEpoch => refuse(
                "local_steps",
                local_steps.to_string(),
                format!(
                    "so many steps of {batch} examples and {tangents} tangents {too_many}; use fewer of any, or \
                     up = \"weights\""
                ),
            ),
        };
    }
    Ok(())
}

/// Whether `job` can be announced.
///
/// # Errors
/// [`SettingsError::Value`], with the setting, the limit and what to write instead.
pub fn check_job(job: &JobSettings) -> Result<(), SettingsError> {
    let bytes = job.to_text().len();
    if bytes <= MAX_SETTINGS {
        return Ok(());
    }
    let problem = format!(
        "[train] takes {bytes} bytes, and {MAX_SETTINGS} can be announced; use fewer or shorter labels, or a shorter \
         `template`"
    );
    let labels = job.train.labels.len();
    Err(SettingsError::value("train", "labels", format_args!("{labels} labels"), problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `groups` groups of 1,000 weights.
    fn layout(groups: usize) -> Layout {
        Layout::synthetic(groups, 1000)
    }

    fn refused(train: &Train, groups: usize) -> Option<String> {
        check(train, &layout(groups)).err().map(|e| e.to_string())
    }

    /// A training of two labels with these lines.
    fn train(lines: &str) -> Train {
        toml::from_str(&format!("labels = [\"a\", \"b\"]\n{lines}")).unwrap()
    }

    #[test]
    fn adapters_and_moments_that_cannot_be_read_back_are_refused() {
        let adam = train("server.rule = \"adam\"");
        assert_eq!(refused(&adam, 4194), None);
        let error = refused(&adam, 4195).unwrap();
        assert!(error.contains("[train] server.rule = \"adam\"") && error.contains("8388608"), "{error}");
        let avg = train("server.rule = \"avg\"");
        assert_eq!(refused(&avg, 8388), None);
        let error = refused(&avg, 8389).unwrap();
        assert!(error.contains("[train] adapter = \"lora-xs\"") && error.contains("rank"), "{error}");
    }

    #[test]
    fn updates_that_no_message_can_hold_are_refused() {
        let epoch = |steps: u32, up: &str| {
            train(&format!(
                "mode = \"per-epoch\"\nlocal_steps = {steps}\ntangents = 64\nbatch = 8\nup = {up:?}"
            ))
        };
        assert_eq!(refused(&epoch(31, "scalars"), 6), None);
        let error = refused(&epoch(40, "scalars"), 6).unwrap();
        assert!(error.contains("local_steps = 40") && error.contains("20480"), "{error}");
        assert!(error.contains("16000") && error.contains("up = \"weights\""), "{error}");
        assert_eq!(refused(&epoch(40, "weights"), 6), None);
        let error = refused(&train("batch = 4096\ntangents = 4"), 6).unwrap();
        assert!(error.contains("[train] batch = 4096"), "{error}");
    }

    #[test]
    fn jobs_that_no_announcement_can_hold_are_refused() {
        let job = |template: usize| {
            let line = format!("template = \"{{text}} {{options}} {}\"", "x".repeat(template));
            JobSettings { model: "ab".repeat(32), train: train(&line) }
        };
        assert!(check_job(&job(100)).is_ok());
        let error = check_job(&job(MAX_SETTINGS)).unwrap_err().to_string();
        assert!(error.contains("[train] labels = 2 labels") && error.contains("16384"), "{error}");
    }
}
