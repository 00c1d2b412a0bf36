//! An adapter of a fleet as GGUF LoRA.

use crate::exit::{Exit, Failure};
use sprig_engine::adapter::{Adapter, AdapterMeta, Carried};
use sprig_engine::gguf::Mapped;
use sprig_engine::kernels::Ctx;
use sprig_learn::data::Asker;
use sprig_learn::directions::initial_normals;
use sprig_learn::readout::fleet::adapt;
use sprig_protocol::settings::FleetSettings;
use sprig_run::Base;
use std::path::Path;

/// Writes the adapter whose trainable numbers, or whose sums, are `values` to `out`. The weights are streamed: the frozen factors come
/// from the model.
pub fn write(settings: &FleetSettings, values: &[f32], out: &Path) -> Result<(), Failure> {
    let map = Mapped::open(&settings.model.path)?;
    let base = Base::open(&map)?;
    let (spec, rules) = (settings.train.adapter(&base.geometry)?, settings.train.rules());
    let ctx = Ctx::new(settings.model.threads()).map_err(|e| Failure::new(Exit::Usage, e))?;
    let model = base.model(true)?;
    let key = rules.run_key;
    let mut adapter = Adapter::new(&spec, &model, &ctx, |id, out| initial_normals(key, id, out))
        .map_err(|e| Failure::new(Exit::Usage, e))?;
    let trained = settings.train.trained(&base.geometry)?;
    let routers: usize = trained.shared_routers(&base.geometry).iter().map(|router| router.range.len()).sum();
    let options = settings.train.recipe().records.load_options();
    let labels = match options.label_names.is_empty() {
        true => None,
        false => Some(Asker::new(out, &options, &base.tokenizer()?)?.labels().clone()),
    };
    match (settings.train.sums(&base.geometry), &labels) {
        (Some(shape), Some(labels)) => adapt(&mut adapter, (values, shape), labels.tokens(), &model, &ctx)?,
        _ if adapter.values().len() + routers != values.len() => {
            let message = format!(
                "the ledger's adapter has {} numbers, the one of these settings {}; export with the settings of the run",
                values.len(),
                adapter.values().len() + routers
            );
            return Err(Failure::new(Exit::BadFile, message));
        }
        _ => adapter.values_mut().copy_from_slice(&values[..values.len() - routers]),
    }
    let routers = trained.routing.map(|routing| Carried {
        sees: routing.sees,
        pool: routing.pool,
        weights: values[values.len() - routers..].to_vec(),
    });
    let asking = Some(options.asking(labels.as_ref()));
    let meta = AdapterMeta { asking, routers, ..AdapterMeta::of(&base.geometry, &map.digest_hex()?) };
    Ok(adapter.write(out, &meta)?)
}
