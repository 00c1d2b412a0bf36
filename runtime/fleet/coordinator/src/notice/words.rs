//! The same in words.

use super::{Notice, Passed};
use crate::event::Act;
use crate::ids::{Applied, RoundId};
use crate::rows::{HeldOut, RoundRow};
use sprig_learn::calibration::Summary;
use sprig_transport::certificate::moment;
use std::fmt;

impl Passed {
    /// In words.
    fn words(self) -> &'static str {
        match self {
            Passed::Silent => "it takes much longer than it usually does",
            Passed::Gone => "it is gone",
            Passed::Refused => "what it sent was refused",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Connected => write!(f, "connected to the broker"),
            Notice::Disconnected { reason } => write!(f, "connection lost ({reason}); connecting again"),
            Notice::Joined { device, number, board, online } => {
                write!(f, "{device} ({board}) joined as number {number}; {online} online")
            }
            Notice::Left { device, online } => write!(f, "{device} left; {online} online"),
            Notice::Unheard { device, seconds, online } => {
                write!(f, "{device} was not heard for {seconds} s and is taken for gone; {online} online")
            }
            Notice::Twins { device, board } => write!(
                f,
                "two boards call themselves {device} (now {board}): one was cloned; give one of them a name and a \
                 certificate of its own (`sprig provision`)"
            ),
            Notice::Outdated { device, software, least } => outdated(f, device, (software, least)),
            Notice::Decided { device, act } => decided(f, device, *act),
            Notice::Quarantined { device, rounds } => write!(
                f,
                "{device} is quarantined: it failed in {rounds} rounds in a row; `sprig fleet allow` lets it in again"
            ),
            Notice::Passed { round, device, why } => {
                write!(f, "round {round} waits for {device} no longer: {}", why.words())
            }
            Notice::Relieved { round, devices, count } => {
                write!(f, "round {round}: shares are taken over by {}", devices.join(", "))?;
                let more = count - devices.len();
                if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
            }
            Notice::TurnedAway { device, limit } => {
                write!(f, "{device} turned away: {limit} devices are the most that a coordinator numbers")
            }
            Notice::Waiting { round, what } => write!(f, "round {round} waits for {what}"),
            Notice::Opened { round, rounds, attempt, selected, seconds } => {
                write!(f, "round {round} of {rounds}: {selected} devices, {seconds} s")?;
                if *attempt > 0 { write!(f, ", attempt {}", attempt + 1) } else { Ok(()) }
            }
            Notice::Accepted { round, device, reported } => accepted(f, *round, device, *reported),
            Notice::NotAggregated { round, attempt, why } => {
                write!(f, "round {round}, attempt {}: no total of the devices' sums: {why}", attempt + 1)
            }
            Notice::Refused { round, device, reason, text } => {
                write!(f, "round {round}: refused from {device}: {reason}: {text}")
            }
            Notice::Closed(row) => closed(f, row),
            Notice::Evaluated { applied, found } => {
                write!(f, "held out after {applied} rounds: {}", told(found))
            }
            Notice::Reverted { round, found, to, best } => reverted(f, *round, (found, best), *to),
            Notice::TakenOver { run } => taken_over(f, run),
            Notice::Rival { run } => rival(f, run),
            Notice::NotEvaluated { applied, reason } => not_evaluated(f, *applied, reason),
            Notice::AlertFailed { alert, problem } => {
                write!(f, "alert {alert}: {problem}; see [coordinator] alert")
            }
            Notice::AlertsLeftOut { count } => left_out(f, *count),
            Notice::Expiring { text, .. } => f.write_str(text),
            Notice::Renewed { device, until } => renewed(f, device, *until),
            Notice::NotRenewed { device, problem } => not_renewed(f, device, problem),
            Notice::Paused => write!(f, "paused"),
            Notice::Resumed => write!(f, "resumed"),
            Notice::Kept { bytes } => {
                write!(f, "the broker keeps the adapter ({bytes} bytes) for devices that come late")
            }
            Notice::NotKept { bytes, limit, seconds } => not_kept(f, *bytes, *limit, *seconds),
            Notice::Finished { adapter_digest } => write!(f, "finished; adapter {adapter_digest}"),
        }
    }
}

