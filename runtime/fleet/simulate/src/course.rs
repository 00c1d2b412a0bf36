//! The course of a study: round after round, evaluations between them, and what it came to.

use super::fleet::{Fleet, Turn};
use super::personal::{AccG, AccP};
use serde::Serialize;
use sprig_budget::{Bytes, Plan};
use sprig_coordinator::HeldOut;
use sprig_learn::calibration::Summary;
use sprig_learn::evaluate::Evaluation;
use sprig_protocol::FleetError;
use sprig_protocol::settings::{Mode, Rounds};
use sprig_transport::messages::Digest;
use std::time::Instant;

/// Where a study stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Rounds done.
    pub round: u32,
    /// Plain forward passes of a batch that the work of a device that took part in every round was worth, on average over
    /// the devices of a round (algorithm.md 3.7).
    pub passes: f64,
    /// The server's model on the held-out data; none at the end of a round that is not evaluated.
    #[serde(flatten)]
    pub found: Option<Evaluation>,
    /// How well the devices of the round are served by the server's model, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acc_g: Option<AccG>,
    /// How well by their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acc_p: Option<AccP>,
    /// How well the model knows what it knows: on the round's examples, each before the step that it led to; none of records
    /// without answers to choose among, and at evaluations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Summary>,
    /// Mean loss in training: in this round, or at an evaluation since the last one.
    pub train_loss: Option<f64>,
    /// Bytes that a device sends in a round, on average so far.
    pub bytes_up_per_device_round: f64,
    /// Bytes that a device receives in a round, on average so far.
    pub bytes_down_per_device_round: f64,
    /// Seconds since the first round began, evaluations included.
    pub seconds: f64,
}

/// Who looks on.
pub trait Follower {
    /// Whether to stop.
    fn stop(&self) -> bool;
    /// What is planned, before it is taken.
    fn planned(&mut self, plan: &Plan) -> Result<(), FleetError>;
    /// How the data were dealt.
    fn dealt(&mut self, dealt: &Dealt);
    /// Examples evaluated so far, of how many.
    fn evaluating(&mut self, done: usize, of: usize);
    /// A round is over, or an evaluation.
    fn point(&mut self, point: &Point);
}

/// How the data were dealt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dealt {
    /// Devices that have examples, and take part.
    pub devices: u32,
    /// Devices left out, for there was nothing left for them.
    pub excluded: u32,
    /// Examples of the device that has the fewest.
    pub fewest: usize,
    /// Examples of the device that has the most.
    pub most: usize,
}

/// What was found out.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// Devices that took part.
    pub devices: u32,
    /// Rounds done.
    pub rounds: u32,
    /// Whether somebody asked the study to stop before its last round.
    #[serde(skip)]
    pub stopped: bool,
    /// `per-iteration` or `per-epoch`, or `readout`.
    pub mode: &'static str,
    /// Rounds whose adapter was taken back, for it was worse than the best before.
    pub reverted: u32,
    /// Evaluation of the untouched model.
    pub before: Option<Evaluation>,
    /// The last evaluation after a round.
    pub after: Option<Evaluation>,
    /// Seconds of rounds and evaluations.
    pub seconds: f64,
    /// SHA-256 of the adapter's weights, as a coordinator states it.
    pub adapter_digest: String,
    /// Examples behind each group of each device, in the order of devices and of groups; none of a device that never took
    /// part.
    pub coverage: Vec<Vec<u64>>,
    /// The budget.
    pub budget_bytes: Bytes,
}

/// The adapter that did best so far on held-out data.
struct Best {
    found: Evaluation,
    values: Vec<f32>,
    moments: Vec<f32>,
}

/// A study under way.
pub(super) struct Course<'f, 'm> {
    fleet: &'f mut Fleet<'m>,
    follow: &'f mut dyn Follower,
    /// Whether devices' own models are evaluated too.
    personal: bool,
    round: u32,
    passes: f64,
    /// Loss of the last round.
    loss: Option<f64>,
    /// Its calibration.
    calibration: Option<Summary>,
    /// Sum and number of the rounds' losses since the last evaluation.
    losses: (f64, u32),
    /// The adapter that did best so far, where a worse one is taken back.
    best: Option<Best>,
    /// How often one was.
    reverted: u32,
    began: Instant,
}

impl<'f, 'm> Course<'f, 'm> {
    /// Before the first round.
    pub(crate) fn new(fleet: &'f mut Fleet<'m>, follow: &'f mut dyn Follower, personal: bool) -> Self {
        Self {
            fleet,
            follow,
            personal,
            round: 0,
            passes: 0.0,
            loss: None,
            calibration: None,
            losses: (0.0, 0),
            best: None,
            reverted: 0,
            began: Instant::now(),
        }
    }

