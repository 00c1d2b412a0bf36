//! The worker of a read-out: sums over all of the device's examples, once, and the fleet's total as it is announced.

use super::model::{FLEET, budget};
use super::regions::regions;
use super::{Trained, Worker};
use sprig_learn::LearnError;
use sprig_learn::data::DataSet;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::to_judge;
use sprig_learn::readout::fleet::{Flaw, FleetSums, Gatherer, Shape, gathering_needs};
use sprig_learn::session::Session;
use sprig_learn::workload::{Adapted, Means, Residency, Workload};
use sprig_protocol::FleetError;
use sprig_protocol::settings::{DeviceSettings, SettingsError, Train};
use sprig_run::{Base, Data, Engine, Moved, Planned, Running};
use sprig_transport::messages::{Body, Digest, Record, Snapshot, Task};
use std::time::{Duration, Instant};

/// A device's part of a read-out, planned.
pub struct OpenedSums {
    /// What it takes.
    pub planned: Planned,
    shape: Shape,
}

/// Sums as they grow.
pub struct SumsWorker<'m> {
    session: Session<'m>,
    data: &'m DataSet,
    total: FleetSums,
    digest: Digest,
    round: u32,
    under_way: Option<UnderWay>,
    /// Most examples of a pass.
    batch: usize,
    /// Examples of one now.
    examples: usize,
    running: Running<'m>,
}

struct UnderWay {
    gatherer: Gatherer,
    done: usize,
    tokens: usize,
}

impl OpenedSums {
    /// Plans one device's part of the read-out `train` within its budget.
    ///
    /// # Errors
    /// It has fewer examples than may be summed up, or no room.
    pub fn plan(
        base: &Base<'_>,
        (train, shape): (&Train, Shape),
        data: &Data,
        settings: &DeviceSettings,
    ) -> Result<Self, FleetError> {
        let (n, fewest) = (data.train.len(), train.readout.map_or(1, |set| set.min_examples.get()));
        if n < fewest as usize {
            let remedy = format!(
                "sums of fewer than {fewest} examples would tell too much of each, so this fleet takes none; add examples"
            );
            return Err(SettingsError::value("data", "train", format_args!("{n} examples"), remedy).into());
        }
        let g = &base.geometry;
        train.adapter(g)?;
        let means = Means { threads: settings.model.threads(), residency: Residency::Auto };
        let (batch, judged) = (train.batch.as_usize(), to_judge(train.task, train.label_loss));
        let mut held_elsewhere = gathering_needs(g, shape, batch);
        held_elsewhere.push(("link and outbox", FLEET));
        let work = Workload::evaluation(judged, Adapted::Plain, batch, means);
        let work = Workload { held_elsewhere, ..work };
        Ok(Self { planned: base.plan(data.measure(work), budget(settings)?, None)?, shape })
    }
}

impl<'m> SumsWorker<'m> {
    /// Brings the model into memory.
    pub fn new(
        base: &'m Base<'_>,
        engine: &'m Engine<'m>,
        opened: &'m OpenedSums,
        data: &'m DataSet,
        settings: &DeviceSettings,
    ) -> Result<Self, FleetError> {
        let OpenedSums { planned, shape } = opened;
        let total = FleetSums::new(*shape);
        Ok(Self {
            session: engine.session(planned, None)?,
            data,
            digest: Digest(total.digest()),
            total,
            round: 0,
            under_way: None,
            batch: planned.work.batch,
            examples: planned.tuning.cut.examples,
            running: Running::new(base, planned, !settings.agent.ignore_pressure)?,
        })
    }

    /// Tokens a second of a plain pass over some of the device's own examples.
    pub fn measure(&mut self) -> Result<f32, FleetError> {
        let mut best = f32::INFINITY;
        let ids: Vec<usize> = (0..self.data.len().min(self.examples)).collect();
        let batch = Minibatch::new(self.data, &ids);
        // The first pass brings weights and tables into memory.
        for _ in 0..2 {
            let start = Instant::now();
            self.fresh().take(&mut self.session, batch)?;
            best = best.min(start.elapsed().as_secs_f32());
        }
        Ok(batch.tokens() as f32 / best.max(1e-6))
    }

    /// The fleet's sums, as last announced.
    pub fn total(&self) -> &FleetSums {
        &self.total
    }

    fn fresh(&self) -> Gatherer {
        Gatherer::new(self.session.model().geometry(), self.total.shape(), self.batch)
    }
}

impl Worker for SumsWorker<'_> {
    fn round(&self) -> u32 {
        self.round
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn replay(&mut self, record: &Record) -> Result<(), FleetError> {
        // Sums have no record but that of a round in which nobody sent any.
        self.round = record.round + 1;
        Ok(())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), FleetError> {
        let wrong = |flaw: Flaw| LearnError::Settings(format!("the fleet's sums: {flaw}"));
        self.total = FleetSums::from_values(self.total.shape(), &snapshot.values).map_err(wrong)?;
        self.round = snapshot.round;
        self.digest = Digest(self.total.digest());
        Ok(())
    }

    fn begin(&mut self, _task: &Task, _memory: Option<&[u8]>) -> Result<(), FleetError> {
        self.under_way = Some(UnderWay { gatherer: self.fresh(), done: 0, tokens: 0 });
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Trained>, FleetError> {
        let Some(under_way) = &mut self.under_way else { return Ok(None) };
        let (n, done) = (self.data.len(), under_way.done);
        let ids: Vec<usize> = (done..n.min(done + self.examples)).collect();
        let batch = Minibatch::new(self.data, &ids);
        under_way.gatherer.take(&mut self.session, batch)?;
        under_way.done += ids.len();
        under_way.tokens += batch.tokens();
        if under_way.done < n {
            return Ok(None);
        }
        let Some(UnderWay { gatherer, tokens, .. }) = self.under_way.take() else { return Ok(None) };
        let sums = gatherer.finish();
        let packed = sums.packed();
        Ok(Some(Trained {
            examples: sums.examples().try_into().unwrap_or(u32::MAX),
            tokens: tokens.try_into().unwrap_or(u32::MAX),
            loss: 0.0,
            body: Body::Dense { digest: Digest::of(&packed), bytes: packed.len() as u32 },
            dense: packed,
            memory: Vec::new(),
            regions: regions(&self.running, &self.session),
            planned: self.running.plan().total().0,
            weights: self.running.plan().mapped().0,
        }))
    }

    fn progress(&self) -> Option<(usize, usize)> {
        let (done, n) = (self.under_way.as_ref()?.done, self.data.len());
        // A line for each tenth.
        let tenth = |done: usize| 10 * done / n;
        (tenth(done) > tenth(done.saturating_sub(self.examples))).then_some((done, n))
    }

    fn look(&mut self, clock: Duration) -> Result<Option<Moved>, FleetError> {
        let moved = self.running.between_steps(clock, &mut self.session)?;
        if let Some(moved) = &moved {
            self.examples = moved.tuning.cut.examples;
        }
        Ok(moved)
    }

    fn abandon(&mut self) {
        self.under_way = None;
    }
}

#[cfg(test)]
#[path = "sums_tests.rs"]
mod tests;
