//! `sprig coordinate`: a fleet's training, from its settings to its adapter.

use super::{evaluator, export, levels, nonce, queue};
use crate::args::CoordinateArgs;
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files};
use crate::interrupt::Interrupt;
use crate::log::{self, Level, Target};
use crate::outage::Outage;
use crate::output::Output;
use crate::service::{FleetFigures, Pulse, Watched, open_door};
use serde_json::{Value, json};
use sprig_coordinator::dashboard::{Dashboard, DashboardError, Identity, Listen, Token, still};
use sprig_coordinator::{
    Alerts, Applied, Coordinator, CoordinatorError, EvaluationThread, FleetView, Handle, HeldOut, Hook,
    Notice, Options, Settling, control,
};
use sprig_engine::gguf::Mapped;
use sprig_learn::evaluate::interval;
use sprig_protocol::settings::{CoordinatorSettings, FleetSettings, JobSettings};
use sprig_protocol::{beginning, limits, reference, warm};
use sprig_run::Base;
use sprig_transport::link::Link;
use sprig_transport::messages::RunId;
use sprig_transport::mqtt::connect;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub fn run(args: &CoordinateArgs) -> Result<Exit, Failure> {
    let interrupt = Interrupt::listen();
    log::begin(args.log.asked(), args.json);
    let output = Arc::new(Output::new(args.json));
    let pulse = Arc::new(Pulse::new(LONGEST_TURN));
    let figures = Arc::new(FleetFigures::new(pulse.clone()));
    let settings = queue::check(&args.config)?.coordinator;
    let (address, beyond) = (settings.metrics.as_deref(), settings.metrics_beyond_loopback);
    let _door = open_door(address, beyond, figures.clone(), &output)?;
    let service = Service { interrupt, output: output.clone(), pulse, figures };
    queue::run(&args.config, &output, |config, last| {
        loop {
            if let Some(exit) = lead(config, last, &service)? {
                return Ok(exit);
            }
        }
    })
}

/// Longest turn of a coordinator's loop: a round of thousands of updates is closed in one.
const LONGEST_TURN: Duration = Duration::from_secs(60);

/// What outlives an epoch.
struct Service {
    interrupt: Interrupt,
    output: Arc<Output>,
    pulse: Arc<Pulse>,
    figures: Arc<FleetFigures>,
}

/// Leads the fleet; `None` when the ledger turned out to be a restored copy, which goes on in another epoch.
fn lead(config: &Path, last: bool, service: &Service) -> Result<Option<Exit>, Failure> {
    let Service { interrupt, output, pulse, figures } = service;
    let settings = FleetSettings::read(config)?;
    Files::of_fleet(config, &settings)
        .writes("adapter", settings.coordinator.adapter.as_deref(), Content::Adapter)
        .writes("page", settings.coordinator.page.as_deref(), Content::Page)
        .check()?;
    let map = Mapped::open(&settings.model.path)?;
    let base = Base::open(&map)?;
    let (layout, mut start) = beginning(&settings.train, &base.geometry)?;
    limits::check(&settings.train, &layout)?;
    let job = JobSettings::new(map.digest_hex()?, settings.train.clone()).following(&settings.rounds);
    warm(&settings.train, &base, (&job.model, settings.model.threads()), &mut start)?;
    limits::check_job(&job)?;
    let mut options = Options::of(&settings, &job, drawn()?, settings.train.sums(&base.geometry));
    options.settling = settling(&settings, &base)?;
    options.numbers = settings.rounds.fresh_numbers.then(drawn_key).transpose()?;
    let weights = layout.len();

    let (evaluation, budget) = evaluation(&settings, output)?.unzip();
    let link = connect(&settings.fleet.link(&format!("sprig-{}-coordinator", settings.fleet.name))?)?;
    let link = Watched::new(link, pulse.clone());
    let evaluated = Arc::new(Mutex::new(Evaluated::default()));
    let alerts = alerts(&settings, output)?;
    let tell = teller(service, evaluated.clone(), alerts.clone());
    let over = control::finished(&settings.coordinator.state).ok().flatten();
    let mut coordinator = Coordinator::open(options, layout, start, link, evaluation, tell)?;
    figures.follow(coordinator.handle(), budget);
    let dashboard = serve_page(&settings, coordinator.handle(), output)?;
    let finished = coordinator.run(interrupt.flag());
    if let (Some(alerts), Err(e)) = (&alerts, &finished) {
        alerts.ended(e);
    }
    let finished = match finished {
        Err(e @ CoordinatorError::Restored { .. }) => {
            let value = json!({ "event": "restored", "problem": e.to_string() });
            output.log(Level::Warn, Target::Coordinator, value, || Some(e.to_string()));
            return Ok(None);
        }
        finished => finished?,
    };
    if last || !finished {
        pulse.supervisor.stopping();
    }
    let view = coordinator.view()?;
    let evaluated = *evaluated.lock().unwrap_or_else(PoisonError::into_inner);
    // Of a run that was over before, and judged, this process knows less than the page: nothing of the devices' memory.
    let told = over.is_none_or(|rounds| rounds.0 < view.round) || evaluated.any();
    if let Some(page) = settings.coordinator.page.as_ref().filter(|page| told || !page.exists()) {
        std::fs::write(page, still(&view)).map_err(|e| Failure::io("write", page, e))?;
    }
    if !finished {
        let value = json!({ "event": "interrupted", "round": view.round });
        output.log(Level::Info, Target::Coordinator, value, || {
            Some(format!("interrupted in round {}; the same command goes on", view.round))
        });
        drop(dashboard);
        leave(coordinator, output);
        return Ok(Some(Exit::Interrupted));
    }
    let (abandoned, reverted) = (coordinator.abandoned()?, coordinator.reverted()?);
    // The ledger is free again once the coordinator is gone.
    drop(dashboard);
    leave(coordinator, output);
    let mut done = done(&view, evaluated, weights);
    (done["abandoned"], done["reverted"]) = (abandoned.into(), reverted.into());
    conclude(&settings, output, (view.round, abandoned), &done).map(Some)
}

