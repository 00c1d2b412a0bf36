//! An adapter of a fleet as GGUF LoRA.

use crate::exit::{Exit, Failure};
use sprig_engine::adapter::Adapter;
use sprig_engine::gguf::Mapped;
use sprig_engine::kernels::Ctx;
use sprig_learn::directions::initial_normals;
use sprig_protocol::export::{Export, labels};
use sprig_protocol::settings::FleetSettings;
use sprig_run::Base;
use std::path::Path;

/// Writes the adapter whose trainable numbers, or whose sums, are `values` to `out`. The weights are streamed: the frozen factors come
/// from the model.
pub fn write(settings: &FleetSettings, values: &[f32], out: &Path) -> Result<(), Failure> {
    let map = Mapped::open(&settings.model.path)?;
    let base = Base::open(&map)?;
    let (spec, key) = (settings.train.adapter(&base.geometry)?, settings.train.rules().run_key);
    let ctx = Ctx::new(settings.model.threads()).map_err(|e| Failure::new(Exit::Usage, e))?;
    let model = base.model(true)?;
    let mut adapter = Adapter::new(&spec, &model, &ctx, |id, out| initial_normals(key, id, out))
        .map_err(|e| Failure::new(Exit::Usage, e))?;
    let labels = labels(&settings.train, &base)?;
    let export = Export {
        train: &settings.train,
        geometry: &base.geometry,
        model: &map.digest_hex()?,
        labels: labels.as_ref(),
    };
    export.fill(&mut adapter, values, &model, &ctx)?;
    Ok(export.write(&adapter, values, out)?)
}
