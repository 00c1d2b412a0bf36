//! A device that comes when a run is over: it takes the adapter over and writes it. No data are read, no weight but those
//! that the adapter's frozen factors are made of, and nothing is measured.

use super::catch_up::arriving;
use super::held::{ARRIVES, budget, outside};
use super::sums::making;
use super::{Begun, Trained, Worker};
use sprig_budget::Bytes;
use sprig_engine::model::Geometry;
use sprig_learn::LearnError;
use sprig_learn::data::Labels;
use sprig_learn::readout::fleet::{Flaw, FleetSums};
use sprig_learn::spry::Server;
use sprig_learn::workload::{Adapted, Means, Residency, Workload};
use sprig_protocol::export::{self, Export};
use sprig_protocol::settings::{DeviceSettings, JobSettings, Train};
use sprig_protocol::{FleetError, beginning, limits};
use sprig_run::{Base, Engine, Planned, apart};
use sprig_transport::messages::{Digest, Record, Snapshot, Task};
use std::path::Path;

/// The round of a device that has nothing: no round follows it, so that a snapshot is all that helps.
const NOTHING: u32 = u32::MAX - 1;

/// What a device does in a run that is over, planned.
pub(crate) struct OpenedLate {
    /// What it takes.
    pub planned: Planned,
    labels: Option<Labels>,
}

/// An adapter's numbers, as they arrived.
pub(crate) struct Late<'m> {
    train: &'m Train,
    /// SHA-256 of the model's file, hexadecimal.
    model: &'m str,
    geometry: &'m Geometry,
    engine: &'m Engine<'m>,
    labels: Option<&'m Labels>,
    round: u32,
    digest: Digest,
    values: Vec<f32>,
}

impl OpenedLate {
    /// Plans to take over and write the adapter of `what` within the device's budget.
    pub(crate) fn plan(
        base: &Base<'_>,
        what: &JobSettings,
        settings: &DeviceSettings,
    ) -> Result<Self, FleetError> {
        let (train, g) = (&what.train, &base.geometry);
        let (layout, _) = beginning(train, g)?;
        limits::check(train, &layout)?;
        let means = Means { threads: settings.model.threads(), residency: Residency::Streamed };
        let labels = export::labels(train, base)?;
        let moments = if train.readout.is_some() { 0 } else { train.rules().server.moments() };
        let values = Bytes::of::<f32>(layout.len());
        let mut held_elsewhere = vec![
            // The frame, what it says, and what is kept of it.
            (ARRIVES, arriving(layout.len(), layout.len() * moments) + values),
        ];
        held_elsewhere.extend(outside(settings));
        held_elsewhere.extend(making(train, g, means.threads)?);
        let adapted = Adapted::Made(train.adapter(g)?);
        let work = Workload::evaluation(train.recipe().judged(), adapted, 1, means);
        let work = Workload { length: 1, candidates: 1, held_elsewhere, ..work };
        Ok(Self { planned: base.plan(work, budget(settings)?, None)?, labels })
    }
}

impl<'m> Late<'m> {
    /// Has nothing yet.
    pub(crate) fn new(
        base: &'m Base<'_>,
        engine: &'m Engine<'m>,
        opened: &'m OpenedLate,
        what: &'m JobSettings,
    ) -> Self {
        Self {
            train: &what.train,
            model: &what.model,
            geometry: &base.geometry,
            engine,
            labels: opened.labels.as_ref(),
            round: NOTHING,
            digest: Digest([0; 32]),
            values: Vec::new(),
        }
    }
}

impl Worker for Late<'_> {
    fn round(&self) -> u32 {
        self.round
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn replay(&mut self, _: &Record) -> Result<(), FleetError> {
        Err(FleetError::Bug("a round replayed on no adapter".to_owned()))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), FleetError> {
        self.digest = match self.train.sums(self.geometry) {
            Some(shape) => {
                let wrong = |flaw: Flaw| LearnError::Settings(format!("the fleet's sums: {flaw}"));
                Digest(FleetSums::from_values(shape, &snapshot.values).map_err(wrong)?.digest())
            }
            None => Digest(Server::digest_of(&snapshot.values)),
        };
        self.values.clone_from(&snapshot.values);
        self.round = snapshot.round;
        Ok(())
    }

    fn begin(&mut self, _: &Task, _: Option<&[u8]>) -> Result<Begun, FleetError> {
        Err(FleetError::Bug("a part of a run that is over".to_owned()))
    }

    fn step(&mut self) -> Result<Option<Trained>, FleetError> {
        Ok(None)
    }

    fn abandon(&mut self) {}

    fn write(&mut self, out: &Path) -> Result<(), FleetError> {
        let Self { train, model, geometry, engine, labels, values, .. } = self;
        let export = Export { train, geometry, model, labels: *labels };
        apart(|| {
            let mut adapter = engine.adapter(&train.adapter(geometry)?, train.rules().run_key)?;
            export.fill(&mut adapter, values, &engine.model, &engine.ctx)?;
            export.write(&adapter, values, out)
        })
    }
}
