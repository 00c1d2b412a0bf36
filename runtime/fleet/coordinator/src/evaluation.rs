//! Evaluation in a thread of its own: it takes seconds to minutes, and rounds go on meanwhile. The thread opens the model
//! itself, so that nothing of it is ever moved.

use crate::ids::Applied;
use crate::rows::HeldOut;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// Who evaluates adapters on held-out data, while rounds go on.
pub trait Evaluator: Send {
    /// Has the adapter of these values evaluated, which so many rounds made; whether it still works.
    fn ask(&self, applied: Applied, values: Vec<f32>) -> bool;

    /// An evaluation that is done, and what it found, or why it could not be made.
    fn done(&self) -> Option<(Applied, Result<HeldOut, String>)>;
}

/// A thread that evaluates adapters on held-out data. Dropped, it ends after the adapter it is at; nobody waits for it.
#[derive(Debug)]
pub struct EvaluationThread {
    /// Rounds applied, and values. The machine asks for a handful at a time.
    asks: Sender<(Applied, Vec<f32>)>,
    found: Receiver<Found>,
}

/// The adapters that a thread is asked to evaluate.
#[derive(Debug)]
pub struct Adapters {
    asked: Receiver<(Applied, Vec<f32>)>,
    found: Sender<Found>,
}

type Found = (Applied, Result<HeldOut, String>);

/// What the body of a thread says once it has opened what it needs.
#[derive(Debug)]
pub struct Ready<P> {
    opened: Sender<P>,
    adapters: Adapters,
}

impl EvaluationThread {
    /// Starts a thread that does `body`, and waits until that is ready: what it says then, or why it never was.
    ///
    /// # Errors
    /// That no thread can be had; within, what `body` returns before it is ready.
    pub fn start<P: Send + 'static, E: Send + 'static>(
        body: impl FnOnce(Ready<P>) -> Result<(), E> + Send + 'static,
    ) -> io::Result<Result<(Self, P), E>> {
        let (asks, asked) = mpsc::channel();
        let (found, answers) = mpsc::channel();
        let (opened, said) = mpsc::channel();
        let ready = Ready { opened, adapters: Adapters { asked, found } };
        let thread = thread::Builder::new().name("evaluation".into()).spawn(move || body(ready))?;
        match said.recv() {
            Ok(said) => Ok(Ok((Self { asks, found: answers }, said))),
            // It has ended.
            Err(_) => match thread.join() {
                Ok(Err(why)) => Ok(Err(why)),
                Ok(Ok(())) | Err(_) => Err(io::Error::other("it ended before it began")),
            },
        }
    }
}

impl Evaluator for EvaluationThread {
    fn ask(&self, applied: Applied, values: Vec<f32>) -> bool {
        self.asks.send((applied, values)).is_ok()
    }

    fn done(&self) -> Option<(Applied, Result<HeldOut, String>)> {
        self.found.try_recv().ok()
    }
}

impl<P> Ready<P> {
    /// All is open; `said` goes to whoever started the thread.
    pub fn say(self, said: P) -> Adapters {
        // Whoever started it waits for this.
        let _ = self.opened.send(said);
        self.adapters
    }
}

impl Adapters {
    /// Evaluates every adapter that is asked for, by its values, until the coordinator is gone. One that cannot be
    /// evaluated costs that evaluation; the fleet goes on.
    pub fn evaluate<E: ToString>(self, mut each: impl FnMut(&[f32]) -> Result<HeldOut, E>) {
        for (applied, values) in self.asked {
            let found = each(&values).map_err(|e| e.to_string());
            if self.found.send((applied, found)).is_err() {
                return;
            }
        }
    }
}
