//! What is announced to all: which run there is, and where it stands.

use super::AgentEvent;
use super::host::{GLANCE, Host};
use sprig_protocol::FleetError;
use sprig_transport::link::Event;
use sprig_transport::messages::{Job, Phase, Round};
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
    /// It is over, and may go on.
    Over(Job),
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
    let over = if let Behind::Over(job) = behind { Some(job) } else { None };
    if over.is_some() {
        host.link.subscribe(&topics.round())?;
    }
    let known = |job: &Job| match behind {
        Behind::Nothing => false,
        Behind::Over(over) => over.run == job.run,
        Behind::Unreadable(same) => same.settings == job.settings,
    };
    let begun = Instant::now();
    let mut asked = begun;
    while !(host.stop)() && patience.is_none_or(|patience| begun.elapsed() < patience) {
        if over.is_none() && asked.elapsed() >= AGAIN {
            asked = Instant::now();
            host.link.unsubscribe(&topics.job())?;
            host.link.subscribe(&topics.job())?;
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
    job: &Job,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Found, FleetError> {
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
