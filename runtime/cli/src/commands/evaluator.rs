//! Held-out evaluation on the coordinator: model and data live in its evaluation thread, so that rounds go on meanwhile.

use sprig_budget::{Bytes, Plan};
use sprig_coordinator::{EvaluationThread, HeldOut, Ready};
use sprig_engine::gguf::Mapped;
use sprig_ground::PathError;
use sprig_learn::evaluate::Evaluation;
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
        let data = base.data(&self.data, None, self.train.recipe().records.load_options(), self.budget)?;
        let means = Means { threads: self.threads, residency: Residency::Auto };
        let objective = self.train.recipe().objective();
        let (adapted, batch) = (Adapted::Made(spec.clone()), self.train.batch.as_usize());
        let work = Workload::evaluation(objective, adapted, batch, means);
        let work = Workload { held_elsewhere: vec![("the coordinator", COORDINATOR)], ..work };
        let planned = base.plan(data.measure(work), self.budget, None)?;
        let engine = base.engine(&planned)?;
        let mut adapter = engine.adapter(&spec, self.train.rules().run_key)?;
        let mut session = engine.session(&planned, None)?;
        let Planned { plan, tuning, .. } = &planned;
        ready.say(plan.clone()).evaluate(|values| {
            let own = adapter.values_mut();
            if values.len() != own.len() {
                let message = format!("{} numbers are not this adapter's {}", values.len(), own.len());
                return Err(FleetError::Bug(message));
            }
            own.copy_from_slice(values);
            let whole = evaluate(&mut session, Some(&adapter), &data.train, tuning.cut.examples, |_| true)?;
            let Some(Evaluation { n, loss, accuracy, .. }) = whole else {
                return Err(FleetError::Bug("an evaluation stopped that nobody stops".to_owned()));
            };
            Ok(HeldOut { loss, accuracy: Some(accuracy), n: n.try_into().unwrap_or(u32::MAX) })
        });
        Ok(())
    }
}
