//! A command of the operator's that is called when somebody should look: apart from the coordinator's own work, one at a time,
//! each for a limited time, and not over and over for the same thing.

mod calm;
mod hook;
mod kind;

use crate::error::CoordinatorError;
use crate::notice::Notice;
use calm::Calm;
use kind::Kind;
use serde_json::{Value, json};
use sprig_ground::PathError;
use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Events that wait for the command, at most.
const QUEUE: usize = 32;
/// Bytes of an event, at most: what a pipe takes while nobody reads it. Of a longer one only the words are handed on, cut off.
const EVENT: usize = 16 << 10;

/// What is called, and for how long.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// Time after which it is killed, with all that it started.
    pub limit: Duration,
    /// Name of the fleet, which the command is told.
    pub fleet: String,
}

/// Calls a [`Hook`] in a thread of its own, until this is dropped.
#[derive(Debug)]
pub struct Alerts {
    events: Option<SyncSender<Event>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What may be worth a call.
#[derive(Debug)]
struct Event {
    kind: Kind,
    /// Whom or what it is about: another one is another matter.
    subject: String,
    text: String,
    value: Value,
}

#[derive(Debug, Default)]
struct Shared {
    /// Events that were not handed on since the last one that was.
    left_out: AtomicU64,
    /// When the last command has to be done, once no more events come.
    end: Mutex<Option<Instant>>,
}

impl Alerts {
    /// Waits for events; `tell` hears of a command that failed and of events that were left out.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn start(hook: Hook, tell: impl FnMut(&Notice) + Send + 'static) -> Result<Self, CoordinatorError> {
        let (events, come) = mpsc::sync_channel(QUEUE);
        let shared = Arc::<Shared>::default();
        let mut worker = Worker { hook, shared: Arc::clone(&shared), calm: Calm::default(), tell };
        let thread = thread::Builder::new().name("alerts".into()).spawn(move || worker.work(&come));
        let thread =
            Some(thread.map_err(PathError::at("start a thread for", Path::new("[coordinator] alert")))?);
        Ok(Self { events: Some(events), shared, thread })
    }

    /// Calls the command if this notice is one to look at. Never waits.
    pub fn hear(&self, notice: &Notice) {
        if let Some((kind, subject)) = Kind::of(notice) {
            let value = serde_json::to_value(notice).unwrap_or_default();
            self.put(Event { kind, subject: subject.to_owned(), text: notice.to_string(), value });
        }
    }

    /// Calls the command because the coordinator ends so. Never waits.
    pub fn ended(&self, error: &CoordinatorError) {
        let (kind, subject) = (Kind::of_end(error), String::new());
        self.put(Event { kind, subject, text: error.to_string(), value: Value::Null });
    }