fn accepted(f: &mut fmt::Formatter<'_>, round: RoundId, device: &str, reported: u32) -> fmt::Result {
    write!(f, "round {round}: {device} reported ({reported})")
}

fn not_evaluated(f: &mut fmt::Formatter<'_>, applied: Applied, reason: &str) -> fmt::Result {
    write!(f, "no evaluation after {applied} rounds: {reason}")
}

fn renewed(f: &mut fmt::Formatter<'_>, device: &str, until: i64) -> fmt::Result {
    write!(f, "{device} has another certificate, until {}", moment(until))
}

fn outdated(f: &mut fmt::Formatter<'_>, device: &str, (software, least): (&str, &str)) -> fmt::Result {
    write!(
        f,
        "{device} has {software:?} and is not selected: {least} is the least ([coordinator] least_agent); "
    )?;
    write!(f, "upgrade sprig there")
}

fn not_kept(f: &mut fmt::Formatter<'_>, bytes: u32, limit: u32, seconds: f64) -> fmt::Result {
    write!(
        f,
        "the adapter with its moments ({bytes} bytes) is not left with the broker, which keeps {limit} at most: a device that \
         comes late needs this coordinator, which stays {seconds} s (raise linger_seconds under [coordinator]) and serves it \
         whenever it is started again"
    )
}

fn left_out(f: &mut fmt::Formatter<'_>, count: u64) -> fmt::Result {
    write!(f, "{count} events came faster than [coordinator] alert is called, and it was not called for them")
}

/// What an operator decided.
fn decided(f: &mut fmt::Formatter<'_>, device: &str, act: Act) -> fmt::Result {
    match act {
        Act::Quarantine => {
            write!(f, "{device} is quarantined: it is not selected until it is allowed")
        }
        Act::Allow => write!(f, "{device} is allowed to take part"),
        Act::Replace => write!(f, "{device} is another board from now on"),
        Act::Remove => write!(f, "{device} is removed; its name is free"),
    }
}

/// A round's line.
fn reverted(
    f: &mut fmt::Formatter<'_>,
    round: RoundId,
    (found, best): (&HeldOut, &HeldOut),
    to: Applied,
) -> fmt::Result {
    let (found, best) = (told(found), told(best));
    write!(f, "round {round} is not announced: held out {found}, which is worse than {best}; ")?;
    write!(f, "the adapter after {to} rounds comes back")
}

fn taken_over(f: &mut fmt::Formatter<'_>, run: &str) -> fmt::Result {
    write!(
        f,
        "run {run:.8} was under way in this fleet: its devices are this run's from now on; if its coordinator still runs, this \
         one will stand down"
    )
}

fn not_renewed(f: &mut fmt::Formatter<'_>, device: &str, problem: &str) -> fmt::Result {
    write!(
        f,
        "{device}'s certificate ends, and is not renewed: {problem}; `sprig enrol` there and `sprig fleet approve` make another"
    )
}

fn rival(f: &mut fmt::Formatter<'_>, run: &str) -> fmt::Result {
    write!(
        f,
        "another coordinator has come to this fleet, with run {run:.8}: it should stand down; if both go on, stop one"
    )
}

fn told(found: &HeldOut) -> String {
    let HeldOut { loss, accuracy, n, .. } = found;
    match accuracy {
        Some(accuracy) => format!("loss {loss:.4}, {:.1} % of {n}", 100.0 * accuracy),
        None => format!("loss {loss:.4}, {n} examples"),
    }
}

fn closed(f: &mut fmt::Formatter<'_>, row: &RoundRow) -> fmt::Result {
    write!(f, "round {} {}: {} of {} reported", row.round, row.state, row.reported, row.selected)?;
    if let Some(others) = row.others {
        write!(f, ", {others} of other fleets")?;
    }
    if row.refused > 0 {
        write!(f, ", {} refused", row.refused)?;
    }
    if let Some(loss) = row.loss {
        write!(f, ", loss {loss:.4}")?;
    }
    if let Some(Summary { n, ece, .. }) = row.calibration.as_ref().map(|found| found.summary) {
        write!(f, ", confidences off by {:.1} points in {n} answers", 100.0 * ece)?;
    }
    write!(f, ", {:.1} s, adapter {}", row.seconds, &row.adapter_digest[..8.min(row.adapter_digest.len())])
}