/// What a read-out's total is made of where devices share its noise.
fn settling(settings: &FleetSettings, base: &Base<'_>) -> Result<Option<Settling>, Failure> {
    let (train, model) = (&settings.train, &settings.model);
    let budget = sprig_run::budget(model.budget, None)?;
    let row = reference(train, base, (model.threads(), budget))?;
    let epsilon = train.readout.and_then(|readout| readout.dp);
    Ok(row.zip(epsilon).map(|(reference, epsilon)| Settling { reference, epsilon }))
}

/// Leaves the broker with a farewell once all is sent.
fn leave<L: Link>(coordinator: Coordinator<L>, output: &Output) {
    if let Err(e) = coordinator.close() {
        let lost = json!({ "event": "unsent", "problem": e.to_string() });
        output.log(Level::Warn, Target::Link, lost, || {
            Some(format!("not everything could be sent: {e}; the same command sends it again"))
        });
    }
}

/// What hears of all that happens.
fn teller(
    service: &Service,
    evaluated: Arc<Mutex<Evaluated>>,
    alerts: Option<Arc<Alerts>>,
) -> Box<dyn FnMut(&Notice) + Send> {
    let (output, figures) = (service.output.clone(), service.figures.clone());
    let mut outage = Outage::default();
    Box::new(move |notice| {
        alerts.iter().for_each(|alerts| alerts.hear(notice));
        let known = match notice {
            Notice::Evaluated { applied, found } => Some((*applied, *found)),
            Notice::Reverted { round, best, .. } => Some((round.applied_after(), *best)),
            _ => None,
        };
        if let Some((applied, found)) = known {
            evaluated.lock().unwrap_or_else(PoisonError::into_inner).add(applied, found);
        }
        figures.add(notice);
        let value = serde_json::to_value(notice).unwrap_or_default();
        let (level, target) = levels::of_notice(notice);
        output.log(level, target, event(notice, value), || told(notice, &mut outage));
    })
}

/// What people see of a notice, if anything.
fn told(notice: &Notice, outage: &mut Outage) -> Option<String> {
    match notice {
        Notice::Disconnected { reason } => outage.lost(reason, Instant::now()),
        Notice::Connected => Some(outage.over(&notice.to_string(), Instant::now())),
        _ => Some(notice.to_string()),
    }
}

