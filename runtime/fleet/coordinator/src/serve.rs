//! A running coordinator: messages in, one durable transaction for all of them, messages out.

use crate::carousel::Carousel;
use crate::certificates::Certificates;
use crate::control::Control;
use crate::core::{Core, Outlet};
use crate::countdown::Millis;
use crate::decision::Outward;
use crate::error::CoordinatorError;
use crate::evaluation::{EvaluationThread, Evaluator};
use crate::event::Event;
use crate::handle::{Handle, Request};
use crate::ids::{DeviceNumber, RoundId};
use crate::incoming::Ears;
use crate::legacy::Legacy;
use crate::notice::Notice;
use crate::options::Options;
use crate::rival::{Heard, Rivals};
use crate::rows::RoundRow;
use crate::surroundings::{Clock, Surroundings};
use crate::view::{FleetView, ROUNDS, RegionView};
use sprig_learn::evaluate::interval;
use sprig_learn::spry::Layout;
use sprig_protocol::send;
use sprig_protocol::settings::Evaluate;
use sprig_transport::link::{self, Link};
use sprig_transport::messages::{DeviceId, Job, Round, RunId};
use sprig_transport::packet_bytes;
use sprig_transport::topics::{Topic, Topics};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Messages of one transaction, at most: a crash costs no more than they do to send again.
const GROUP: usize = 512;
/// Bytes of messages of one transaction, at most, so that large ones take no more memory than many.
const GROUP_BYTES: usize = 4 << 20;
/// Time the loop waits for a message: deadlines and requests are looked at so often.
const WAIT: Duration = Duration::from_millis(50);

/// A coordinator at work on a link.
pub struct Coordinator<L> {
    options: Arc<Options>,
    core: Core,
    link: L,
    topics: Topics,
    ears: Ears,
    tell: Box<dyn FnMut(&Notice) + Send>,
    evaluator: Option<Box<dyn Evaluator>>,
    /// Evaluations that nobody can make.
    not_evaluated: Vec<Event>,
    carousel: Carousel,
    legacy: Legacy,
    rivals: Rivals,
    certificates: Certificates,
    /// Bytes of announcements that were heard: its own, which no device sent.
    echoed: u64,
    handle: Handle,
    requests: Receiver<Request>,
    _control: Option<Control>,
    clock: Clock,
    started: bool,
    /// The broker let us in once.
    connected: bool,
    /// It can be reached now.
    online: bool,
}

impl<L: Link> Coordinator<L> {
    /// Opens the state folder and goes on with the run there, or begins one from the adapter `initial`. `tell` hears
    /// what happens; without an `evaluation` nothing is evaluated.
    ///
    /// # Errors
    /// When the state cannot be used, or the settings make no sense.
    pub fn open(
        options: Options,
        layout: Layout,
        initial: Vec<f32>,
        link: L,
        evaluation: Option<EvaluationThread>,
        tell: Box<dyn FnMut(&Notice) + Send>,
    ) -> Result<Self, CoordinatorError> {
        let surroundings = Surroundings::of(&options, evaluation)?;
        Self::open_in(surroundings, options, (layout, initial), link, tell)
    }

    /// The same on other ground than the state folder and the machine's clock; the adapter begins as layout and values say.
    ///
    /// # Errors
    /// As [`Coordinator::open`].
    pub fn open_in(
        surroundings: Surroundings,
        mut options: Options,
        (layout, initial): (Layout, Vec<f32>),
        mut link: L,
        tell: Box<dyn FnMut(&Notice) + Send>,
    ) -> Result<Self, CoordinatorError> {
        let topics = Topics::new(&options.fleet)?;
        let Surroundings { ledger, clock, evaluator, handle, requests, _control } = surroundings;
        if let Some(other) = ledger.stood_down()? {
            return Err(CoordinatorError::StandsDown { state: options.state, other });
        }
        options.run = ledger.run();
        if evaluator.is_none() {
            options.evaluate = Evaluate::Never;
        }
        let options = Arc::new(options);
        let core = Core::open(ledger, &options, layout, initial)?;
        let ears = Ears::new(topics.clone(), &options.fold_with)?;
        for filter in ears.filters() {
            link.subscribe(&filter)?;
        }
        let legacy = Legacy::new(topics.clone(), options.run);
        legacy.ask(&mut link)?;
        link.subscribe(&topics.job())?;
        Ok(Coordinator {
            legacy,
            rivals: Rivals::new(options.run),
            certificates: Certificates::of(&options),
            echoed: 0,
            carousel: Carousel::new(topics.clone(), options.run, options.by_task),
            options,
            core,
            link,
            topics,
            ears,
            tell,
            evaluator,
            not_evaluated: Vec::new(),
            handle,
            requests,
            _control,
            clock,
            started: false,
            connected: false,
            online: false,
        })
    }

