//! Held-out evaluation on the coordinator: model and data live in its evaluation thread, so that rounds go on meanwhile.

use crate::files::scratch;
use sprig_budget::{Bytes, Plan};
use sprig_coordinator::{EvaluationThread, HeldOut, Ready};
use sprig_engine::adapter::Adapter;
use sprig_engine::gguf::Mapped;
use sprig_ground::PathError;
use sprig_learn::data::{LoadOptions, Overflow};
use sprig_learn::readout::fleet::{adapt, solving_needs};
use sprig_learn::workload::{Adapted, Means, Residency, Workload};
use sprig_protocol::FleetError;
use sprig_protocol::settings::{FleetSettings, Train};
use sprig_run::{Base, Planned, evaluate};
use std::path::{Path, PathBuf};

/// What the coordinator itself takes, with room to spare: the ledger's cache of 8 MiB, link and dashboard, rounds and
/// devices, the stacks of their threads.
const COORDINATOR: Bytes = Bytes::mib(24);

/// Loads model and data; returns once both are there, with the plan of what they hold.
pub fn start(settings: &FleetSettings, data: &Path) -> Result<(EvaluationThread, Plan), FleetError> {
    let evaluator = Evaluator {
        model: settings.model.path.clone(),
        budget: sprig_run::budget(settings.model.budget, None)?,
        threads: settings.model.threads(),
        train: settings.train.clone(),
        data: data.to_owned(),
    };
    let started = EvaluationThread::start(move |ready| evaluator.serve(ready));
    started.map_err(PathError::at("start a thread to evaluate", data))?
}

/// What to evaluate with.
struct Evaluator {
    model: PathBuf,
    budget: Bytes,
    threads: usize,
    train: Train,
    data: PathBuf,
}

impl Evaluator {
    fn serve(&self, ready: Ready<Plan>) -> Result<(), FleetError> {
        let map = Mapped::open(&self.model)?;
        let base = Base::open(&map)?;
        let spec = self.train.adapter(&base.geometry)?;
        let overflow = Some(Overflow::into(scratch()));
        let options = LoadOptions { overflow, ..self.train.recipe().records.load_options() };
        let data = base.data(&[&self.data], &[], options, self.budget)?;
        let means = Means { threads: self.threads, residency: Residency::Auto };
        let objective = self.train.recipe().judged();
        let (adapted, batch) = (Adapted::Made(spec.clone()), self.train.batch.as_usize());
        let work = Workload::evaluation(objective, adapted, batch, means);
        let shape = self.train.sums(&base.geometry);
        let solving = shape.map(|shape| solving_needs(&base.geometry, shape, self.threads));
        let held_elsewhere =
            [("the coordinator", COORDINATOR)].into_iter().chain(solving.into_iter().flatten());
        let work = Workload { held_elsewhere: held_elsewhere.collect(), ..work };
        let planned = base.plan(data.measure(work), self.budget, None)?;
        let engine = base.engine(&planned)?;
        let mut adapter = engine.adapter(&spec, self.train.rules().run_key)?;
        let mut session = engine.session(&planned, None)?;
        let labels = data.train.labels().map(|labels| labels.tokens().to_vec()).unwrap_or_default();
        let readout = shape.map(|shape| (shape, labels));
        let Planned { plan, tuning, .. } = &planned;
        ready.say(plan.clone()).evaluate(|values| {
            let untouched = readout.is_some() && values.iter().all(|&v| v == 0.0);
            match &readout {
                Some(_) if untouched => {}
                Some((shape, labels)) => {
                    adapt(&mut adapter, (values, *shape), labels, &engine.model, &engine.ctx)?
                }
                None => take_over(&mut adapter, values)?,
            }
            let adapter = (!untouched).then_some(&adapter);
            let whole = evaluate(&mut session, adapter, &data.train, tuning.cut.examples, None, |_| true)?;
            match whole {
                Some(found) => Ok(HeldOut::of(&found, data.train.len())),
                None => Err(FleetError::Bug("an evaluation stopped that nobody stops".to_owned())),
            }
        });
        Ok(())
    }
}

/// Makes `adapter` the one of these values.
fn take_over(adapter: &mut Adapter, values: &[f32]) -> Result<(), FleetError> {
    let own = adapter.values_mut();
    // Behind them, under Flow, are the routers, which the adapter that all share has no use for.
    let Some(shared) = values.get(..own.len()) else {
        let message = format!("{} numbers are not this adapter's {}", values.len(), own.len());
        return Err(FleetError::Bug(message));
    };
    own.copy_from_slice(shared);
    Ok(())
}
