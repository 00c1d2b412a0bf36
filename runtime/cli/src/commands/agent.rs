//! `sprig agent`: one device of a fleet.

use super::levels;
use super::training::stepped_aside;
use crate::args::AgentArgs;
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files, check_writable};
use crate::interrupt::Interrupt;
use crate::log::{self, Level, Target};
use crate::outage::Outage;
use crate::output::Output;
use crate::service::{DeviceFigures, Pulse, Watched, open_door};
use sprig_agent::AgentEvent as E;
use sprig_agent::{AgentEvent, Ended, Host, absent};
use sprig_budget::Bytes;
use sprig_protocol::settings::DeviceSettings;
use sprig_transport::expiry::Expiry;
use sprig_transport::link::Link;
use sprig_transport::mqtt::connect;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest turn of an agent's loop: a large model is opened, planned and measured in one, on a slow card.
const LONGEST_TURN: Duration = Duration::from_secs(300);

pub fn run(args: &AgentArgs) -> Result<Exit, Failure> {
    let interrupt = Interrupt::listen();
    log::begin(args.log.asked(), args.json);
    let output = Output::new(args.json);
    let mut settings = DeviceSettings::read(&args.config)?;
    settings.data.dp = args.dp.or(settings.data.dp);
    settings.data.secure_aggregation |= args.secure_aggregation;
    let device = settings.fleet.device()?;
    let adapter = settings.agent.adapter.as_deref();
    Files::of_device(&args.config, &settings).writes("adapter", adapter, Content::Adapter).check()?;
    if let Some(adapter) = adapter {
        check_writable(adapter, 0)?;
    }
    let topics = settings.fleet.topics()?;
    let session = super::nonce()?;
    let mut config = settings.fleet.link(&format!("sprig-{}-{device}", settings.fleet.name))?;
    config.will = Some((topics.presence(&device), absent(session).encode()));
    output.log(
        Level::Info,
        Target::Link,
        serde_json::json!({ "event": "start", "device": device.as_str(), "broker": settings.fleet.broker }),
        || Some(format!("{device}: connecting to {}", settings.fleet.broker)),
    );
    let pulse = Arc::new(Pulse::new(LONGEST_TURN));
    let figures =
        Arc::new(DeviceFigures::new(pulse.clone(), Expiry::of(settings.fleet.certificates().cloned())));
    let (address, beyond) = (settings.agent.metrics.as_deref(), settings.agent.metrics_beyond_loopback);
    let _door = open_door(address, beyond, figures.clone(), &output)?;
    let mut link = Box::new(Watched::new(connect(&config)?, pulse.clone()));
    // Asked between any two pieces of work.
    let stop = || {
        pulse.turn();
        interrupt.raised()
    };
    let renewal = settings.fleet.renewal()?;
    let mut host =
        Host { settings: &settings, link: &mut *link, session, stop: &stop, connected: false, renewal };
    let mut outage = Outage::default();
    let ended = sprig_agent::run(&mut host, &mut |event| {
        let value = serde_json::to_value(&event).unwrap_or_default();
        let (level, target) = levels::of_agent(&event);
        let line = line(&event, &mut outage);
        figures.add(&event, line.as_deref());
        output.log(level, target, value, || line);
    });
    pulse.supervisor.stopping();
    let left = link.close(None);
    match ended? {
        Ended::Finished => left.map(|()| Exit::Done).map_err(Failure::from),
        Ended::Interrupted => {
            // Whoever is stopped while the broker is away leaves nothing behind: the will says the rest.
            if let Err(e) = left {
                let event = serde_json::json!({ "event": "unsent", "problem": e.to_string() });
                output.log(Level::Warn, Target::Link, event, || Some(format!("the broker is not told: {e}")));
            }
            let event = serde_json::json!({ "event": "interrupted" });
            output.log(Level::Info, Target::Agent, event, || {
                Some("interrupted; the same command goes on where the fleet is then".to_owned())
            });
            Ok(Exit::Interrupted)
        }
    }
}

