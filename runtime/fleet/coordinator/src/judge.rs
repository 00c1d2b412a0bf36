//! Evaluation in a thread of its own: it takes seconds to minutes, and rounds go on meanwhile.

use super::event::{Event, Judgement};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// Evaluates adapters on held-out data.
pub trait Judge: Send {
    /// Loss and accuracy of the adapter with these values.
    ///
    /// # Errors
    /// Why it cannot be evaluated; the fleet goes on.
    fn judge(&mut self, values: &[f32]) -> Result<Judgement, Box<dyn std::error::Error + Send + Sync>>;
}

/// A judge at work. Dropped, it ends after the adapter it is at; nobody waits for it.
pub(super) struct Court {
    /// Rounds applied, and values. The machine asks for a handful at a time.
    asks: Sender<(u32, Vec<f32>)>,
    verdicts: Receiver<Event>,
}

impl Court {
    pub fn new(mut judge: Box<dyn Judge>) -> std::io::Result<Self> {
        let (asks, asked) = mpsc::channel::<(u32, Vec<f32>)>();
        let (found, verdicts) = mpsc::channel();
        thread::Builder::new().name("judge".into()).spawn(move || {
            for (applied, values) in asked {
                let verdict = judge.judge(&values).map_err(|e| e.to_string());
                if found.send(Event::Evaluated(applied, verdict)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Court { asks, verdicts })
    }

    /// Has an adapter evaluated; whether the judge still works.
    pub fn ask(&self, applied: u32, values: Vec<f32>) -> bool {
        self.asks.send((applied, values)).is_ok()
    }

    /// A verdict that is there.
    pub fn verdict(&self) -> Option<Event> {
        self.verdicts.try_recv().ok()
    }
}
