//! Totals of several coordinators that lead a part of the devices each, added up: whole numbers, so that it is the total of one
//! that led them all.

use crate::exit::{Exit, Failure};
use sprig_coordinator::control;
use sprig_engine::gguf::Mapped;
use sprig_learn::readout::fleet::FleetSums;
use sprig_protocol::settings::FleetSettings;
use sprig_run::Base;
use std::path::PathBuf;

/// The total of `values`, which are those of `settings`, and of the fleets that the files `others` configure.
///
/// # Errors
/// They train in steps or other things, or one is there twice.
pub fn fold(settings: &FleetSettings, values: &[f32], others: &[PathBuf]) -> Result<FleetSums, Failure> {
    let map = Mapped::open(&settings.model.path)?;
    let base = Base::open(&map)?;
    let Some(shape) = settings.train.sums(&base.geometry) else {
        let message = "--with adds up the sums of read-outs, and this fleet trains in steps, each of which follows from the one \
                       before: leave it out, or use [train.readout]";
        return Err(Failure::new(Exit::Usage, message));
    };
    let damaged = |state: &PathBuf, flaw| {
        Failure::new(Exit::BadFile, format!("{}: the total that is kept there: {flaw}", state.display()))
    };
    let own = &settings.coordinator.state;
    let mut total = FleetSums::from_values(shape, values).map_err(|flaw| damaged(own, flaw))?;
    let mut states = vec![own.canonicalize().unwrap_or_else(|_| own.clone())];
    for path in others {
        let other = FleetSettings::read(path)?;
        let state = &other.coordinator.state;
        let place = state.canonicalize().unwrap_or_else(|_| state.clone());
        let refuse =
            |what: &str| Err(Failure::new(Exit::Usage, format!("--with {}: {what}", path.display())));
        if states.contains(&place) {
            return refuse("its ledger is added up already; name each fleet once");
        }
        if other.train != settings.train {
            return refuse("its [train] is another, and sums of different trainings do not add up");
        }
        if other.model.path != settings.model.path
            && Mapped::open(&other.model.path)?.digest_hex()? != map.digest_hex()?
        {
            return refuse("its model is another, and sums of different models do not add up");
        }
        let found = control::adapter(state, None)?;
        let own = FleetSums::from_values(shape, &found.values).map_err(|flaw| damaged(state, flaw))?;
        total.merge(&own)?;
        states.push(place);
    }
    Ok(total)
}
