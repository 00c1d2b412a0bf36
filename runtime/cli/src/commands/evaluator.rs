//! Held-out evaluation on the coordinator. The model lives in a thread of its own, so that rounds go on meanwhile.

use sprig_budget::{Bytes, Plan};
use sprig_coordinator::{Judge, Judgement};
use sprig_engine::gguf::Mapped;
use sprig_ground::PathError;
use sprig_learn::evaluate::{Evaluation, evaluate};
use sprig_learn::workload::{Adapted, Means, Residency, Workload};
use sprig_protocol::FleetError;
use sprig_protocol::settings::{FleetSettings, Train};
use sprig_run::{Base, Planned};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Evaluates adapters, one at a time.
pub struct ModelJudge {
    values: Sender<Vec<f32>>,
    found: Receiver<Result<Evaluation, FleetError>>,
    thread: Option<JoinHandle<()>>,
}

impl ModelJudge {
    /// Loads model and data; returns once both are there, with the plan of what they hold.
    pub fn open(settings: &FleetSettings, data: &Path) -> Result<(Self, Plan), FleetError> {
        let (values, requests) = channel::<Vec<f32>>();
        let (answers, found) = channel();
        let (ready, opened) = channel();
        let room = Room {
            model: settings.model.path.clone(),
            budget: settings.model.budget()?,
            threads: settings.model.threads(),
            train: settings.train.clone(),
            data: data.to_owned(),
        };
        let body = move || {
            if let Err(failure) = room.serve(&ready, &requests, &answers) {
                let _ = ready.send(Err(failure)); // before it was ready
            }
        };
        let thread = std::thread::Builder::new()
            .name("judge".to_owned())
            .spawn(body)
            .map_err(PathError::at("start a thread to evaluate", data))?;
        let plan = opened.recv().map_err(|_| gone())??;
        Ok((Self { values, found, thread: Some(thread) }, plan))
    }
}

impl Judge for ModelJudge {
    fn judge(&mut self, values: &[f32]) -> Result<Judgement, Box<dyn std::error::Error + Send + Sync>> {
        self.values.send(values.to_vec()).map_err(|_| gone())?;
        let Evaluation { n, loss, accuracy, .. } = self.found.recv().map_err(|_| gone())??;
        Ok(Judgement { loss, accuracy: Some(accuracy), n: n.try_into().unwrap_or(u32::MAX) })
    }
}

impl Drop for ModelJudge {
    fn drop(&mut self) {
        // The thread ends when its requests do.
        drop(std::mem::replace(&mut self.values, channel().0));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn gone() -> FleetError {
    FleetError::Bug("the evaluating thread is gone".to_owned())
}

struct Room {
    model: PathBuf,
    budget: Bytes,
    threads: usize,
    train: Train,
    data: PathBuf,
}

impl Room {
    fn serve(
        &self,
        ready: &Sender<Result<Plan, FleetError>>,
        requests: &Receiver<Vec<f32>>,
        answers: &Sender<Result<Evaluation, FleetError>>,
    ) -> Result<(), FleetError> {
        let map = Mapped::open(&self.model).map_err(|e| FleetError::model(&self.model, e))?;
        let base = Base::open(&map)?;
        let spec = self.train.adapter(&base.geometry)?;
        let data = base.data(&self.data, None, self.train.load_options()?)?;
        let means = Means { threads: self.threads, residency: Residency::Auto };
        let work = Workload::evaluation(Adapted::Made(spec.clone()), self.train.batch, means);
        let planned = base.plan(data.measure(work), self.budget, None)?;
        let engine = base.engine(&planned)?;
        let mut adapter = engine.adapter(&spec, self.train.rules()?.forward.run_key)?;
        let mut session = engine.session(&planned, None)?;
        let Planned { plan, tuning, .. } = &planned;
        let _ = ready.send(Ok(plan.clone()));
        while let Ok(values) = requests.recv() {
            let found = if values.len() == adapter.values().len() {
                adapter.values_mut().copy_from_slice(&values);
                let whole =
                    evaluate(&mut session, Some(&adapter), &data.train, tuning.cut.examples, |_| true);
                whole.map_err(FleetError::from).and_then(|found| found.ok_or_else(gone))
            } else {
                let message =
                    format!("{} numbers are not this adapter's {}", values.len(), adapter.values().len());
                Err(FleetError::Bug(message))
            };
            if answers.send(found).is_err() {
                break;
            }
        }
        Ok(())
    }
}