    /// All rounds, or as many as there are until somebody says stop. `mode` and `budget` are for the record.
    pub(crate) fn run(mut self, rounds: &Rounds, mode: Mode, budget: Bytes) -> Result<Findings, FleetError> {
        let before = if self.refer()? { self.evaluate(None)? } else { None };
        if rounds.gate {
            self.gate(before)?;
        }
        let (mut after, mut stopped) = (None, before.is_none());
        let count = rounds.count.get();
        while !stopped && self.round < count {
            let next = self.round + 1;
            let due = rounds.evaluate_every.between(next) || next == count;
            let follow = &self.follow;
            let Some(turn) = self.fleet.round(self.round, self.personal && due, &|| follow.stop())? else {
                stopped = true;
                break;
            };
            self.add(&turn);
            let point = self.point(None);
            self.follow.point(&point);
            if due {
                let mut found = self.evaluate(Some(&turn))?;
                stopped = found.is_none();
                if rounds.gate {
                    found = self.gate(found)?;
                }
                after = found.or(after);
            }
        }
        Ok(Findings {
            devices: self.fleet.devices.len() as u32,
            rounds: self.round,
            reverted: self.reverted,
            stopped,
            mode: mode.name(),
            before,
            after,
            seconds: self.began.elapsed().as_secs_f64(),
            adapter_digest: Digest(self.fleet.server.digest()).to_string(),
            coverage: self.fleet.devices.iter().map(|device| device.behind.clone()).collect(),
            budget_bytes: budget,
        })
    }

    /// Has a preference measured against what the untouched model makes of all examples; false when somebody says stop.
    fn refer(&mut self) -> Result<bool, FleetError> {
        let Self { fleet, follow, .. } = self;
        fleet.refer(&mut |done, of| {
            follow.evaluating(done, of);
            !follow.stop()
        })
    }

    /// Keeps the adapter that did as `found` says if none did better, or has the best one back where it is worse beyond the
    /// interval of that, as a coordinator does. How the adapter that is there now did.
    fn gate(&mut self, found: Option<Evaluation>) -> Result<Option<Evaluation>, FleetError> {
        let Some(now) = found else { return Ok(None) };
        let of = |found: &Evaluation| HeldOut::of(found, self.fleet.held_out.len());
        let held = of(&now);
        match &self.best {
            Some(best) if held.is_worse(&of(&best.found)) => {
                let (values, moments) = (best.values.clone(), best.moments.clone());
                self.fleet.server.restore(values, moments)?;
                self.reverted += 1;
                Ok(Some(best.found))
            }
            Some(best) if !held.is_as_good(&of(&best.found)) => Ok(found),
            _ => {
                let server = &self.fleet.server;
                let (values, moments) = (server.values().to_vec(), server.moments().to_vec());
                self.best = Some(Best { found: now, values, moments });
                Ok(found)
            }
        }
    }

    fn add(&mut self, turn: &Turn) {
        self.round += 1;
        self.passes += turn.passes;
        self.loss = Some(turn.loss);
        self.calibration = Some(turn.bins.summary()).filter(|found| found.n > 0);
        self.losses = (self.losses.0 + turn.loss, self.losses.1 + 1);
    }

    /// Evaluates, after the round `turn` if there was one, and tells; `None` when somebody says stop.
    fn evaluate(&mut self, turn: Option<&Turn>) -> Result<Option<Evaluation>, FleetError> {
        let (of, follow) = (self.fleet.held_out.len(), &mut self.follow);
        let found = self.fleet.evaluate(&mut |done| {
            follow.evaluating(done, of);
            !follow.stop()
        })?;
        if found.is_some() {
            let mut point = self.point(found);
            if let Some(turn) = turn.filter(|_| self.personal) {
                (point.acc_g, point.acc_p) = (self.fleet.acc_g(&turn.chosen)?, turn.acc_p);
            }
            self.follow.point(&point);
            self.losses = (0.0, 0);
        }
        Ok(found)
    }

    fn point(&self, found: Option<Evaluation>) -> Point {
        let (sum, n) = self.losses;
        let mean = (n > 0).then(|| sum / f64::from(n));
        let (up, down) = self.fleet.wire.per_device_round();
        Point {
            round: self.round,
            passes: self.passes,
            found,
            acc_g: None,
            acc_p: None,
            calibration: self.calibration.filter(|_| found.is_none()),
            train_loss: if found.is_some() { mean } else { self.loss },
            bytes_up_per_device_round: up,
            bytes_down_per_device_round: down,
            seconds: self.began.elapsed().as_secs_f64(),
        }
    }
}