/// What people see of an event, if anything.
fn line(event: &AgentEvent, outage: &mut Outage) -> Option<String> {
    Some(match event {
        E::Connected => outage.over("connected", Instant::now()),
        E::Disconnected { reason } => outage.lost(reason, Instant::now())?,
        E::Expiring { problem, .. } | E::NotRenewed { problem } | E::Board { problem, .. } => problem.clone(),
        E::Renewed { text, .. } => text.clone(),
        E::Job { run } => format!("run {}", &run[..run.len().min(8)]),
        E::Lingers { seconds } => {
            format!("that run was over before this device came; waiting {seconds} s for another one")
        }
        E::Unknown { keys } => {
            format!("the job says what this version of sprig leaves out: {}", keys.join(", "))
        }
        E::Unreadable { run, problem } => {
            format!("run {}: {problem}; waiting for a job that can be followed", &run[..run.len().min(8)])
        }
        E::Cut { texts, of, len, all } => format!(
            "{texts} of {of} texts are cut to the fleet's {len} tokens (`len` under [train]); {all} would keep all"
        ),
        E::Data { examples, before } => {
            format!("the data have changed: {examples} examples from the next round on, instead of {before}")
        }
        E::DataRefused { problem } => {
            format!("the data have changed, and the old ones stay in use: {problem}")
        }
        E::Planned { plan_bytes, budget_bytes } => {
            format!("holds {} of {}", Bytes(*plan_bytes), Bytes(*budget_bytes))
        }
        E::Referred { examples, of } => {
            format!("what the untouched model prefers: {examples} of {of} examples")
        }
        E::Noise { epsilon, delta } => format!(
            "what leaves has noise: ({epsilon}, {delta:e})-differential privacy of each example; every run spends as much \
             again"
        ),
        E::Pressure { plan_bytes, room_bytes, .. } => {
            stepped_aside(Bytes(room_bytes.unwrap_or(0)), Bytes(*plan_bytes))
        }
        E::Unserved { problem } => format!("{problem}; waiting on"),
        E::Finished { rounds, digest } => {
            format!("finished after {rounds} rounds, adapter {}", &digest[..digest.len().min(8)])
        }
        other => return of_round(other),
    })
}

/// The same of a round.
fn of_round(event: &AgentEvent) -> Option<String> {
    Some(match event {
        E::Synced { round, by, .. } => format!("round {round}: caught up by {by}"),
        E::Diverged { problem } => format!("state thrown away: {problem}; asking for a snapshot"),
        E::Training { round, groups } => format!("round {round}: training {groups} groups"),
        E::Unread { reason, text } => format!(
            "the coordinator does not take what we send ({reason}: {text}); give board and coordinator the same version of \
             sprig"
        ),
        E::AskedAgain { round } => format!(
            "round {round} is asked for again, whose update was accepted: the coordinator's ledger is an older copy; doing it once more"
        ),
        E::Declined { round, left_s, usual_s } => {
            format!("round {round}: not begun: {left_s:.0} s are left, and the last one took {usual_s:.0} s")
        }
        E::Read { round, examples, of } => {
            format!("round {round}: read {examples} of {of} examples")
        }
        E::Trained { round, loss, seconds } => match loss {
            Some(loss) => format!("round {round}: loss {loss:.3}, {seconds:.1} s"),
            None => format!("round {round}: {seconds:.1} s"),
        },
        E::Spent { round, epsilon, delta } => {
            format!(
                "round {round}: ({epsilon:.3}, {delta:e})-differential privacy spent of each example so far"
            )
        }
        E::Passed { round, why } => format!("round {round}: no part in it: {why}"),
        E::Abandoned { round } => format!("round {round}: ended without us"),
        E::Sent { round, bytes } => format!("round {round}: sent {bytes} bytes"),
        E::Receipt { round, verdict } => format!("round {round}: {verdict}"),
        E::Dropped { topic, problem } => format!("dropped a message on {topic}: {problem}"),
        E::Adapter { round, path, .. } => {
            format!("adapter after {round} rounds: {}", path.display())
        }
        E::AdapterFailed { round, problem, .. } => {
            format!("the adapter after {round} rounds is not written: {problem}")
        }
        _ => return None,
    })
}