/// A run that begins.
fn drawn() -> Result<RunId, Failure> {
    let mut name = [0; 12];
    name[..8].copy_from_slice(&nonce()?.to_le_bytes());
    name[8..].copy_from_slice(&nonce()?.to_le_bytes()[..4]);
    Ok(RunId::first(name))
}

/// A key that nobody else knows.
fn drawn_key() -> Result<[u8; 32], Failure> {
    let mut key = [0; 32];
    for part in key.chunks_exact_mut(8) {
        part.copy_from_slice(&nonce()?.to_le_bytes());
    }
    Ok(key)
}

/// Writes the adapter of a run that is over, of whose rounds so many were abandoned, and says how it went.
fn conclude(
    settings: &FleetSettings,
    output: &Output,
    (rounds, abandoned): (u32, u32),
    done: &Value,
) -> Result<Exit, Failure> {
    let nothing = rounds > 0 && abandoned >= rounds;
    let out = settings.coordinator.adapter.as_deref().filter(|_| !nothing);
    if let Some(out) = out {
        let last = control::adapter(&settings.coordinator.state, None)?;
        export::write(settings, &last.values, out)?;
    }
    output.log(Level::Info, Target::Coordinator, done.clone(), || Some(line(done, out)));
    if nothing { Err(Failure::new(Exit::Abandoned, untrained(rounds))) } else { Ok(Exit::Done) }
}

/// Opens model and held-out data, where there are some; also the bytes that evaluating may hold.
fn evaluation(settings: &FleetSettings, output: &Output) -> Result<Option<(EvaluationThread, u64)>, Failure> {
    let Some(data) = &settings.coordinator.eval_data else { return Ok(None) };
    let (thread, plan) = evaluator::start(settings, data)?;
    output.log(Level::Info, Target::Coordinator, json!({ "event": "plan", "plan": plan }), || {
        Some(format!("evaluation holds {} of {}", plan.total(), plan.budget))
    });
    Ok(Some((thread, plan.budget.get())))
}

/// What is said of a run that came to nothing.
fn untrained(rounds: u32) -> String {
    format!(
        "all {rounds} rounds were abandoned: no device's update was applied in any, and no adapter is written; see `sprig fleet \
         history`, and raise [rounds] count, with a longer deadline_seconds or more devices, to go on"
    )
}

/// Has a command called when somebody should look, where the settings name one.
fn alerts(settings: &FleetSettings, output: &Arc<Output>) -> Result<Option<Arc<Alerts>>, Failure> {
    let CoordinatorSettings { alert, alert_seconds, .. } = &settings.coordinator;
    if alert.is_empty() {
        return Ok(None);
    }
    let hook = Hook {
        command: alert.iter().map(Into::into).collect(),
        limit: alert_seconds.duration(),
        fleet: settings.fleet.name.to_string(),
    };
    let output = output.clone();
    let tell = move |notice: &Notice| {
        let value = serde_json::to_value(notice).unwrap_or_default();
        let (level, target) = levels::of_notice(notice);
        output.log(level, target, value, || Some(notice.to_string()));
    };
    Ok(Some(Arc::new(Alerts::start(hook, tell)?)))
}

/// Serves the dashboard, where the settings ask for one.
fn serve_page(
    settings: &FleetSettings,
    coordinator: Handle,
    output: &Output,
) -> Result<Option<Dashboard>, Failure> {
    let CoordinatorSettings { dashboard, dashboard_cert, dashboard_key, .. } = &settings.coordinator;
    let Some(address) = dashboard else { return Ok(None) };
    let beyond_loopback = settings.coordinator.dashboard_beyond_loopback;
    let token = settings.coordinator.dashboard_token_file.as_deref().map(Token::read).transpose();
    let token = token.map_err(DashboardError::from)?;
    let identity = dashboard_cert.clone().zip(dashboard_key.clone());
    let identity = identity.map(|(certificate, key)| Identity { certificate, key });
    let (encrypted, scheme) = (identity.is_some(), if identity.is_some() { "https" } else { "http" });
    let dashboard = Dashboard::start(&Listen { beyond_loopback, token, identity, ..Listen::at(address) })?;
    dashboard.follow(coordinator)?;
    let (at, url) = (dashboard.address(), format!("{scheme}://{}/", dashboard.address()));
    let value = json!({ "event": "dashboard", "url": url, "encrypted": encrypted });
    output.log(Level::Info, Target::Coordinator, value, || {
        let plain = !encrypted && !at.ip().is_loopback();
        let plain =
            if plain { "; its token travels unencrypted: set dashboard_cert and dashboard_key" } else { "" };
        Some(format!("dashboard at {url}{plain}"))
    });
    Ok(Some(dashboard))
}