    /// A way to ask this coordinator from other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Works until all rounds are done and evaluated, the broker has what is left with it, and the devices had time to learn
    /// so, or `stop` is set. Returns whether all rounds are done.
    ///
    /// # Errors
    /// When the ledger fails, or the broker does not let the coordinator in. Started again, it goes on.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<bool, CoordinatorError> {
        let mut finished: Option<Instant> = None;
        while !stop.load(Ordering::Relaxed) {
            self.turn(WAIT)?;
            if !self.is_over() {
                finished = None;
            } else if finished.get_or_insert_with(Instant::now).elapsed() >= self.options.linger {
                return Ok(true);
            }
        }
        Ok(self.core.machine.finished())
    }

    /// The link that it works on.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }

    /// Its run, and the round that it is in.
    pub fn at(&self) -> (RunId, u32) {
        (self.options.run, self.core.machine.round().id().0)
    }

    /// All rounds of the run that are over.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn history(&self) -> Result<Vec<RoundRow>, CoordinatorError> {
        Ok(self.core.ledger.history(RoundId::FIRST)?)
    }

    /// Whether all rounds are done and evaluated, nobody is being served, and the broker has what is left with it.
    pub fn is_over(&self) -> bool {
        self.core.machine.finished() && !self.carousel.is_turning() && self.legacy.is_done()
    }

    /// Sends what waits to be sent, and ends.
    ///
    /// # Errors
    /// When that takes too long: what was left is lost.
    pub fn close(self) -> Result<(), CoordinatorError> {
        let Coordinator { link, .. } = self;
        Ok(Box::new(link).close(None)?)
    }

    /// Rounds of the run in which no device's update was applied.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn abandoned(&self) -> Result<u32, CoordinatorError> {
        Ok(self.core.ledger.abandoned()?)
    }

    /// Rounds of the run whose adapter was taken back, for it was worse than the best before.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn reverted(&self) -> Result<u32, CoordinatorError> {
        Ok(self.core.ledger.reverted()?)
    }

    /// Waits up to `wait` for something to happen, and does what it asks for.
    ///
    /// # Errors
    /// As [`Coordinator::run`].
    pub fn turn(&mut self, wait: Duration) -> Result<(), CoordinatorError> {
        if !std::mem::replace(&mut self.started, true) {
            self.with_outlet(|core, now, outlet| core.start(now, outlet))?;
        }
        let wait = if self.online && self.carousel.is_turning() { Duration::ZERO } else { wait };
        let mut events = self.hear(wait)?;
        self.certificates.look().iter().for_each(&mut self.tell);
        if self.online {
            let over = self.core.machine.over();
            events.extend(self.legacy.turn(over, &self.core.ledger, &mut self.link)?);
        }
        events.append(&mut self.not_evaluated);
        let done = self.evaluator.iter().flat_map(|evaluator| std::iter::from_fn(|| evaluator.done()));
        events.extend(done.map(|(applied, found)| Event::Evaluated { applied, found }));
        while let Ok(request) = self.requests.try_recv() {
            match request {
                Request::Standing(device, act, reply) => {
                    let objection = self.core.machine.objection(&device, act);
                    drop(reply.send(objection.map_or(Ok(()), Err)));
                    events.push(Event::Standing { device, act });
                }
                Request::Pause => events.push(Event::Pause),
                Request::Resume => events.push(Event::Resume),
                // Whoever asked may have gone.
                Request::View(reply) => drop(reply.send(self.view()?)),
                Request::Adapter(prefix, reply) => {
                    let adapter = self.core.ledger.adapter(prefix.as_deref());
                    drop(reply.send(adapter.map_err(|e| e.to_string())));
                }
                Request::Moment(reply) => drop(reply.send(self.core.ledger.moment()?)),
                Request::Coverage(reply) => drop(reply.send(self.core.ledger.coverage()?)),
                Request::History(from, reply) => {
                    drop(reply.send(self.core.ledger.history(from)?));
                }
            }
        }
        events.push(Event::Tick);
        self.with_outlet(|core, now, outlet| core.take(events, now, outlet))?;
        // Without a broker the queue would only fill up.
        if self.online { self.carousel.turn(&self.core.ledger, &mut self.link) } else { Ok(()) }
    }

    /// The fleet now.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn view(&self) -> Result<FleetView, CoordinatorError> {
        let mut view = self.core.machine.view(self.now());
        let ledger = &self.core.ledger;
        for device in view.devices.iter_mut().filter(|d| d.peak_bytes.is_some()) {
            let regions =
                ledger.report(DeviceNumber(device.number))?.map(|report| report.regions).unwrap_or_default();
            device.regions = regions
                .into_iter()
                .map(|r| RegionView { name: r.name, planned: r.planned, measured: r.measured })
                .collect();
        }
        let first = RoundId(view.round.saturating_sub(ROUNDS as u32));
        view.history = ledger.history(first)?;
        let last = view.history.iter().rev().find_map(|row| row.accuracy);
        view.interval = last.zip(view.judged_on).map(|(share, n)| interval(share, n.into()));
        view.coordinator_rss = sprig_budget::process::status().rss.map_or(0, |rss| rss.get());
        view.certificates = self.certificates.view();
        view.uptime_s = (self.clock)().as_secs_f64();
        Ok(view)
    }

    /// Events of the messages that are there, after waiting for the first.
    fn hear(&mut self, wait: Duration) -> Result<Vec<Event>, CoordinatorError> {
        let (mut events, mut bytes, mut wait) = (Vec::new(), 0, wait);
        while events.len() < GROUP && bytes < GROUP_BYTES {
            match self.link.next(wait) {
                Ok(None) => break,
                Ok(Some(link::Event::Connected)) => {
                    (self.connected, self.online) = (true, true);
                    self.legacy.again();
                    events.push(Event::Connected);
                }
                Ok(Some(link::Event::Disconnected(reason))) => {
                    self.online = false;
                    events.push(Event::Disconnected { reason });
                }
                Ok(Some(link::Event::Message { topic, payload })) => {
                    bytes += payload.len();
                    self.legacy.hear(&topic, &payload, self.core.machine.over(), &mut self.link)?;
                    let echo = packet_bytes(&topic, &payload);
                    match self.topics.parse(&topic) {
                        Some(Topic::Round) => {
                            self.echoed += echo;
                            self.look_for_rivals(&payload)?;
                        }
                        Some(Topic::Job) => {
                            self.echoed += echo;
                            let over = self.options.by_task && self.core.machine.over();
                            let ours = |job: &Job| {
                                let same = job.settings == self.options.settings;
                                job.run == self.options.run && same && job.over.is_some() == over
                            };
                            events
                                .push(Event::Job { ours: Job::decode(&payload).is_ok_and(|job| ours(&job)) });
                        }
                        Some(Topic::Renew(device)) => self.renew(&device, &payload)?,
                        _ => events.extend(self.ears.event(&topic, payload)),
                    }
                }
                Err(e) if e.is_worth_waiting(self.connected) => {
                    (self.tell)(&Notice::Disconnected { reason: e.to_string() });
                    break;
                }
                Err(e) => return Err(e.into()),
            }
            wait = Duration::ZERO;
        }
        Ok(events)
    }

    fn renew(&mut self, device: &DeviceId, request: &[u8]) -> Result<(), CoordinatorError> {
        let (certificate, notice) = self.certificates.answer(device, request);
        notice.iter().for_each(&mut self.tell);
        let Some(certificate) = certificate else { return Ok(()) };
        Ok(send(&mut self.link, &self.topics.certificate(device), certificate.into_bytes(), false)?)
    }

    /// Whether an announcement says that somebody else leads this fleet, or led it further.
    fn look_for_rivals(&mut self, payload: &[u8]) -> Result<(), CoordinatorError> {
        let Ok(round) = Round::decode(payload) else { return Ok(()) };
        let (here, base) = (self.core.machine.round().id(), self.core.machine.round().base());
        let (state, own) = (self.options.state.clone(), self.options.run.epoch());
        match self.rivals.hear(&round, here, base) {
            Heard::Nothing => {}
            Heard::Ahead { seen, next } => {
                self.core.ledger.renew(next)?;
                return Err(CoordinatorError::Restored { state, seen, here, epoch: next.epoch() });
            }
            Heard::Later { epoch } => {
                self.core.ledger.stand_down(round.run)?;
                return Err(CoordinatorError::StoodDown { state, own, epoch });
            }
            Heard::First { run } => {
                self.core.ledger.stand_down(run)?;
                return Err(CoordinatorError::Second { fleet: self.options.fleet.clone(), run });
            }
            Heard::Other { run } => (self.tell)(&Notice::TakenOver { run: run.to_string() }),
            Heard::Second { run } => (self.tell)(&Notice::Rival { run: run.to_string() }),
        }
        Ok(())
    }

    fn with_outlet(
        &mut self,
        work: impl FnOnce(&mut Core, Millis, &mut Outlet<'_>) -> Result<(), CoordinatorError>,
    ) -> Result<(), CoordinatorError> {
        let now = self.now();
        let Coordinator { core, link, tell, evaluator, carousel, not_evaluated, echoed, .. } = self;
        let traffic = link.traffic();
        core.traffic = (traffic.down.saturating_sub(*echoed), traffic.up);
        work(core, now, &mut |ledger, outward| {
            match outward {
                Outward::Publish { topic, payload, retain } => send(link, &topic, payload, retain)?,
                Outward::Ask { topic } => link.unsubscribe(&topic).and_then(|()| link.subscribe(&topic))?,
                Outward::Serve { device, want } => carousel.serve(ledger, link, (&device, &want), now)?,
                Outward::Tell(notice) => tell(&notice),
                Outward::Evaluate { applied } => {
                    let row = ledger.snapshot_row(applied)?;
                    let values = row.map(|row| ledger.snapshot(&row)).transpose()?.map(|s| s.values);
                    let asked = match (evaluator.as_ref(), values) {
                        (Some(evaluator), Some(values)) => evaluator.ask(applied, values),
                        _ => false,
                    };
                    if !asked {
                        let why = "there is no held-out data, or the adapter is gone".to_owned();
                        not_evaluated.push(Event::Evaluated { applied, found: Err(why) });
                    }
                }
            }
            Ok(())
        })
    }

    fn now(&self) -> Millis {
        (self.clock)().as_millis() as Millis
    }
}
