//! The door for whoever shares the fleet's broker. A question goes to `ask/<device>` as the JSON of HTTP with an `"id"` of the
//! asker's; what comes back goes to `answer/<device>/<id>`: with `"stream": true` messages `{"text", "n"}` that count from 0, and
//! at the end, or alone, the answer with `"done": true`, or `{"error"}`. QoS 1: a message may come twice, and has its number.

use crate::desk::{Desk, Piece};
use crate::question::{Question, Refusal};
use crate::rate::Rate;
use serde_json::{Value, json};
use sprig_transport::link::{Event, Link, LinkError, MAX_PAYLOAD};
use sprig_transport::messages::DeviceId;
use sprig_transport::topics::Topics;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

/// Answers under way at a time.
pub const MOST_ANSWERS: usize = 8;
/// Time over which pieces are gathered into one message.
const GATHER: Duration = Duration::from_millis(250);
/// Longest wait for the link.
const GLANCE: Duration = Duration::from_millis(50);

/// An open door; [`turn`](Self::turn) has to be called again and again.
#[derive(Debug)]
pub struct Mqtt {
    topics: Topics,
    device: DeviceId,
    desk: Desk,
    rate: Rate,
    answers: Vec<Answering>,
}

/// What happened on the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The session stands.
    Connected,
    /// It is gone, and the link tries again.
    Disconnected(String),
    /// A message that is no question.
    Dropped(String),
}

/// An answer on its way.
#[derive(Debug)]
struct Answering {
    id: DeviceId,
    pieces: Receiver<Piece>,
    stream: bool,
    text: String,
    /// Messages so far.
    n: u32,
    sent: Instant,
}

impl Mqtt {
    /// The door of `device`, on a link that is not yet subscribed.
    ///
    /// # Errors
    /// As [`Link::subscribe`].
    pub fn open(
        topics: Topics,
        device: DeviceId,
        desk: Desk,
        rate: Rate,
        link: &mut dyn Link,
    ) -> Result<Self, LinkError> {
        link.subscribe(&topics.ask(&device))?;
        Ok(Self { topics, device, desk, rate, answers: Vec::new() })
    }

    /// Where questions come in.
    pub fn topic(&self) -> String {
        self.topics.ask(&self.device)
    }

    /// Takes what the link has, and sends what is written.
    ///
    /// # Errors
    /// As [`Link::next`].
    pub fn turn(&mut self, link: &mut dyn Link) -> Result<Option<Happened>, LinkError> {
        let event = link.next(GLANCE)?;
        let mut happened = None;
        match event {
            Some(Event::Connected) => happened = Some(Happened::Connected),
            Some(Event::Disconnected(reason)) => happened = Some(Happened::Disconnected(reason)),
            Some(Event::Message { topic, payload }) if topic == self.topic() => {
                happened = self.take(&payload, link)?;
            }
            _ => {}
        }
        self.send(link)?;
        Ok(happened)
    }

    /// Takes a question; one that cannot even be answered is told of.
    fn take(&mut self, payload: &[u8], link: &mut dyn Link) -> Result<Option<Happened>, LinkError> {
        let (id, question) = match read(payload) {
            Ok(read) => read,
            Err(problem) => return Ok(Some(Happened::Dropped(problem))),
        };
        // Delivered twice: it is being answered.
        if self.answers.iter().any(|answering| answering.id == id) {
            return Ok(None);
        }
        let asked = question.and_then(|question| {
            if self.answers.len() >= MOST_ANSWERS {
                return Err(Refusal::Busy(MOST_ANSWERS));
            }
            self.rate.take(Instant::now())?;
            Ok((question.stream, self.desk.ask(question)?))
        });
        match asked {
            Ok((stream, pieces)) => self.answers.push(Answering {
                id,
                pieces,
                stream,
                text: String::new(),
                n: 0,
                sent: Instant::now(),
            }),
            Err(refusal) => {
                let topic = self.topics.answer(&self.device, &id);
                publish(link, &topic, &json!({ "done": true, "error": refusal.to_string() }))?;
            }
        }
        Ok(None)
    }

    /// Sends what has come of the answers under way.
    fn send(&mut self, link: &mut dyn Link) -> Result<(), LinkError> {
        let mut problem = None;
        let (topics, device) = (&self.topics, &self.device);
        self.answers.retain_mut(|answering| {
            answering.send(&topics.answer(device, &answering.id), link).unwrap_or_else(|e| {
                problem = Some(e);
                false
            })
        });
        problem.map_or(Ok(()), Err)
    }
}

impl Answering {
    /// Whether more is to come.
    fn send(&mut self, topic: &str, link: &mut dyn Link) -> Result<bool, LinkError> {
        let last = loop {
            match self.pieces.try_recv() {
                Ok(Piece::Text(part)) => self.text.push_str(&part.text),
                Ok(Piece::Done(answer)) => break Some(serde_json::to_value(answer).unwrap_or_default()),
                Ok(Piece::Refused(refusal)) => break Some(json!({ "error": refusal.to_string() })),
                Err(TryRecvError::Empty) => break None,
                Err(TryRecvError::Disconnected) => break Some(json!({ "error": "the server is ending" })),
            }
        };
        if self.stream && !self.text.is_empty() && (last.is_some() || self.sent.elapsed() >= GATHER) {
            publish(link, topic, &json!({ "text": self.text, "n": self.n }))?;
            (self.n, self.sent) = (self.n + 1, Instant::now());
            self.text.clear();
        }
        let Some(mut last) = last else { return Ok(true) };
        last["done"] = true.into();
        last["n"] = self.n.into();
        publish(link, topic, &last)?;
        Ok(false)
    }
}

/// Publishes, unless it is more than a message may have.
fn publish(link: &mut dyn Link, topic: &str, value: &Value) -> Result<(), LinkError> {
    let payload = value.to_string().into_bytes();
    let payload = if payload.len() > MAX_PAYLOAD {
        json!({ "done": true, "error": format!("the answer has more than {MAX_PAYLOAD} bytes") })
            .to_string()
            .into_bytes()
    } else {
        payload
    };
    match link.publish(topic, payload, false) {
        // Nobody reads on the other side: the asker asks again.
        Err(LinkError::Busy { .. }) => Ok(()),
        other => other,
    }
}

/// The asker's name for a question, and the question.
fn read(payload: &[u8]) -> Result<(DeviceId, Result<Question, Refusal>), String> {
    let mut value: Value = serde_json::from_slice(payload).map_err(|e| format!("no question: {e}"))?;
    let id = value.as_object_mut().and_then(|object| object.remove("id"));
    let id = id.as_ref().and_then(Value::as_str).unwrap_or_default();
    let id =
        DeviceId::parse(id).map_err(|e| format!("a question without an id that a topic can hold: {e}"))?;
    Ok((id, Question::from_json(value.to_string().as_bytes())))
}