/// The first and the last evaluation.
#[derive(Clone, Copy, Default)]
struct Evaluated {
    before: Option<HeldOut>,
    after: Option<(Applied, HeldOut)>,
}

impl Evaluated {
    fn any(&self) -> bool {
        self.before.is_some() || self.after.is_some()
    }

    fn add(&mut self, applied: Applied, found: HeldOut) {
        match applied {
            Applied::NONE => self.before = Some(found),
            _ if self.after.is_none_or(|(last, _)| last <= applied) => self.after = Some((applied, found)),
            _ => {}
        }
    }
}

/// A notice for scripts: a round that is done is one line of the history.
fn event(notice: &Notice, mut value: Value) -> Value {
    if let Notice::Closed(row) = notice {
        value = json!(row);
        value["event"] = "round".into();
    }
    value
}

/// The last line.
fn done(view: &FleetView, evaluated: Evaluated, weights: usize) -> Value {
    let evaluation = |j: HeldOut| json!({ "n": j.n, "loss": j.loss, "accuracy": j.accuracy, "interval": j.accuracy.map(|a| interval(a, j.n.into())) });
    let (before, after) = (evaluated.before, evaluated.after.map(|(_, j)| j));
    // What another start of this coordinator evaluated is in the ledger.
    let last = view.history.last().and_then(|row| row.accuracy);
    let reports: f64 = view.history.iter().map(|row| f64::from(row.reported)).sum();
    let per_report = |bytes: &dyn Fn(&sprig_coordinator::DeviceView) -> u64| {
        // Each device tells of its last round.
        let told: Vec<_> = view.devices.iter().filter(|d| d.peak_bytes.is_some()).map(bytes).collect();
        told.iter().sum::<u64>() as f64 / told.len().max(1) as f64
    };
    // A device's last report may be sent before all pieces of its update are; here they have arrived.
    let received = view.history.iter().map(|row| row.bytes_up as f64).sum::<f64>() / reports.max(1.0);
    json!({
        "event": "done",
        "rounds": view.round,
        "devices": view.devices_total,
        "updates": reports,
        "accuracy_before": before.and_then(|j| j.accuracy).or(view.accuracy_before),
        "accuracy_after": after.and_then(|j| j.accuracy).or(last),
        "before": before.map(evaluation),
        "after": after.map(evaluation),
        "n": after.or(before).map(|j| j.n),
        "bytes_up_per_device_round": per_report(&|d| d.bytes_up).max(received),
        "bytes_down_per_device_round": per_report(&|d| d.bytes_down),
        "weights_bytes": 4 * weights,
        "peak_rss_bytes_max": view.devices.iter().filter_map(|d| d.peak_bytes).max(),
        "budget_bytes": view.devices.iter().map(|d| d.budget_bytes).max(),
        "coordinator_peak_rss_bytes": sprig_budget::process::status().peak_rss,
        "adapter_digest": view.history.last().map(|row| row.adapter_digest.clone()),
    })
}

fn line(done: &Value, adapter: Option<&Path>) -> String {
    let share = |key: &str| {
        done[key].as_f64().map_or_else(|| "not measured".to_owned(), |a| format!("{:.1} %", 100.0 * a))
    };
    let place = adapter.map_or_else(String::new, |path| format!(", adapter in {}", path.display()));
    let abandoned = match done["abandoned"].as_u64() {
        None | Some(0) => String::new(),
        Some(n) => format!(", {n} of them without an update of any device"),
    };
    let reverted = match done["reverted"].as_u64() {
        None | Some(0) => String::new(),
        Some(n) => format!(", {n} taken back"),
    };
    format!(
        "{} rounds done{abandoned}{reverted}: accuracy {} before, {} after{place}",
        done["rounds"],
        share("accuracy_before"),
        share("accuracy_after")
    )
}