    fn put(&self, event: Event) {
        if self.events.as_ref().is_some_and(|events| events.try_send(event).is_err()) {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Alerts {
    /// Gives what waits the time of one command.
    fn drop(&mut self) {
        *self.shared.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        drop(self.events.take());
        if let Some(thread) = self.thread.take() {
            // It only fails if the thread panicked, which it has said.
            let _ = thread.join();
        }
    }
}

struct Worker<T> {
    hook: Hook,
    shared: Arc<Shared>,
    calm: Calm,
    tell: T,
}

impl<T: FnMut(&Notice)> Worker<T> {
    fn work(&mut self, events: &Receiver<Event>) {
        while let Ok(event) = events.recv() {
            let left = self.left();
            if left.is_zero() || !self.calm.lets(Instant::now(), (event.kind, &event.subject)) {
                self.shared.left_out.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let left_out = self.told_of_left_out();
            let line = line(&self.hook.fleet, &event, left_out);
            if let Err(problem) = hook::call(&self.hook.command, event.kind.name(), &line, &|| self.left()) {
                (self.tell)(&Notice::AlertFailed { alert: event.kind.name().to_owned(), problem });
            }
        }
        self.told_of_left_out();
    }

    /// Time that the next command has: less once no more events come.
    fn left(&self) -> Duration {
        let end = *self.shared.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.map_or(self.hook.limit, |end| self.hook.limit.saturating_sub(end.elapsed()))
    }

    /// Tells of events that were left out, if any were; how many.
    fn told_of_left_out(&mut self) -> u64 {
        let count = self.shared.left_out.swap(0, Ordering::Relaxed);
        if count > 0 {
            (self.tell)(&Notice::AlertsLeftOut { count });
        }
        count
    }
}

/// The event as one line of JSON.
fn line(fleet: &str, event: &Event, left_out: u64) -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let head = |text: &str, value: &Value| {
        let alert = event.kind.name();
        json!({ "alert": alert, "fleet": fleet, "time": time, "text": text, "left_out": left_out, "event": value })
            .to_string()
            + "\n"
    };
    let whole = head(&event.text, &event.value);
    if whole.len() <= EVENT {
        whole
    } else {
        head(&event.text.chars().take(EVENT / 16).collect::<String>(), &Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Applied, RoundId};
    use crate::rows::HeldOut;
    use sprig_transport::messages::RunId;
    use std::path::PathBuf;

    fn quarantined(device: &str) -> Notice {
        Notice::Quarantined { device: device.to_owned(), rounds: 5 }
    }

    /// Calls a shell's `script` for `notices`, to the end; what was told.
    fn called(script: &str, limit: Duration, notices: &[Notice]) -> Vec<Notice> {
        let (told, heard) = mpsc::channel();
        let command = ["sh", "-c", script].map(OsString::from).to_vec();
        let hook = Hook { command, limit, fleet: "home".into() };
        let alerts = Alerts::start(hook, move |notice| told.send(notice.clone()).unwrap()).unwrap();
        notices.iter().for_each(|notice| alerts.hear(notice));
        drop(alerts);
        heard.iter().collect()
    }

    #[test]
    fn each_thing_to_look_at_is_one_line_and_the_same_again_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let got = dir.path().join("got");
        let notices = [
            Notice::Paused,
            quarantined("kitchen"),
            quarantined("kitchen"),
            quarantined("kitchen"),
            quarantined("hall"),
            Notice::Rival { run: "ab".into() },
        ];
        let told = called(&format!("cat >> {}", got.display()), Duration::from_secs(30), &notices);
        assert_eq!(told, [Notice::AlertsLeftOut { count: 2 }]);
        let text = std::fs::read_to_string(got).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let alerts: Vec<_> = lines.iter().map(|line| line["alert"].as_str().unwrap()).collect();
        assert_eq!(alerts, ["quarantined", "quarantined", "rival"]);
        assert_eq!(
            (&lines[0]["event"]["device"], &lines[1]["event"]["device"]),
            (&"kitchen".into(), &"hall".into())
        );
        assert_eq!((&lines[0]["left_out"], &lines[1]["left_out"]), (&0.into(), &2.into()));
        assert_eq!(lines[2]["text"], notices[5].to_string());
    }

    #[test]
    fn every_kind_is_told_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let got = dir.path().join("got");
        let found = HeldOut { loss: 1.0, loss_error: None, accuracy: None, n: 3 };
        let (run, state) = (RunId([7; 16]), PathBuf::from("state"));
        let notices = [
            Notice::Reverted { round: RoundId(3), found, to: Applied(2), best: found },
            Notice::TakenOver { run: run.to_string() },
            Notice::Expiring { path: "a.crt".into(), not_after: 0, days: -1, text: "it has ended".into() },
            Notice::Renewed { device: "kitchen".into(), until: 9 },
            Notice::NotRenewed { device: "kitchen".into(), problem: "why".into() },
        ];
        let ends = [
            CoordinatorError::Restored { state: state.clone(), seen: RoundId(9), here: RoundId(3), epoch: 2 },
            CoordinatorError::StoodDown { state: state.clone(), own: 1, epoch: 2 },
            CoordinatorError::Over { state, done: RoundId(4), asked: 3 },
        ];
        let command = ["sh", "-c", &format!("echo $SPRIG_ALERT >> {}", got.display())].map(OsString::from);
        let limit = Duration::from_secs(30);
        let hook = Hook { command: command.to_vec(), limit, fleet: "home".into() };
        let alerts = Alerts::start(hook, |notice| panic!("{notice}")).unwrap();
        notices.iter().for_each(|notice| alerts.hear(notice));
        ends.iter().for_each(|error| alerts.ended(error));
        drop(alerts);
        let kinds = std::fs::read_to_string(got).unwrap();
        let expected =
            ["reverted", "taken-over", "expiring", "not-renewed", "restored", "stood-down", "failed"];
        assert_eq!(kinds.lines().collect::<Vec<_>>(), expected);
    }

    /// Whatever waits gets the time of one command at the end, and hearing never waits.
    #[test]
    fn a_command_that_hangs_holds_up_nobody() {
        let begun = Instant::now();
        let notices: Vec<_> = (0..1000).map(|n| quarantined(&n.to_string())).collect();
        let told = called("sleep 60", Duration::from_secs(1), &notices);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        let failed = told.iter().filter(|notice| matches!(notice, Notice::AlertFailed { .. })).count() as u64;
        let left_out: u64 = told
            .iter()
            .map(|notice| if let Notice::AlertsLeftOut { count } = notice { *count } else { 0 })
            .sum();
        assert!(failed >= 1 && failed + left_out == 1000, "{failed} failed, {left_out} left out");
    }
}
