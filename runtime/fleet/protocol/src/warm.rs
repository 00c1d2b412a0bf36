//! A fleet that goes on from an adapter: what it begins with are that adapter's numbers. Devices need not know: before the first
//! round they find that they have others, and are sent these like any state that they lack.

use crate::FleetError;
use crate::settings::{SettingsError, Train};
use sprig_engine::adapter::{Adapter, AdapterError, AdapterFile};
use sprig_engine::kernels::Ctx;
use sprig_learn::LearnError;
use sprig_learn::directions::initial_normals;
use sprig_run::Base;

/// Puts the numbers of the adapter that `[train] init` names in the place of `start`, those of a new one; without it they
/// stay. `model` is the digest of the model's file. Frozen factors are made on `threads` threads.
///
/// # Errors
/// [`SettingsError::Value`] for a file that is no adapter of this model and training, with what to do; or it cannot be read.
pub fn warm(
    train: &Train,
    base: &Base<'_>,
    (model, threads): (&str, usize),
    start: &mut [f32],
) -> Result<(), FleetError> {
    let Some(path) = &train.init else { return Ok(()) };
    let refuse =
        |problem: String| FleetError::from(SettingsError::value("train", "init", path.display(), problem));
    if train.readout.is_some() {
        let problem = "a read-out begins with sums of nothing; leave out init, or the table [train.readout]";
        return Err(refuse(problem.to_owned()));
    }
    let wrong = |e: AdapterError| if e.is_io() { e.into() } else { refuse(e.to_string()) };
    let file = AdapterFile::open(path).map_err(wrong)?;
    file.check_base(model).map_err(wrong)?;
    let (spec, key) = (train.adapter(&base.geometry)?, train.rules().run_key);
    let ctx = Ctx::new(threads).map_err(|e| LearnError::Settings(e.to_string()))?;
    let weights = base.model(true)?;
    let mut adapter = Adapter::new(&spec, &weights, &ctx, |id, out| initial_normals(key, id, out))?;
    file.express(&mut adapter, &base.geometry).map_err(wrong)?;
    let own = adapter.values();
    start[..own.len()].copy_from_slice(own);
    // Routers of an earlier fleet go on too, where they look at what these look at.
    let routers = file.meta().routers.as_ref().filter(|routers| routers.fits(&spec, &base.geometry));
    if let Some(routers) = routers.filter(|routers| routers.weights.len() == start.len() - own.len()) {
        start[own.len()..].copy_from_slice(&routers.weights);
    }
    Ok(())
}
