//! What is announced to all: which run there is, and where it stands.

use super::AgentEvent;
use super::host::{GLANCE, Host, SOFTWARE, absent};
use sprig_protocol::FleetError;
use sprig_protocol::settings::JobSettings;
use sprig_transport::link::Event;
use sprig_transport::messages::{Job, Phase, Presence, Round};
use sprig_transport::topics::{Topic, Topics};
use std::time::{Duration, Instant};

/// Pause before the broker is asked again what it keeps, while it keeps no job.
const AGAIN: Duration = Duration::from_secs(30);
/// Time for the broker to say where a run stands, before its data are read.
const LOOK: Duration = Duration::from_secs(1);

/// The job that an agent waits past.
pub(super) enum Behind {
    /// There was none.
    Nothing,
    /// It is over, and may go on: then its rounds say so, or, where devices act on tasks alone, the job does.
    Over { job: Job, by_task: bool },
    /// It cannot be read here.
    Unreadable(Job),
}

/// Waits for the announcement of a job other than the one `behind`, or for that one to go on; for so long at most, if that is
/// said.
pub(super) fn next_job(
    host: &mut Host<'_>,
    topics: &Topics,
    (behind, patience): (&Behind, Option<Duration>),
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Option<Job>, FleetError> {
    let over = match behind {
        Behind::Over { job, by_task: false } => Some(job),
        _ => None,
    };
    if over.is_some() {
        host.link.subscribe(&topics.round())?;
    }
    let known = |job: &Job| match behind {
        Behind::Nothing => false,
        Behind::Over { job: over, by_task } => over.run == job.run && (!by_task || job.over.is_some()),
        Behind::Unreadable(same) => same.settings == job.settings,
    };
    let begun = Instant::now();
    let mut asked = begun;
    while !(host.stop)() && patience.is_none_or(|patience| begun.elapsed() < patience) {
        if over.is_none() && asked.elapsed() >= AGAIN {
            asked = Instant::now();
            host.ask_for_the_job()?;
        }
        match heard(host, topics, GLANCE, watch)? {
            Some(Heard::Job(job)) if known(&job) => {} // the broker keeps it
            Some(Heard::Job(job)) => {
                if over.is_some() {
                    host.link.unsubscribe(&topics.round())?;
                }
                return Ok(Some(job));
            }
            Some(Heard::Round(round)) => {
                let goes_on = |over: &&Job| over.run == round.run && round.phase != Phase::Finished;
                if let Some(job) = over.filter(goes_on) {
                    host.link.unsubscribe(&topics.round())?;
                    return Ok(Some(job.clone()));
                }
            }
            None => {}
        }
    }
    Ok(None)
}

/// What a job says. One that this program cannot follow is waited past: whoever is told, by the device or by the coordinator's
/// list of devices, upgrades one of the two, and nobody needs to come by and start the agent again.
pub(super) fn readable(
    host: &mut Host<'_>,
    topics: &Topics,
    job: &Job,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Option<JobSettings>, FleetError> {
    match JobSettings::announced(&job.settings) {
        Ok((settings, unknown)) => {
            if !unknown.is_empty() {
                watch(AgentEvent::Unknown { keys: unknown });
            }
            Ok(Some(settings))
        }
        Err(e) => {
            watch(AgentEvent::Unreadable { run: job.run.to_string(), problem: e.to_string() });
            let here = Presence { online: true, software: SOFTWARE.to_owned(), ..absent(host.session) };
            let device = host.settings.fleet.device()?;
            host.link.publish(&topics.presence(&device), here.encode(), true)?;
            Ok(None)
        }
    }
}

/// Waits for another job than the one `behind` as long as the device's patience is; what is announced by then.
pub(super) fn linger(
    host: &mut Host<'_>,
    topics: &Topics,
    behind: &Behind,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Option<Job>, FleetError> {
    let patience = host.settings.agent.patience_seconds.duration();
    watch(AgentEvent::Lingers { seconds: patience.as_secs() });
    next_job(host, topics, (behind, Some(patience)), watch)
}

/// Where a run stands, as far as the broker keeps it.
pub(super) enum Found {
    /// It is over.
    Over(Round),
    /// It is not, or nobody says so.
    Open,
    /// Another one was announced meanwhile.
    Job(Job),
}

/// Looks where the run of `job` stands, before anything is read for it.
pub(super) fn look(
    host: &mut Host<'_>,
    topics: &Topics,
    (job, by_task): (&Job, bool),
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Found, FleetError> {
    if by_task {
        return Ok(job.over.clone().map_or(Found::Open, Found::Over));
    }
    host.link.subscribe(&topics.round())?;
    let (begun, mut found) = (Instant::now(), Found::Open);
    while begun.elapsed() < LOOK && !(host.stop)() {
        match heard(host, topics, LOOK.saturating_sub(begun.elapsed()).min(GLANCE), watch)? {
            Some(Heard::Job(other)) if other != *job => {
                found = Found::Job(other);
                break;
            }
            Some(Heard::Round(round)) if round.run == job.run => {
                if round.phase == Phase::Finished {
                    found = Found::Over(round);
                }
                break;
            }
            _ => {}
        }
    }
    // Whoever subscribes next is told anew.
    host.link.unsubscribe(&topics.round())?;
    Ok(found)
}

/// What is announced to all.
enum Heard {
    Job(Job),
    Round(Round),
}

/// The next announcement, if one comes within `wait`.
fn heard(
    host: &mut Host<'_>,
    topics: &Topics,
    wait: Duration,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Option<Heard>, FleetError> {
    match host.next(wait, watch)? {
        Some(Event::Message { topic, payload }) => {
            let decoded = match topics.parse(&topic) {
                Some(Topic::Job) => Job::decode(&payload).map(Heard::Job),
                Some(Topic::Round) => Round::decode(&payload).map(Heard::Round),
                _ => return Ok(None),
            };
            return match decoded {
                Ok(heard) => Ok(Some(heard)),
                Err(e) => {
                    watch(AgentEvent::Dropped { topic, problem: e.to_string() });
                    Ok(None)
                }
            };
        }
        Some(Event::Connected) => watch(AgentEvent::Connected),
        Some(Event::Disconnected(reason)) => watch(AgentEvent::Disconnected { reason }),
        None => {}
    }
    Ok(None)
}
