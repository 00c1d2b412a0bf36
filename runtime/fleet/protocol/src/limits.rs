//! What can travel between devices and coordinator. Whatever is larger is encoded all the same and refused by every
//! receiver, the coordinator's own ledger among them: so settings that lead there are refused before anything is trained.

use crate::settings::{JobSettings, MOST_HIDDEN, SettingsError, Train, TrainTable, Upload};
use sprig_learn::setting::quoted;
use sprig_learn::spry::{Dealing, Layout, integers};
use sprig_transport::messages::{MAX_SETTINGS, MAX_VALUES};

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
    // Of sums each number has two values.
    if let Some(readout) = train.readout.filter(|readout| readout.secure_aggregation)
        && weights / 2 > MOST_HIDDEN
    {
        let (numbers, found) = (weights / 2, readout.directions.to_string());
        let problem = format!(
            "sums of {numbers} numbers, and {MOST_HIDDEN} can be aggregated securely; use fewer directions"
        );
        return Err(SettingsError::value("train.readout", "directions", found, problem));
    }
    let hidden = if train.secure_aggregation { integers(&rules, weights) } else { 0 };
    if hidden > MOST_HIDDEN {
        let problem = format!(
            "an adapter of rank {} has {hidden} weights here, and {MOST_HIDDEN} can be aggregated securely; use {smaller}",
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
    // A single step never has as many: a batch is 4,096 examples at most, of 64 tangents and 3 parts of a loss.
    let scalars = rules.sent_count(rules.examples());
    if !train.up.takes_weights(&rules) && scalars > MAX_VALUES {
        let TrainTable { batch, local_steps, tangents, .. } = &**train;
        let problem = format!(
            "so many steps of {batch} examples and {tangents} tangents make an update of {scalars} scalars, and \
             {MAX_VALUES} can travel; use fewer of any, or up = \"weights\""
        );
        return refuse("local_steps", local_steps.to_string(), problem);
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
#[path = "limits_tests.rs"]
mod tests;
