//! An agent on a slow uplink.

use super::note::{Note, pack};
use super::sending::WINDOW;
use super::tests::Synthetic;
use super::*;
use sprig_simulate as simulate;
use sprig_transport::blob::{CHUNK, MAX_CHUNK, chunk_count};
use sprig_transport::link::{Farewell, LinkError};
use sprig_transport::messages::{Body, Digest, GroupSet, Update, Verdict};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

const RUN: RunId = RunId([7; 16]);
/// Bytes that the uplink takes in a millisecond.
const SPEED: usize = 150;
/// Bytes of the weights that are sent: LoRA of rank 8 on a 135M model.
const DENSE: usize = 1_840_000;

/// A link that takes a while; what was published, by topic, and the most that waited.
#[derive(Default)]
struct Slow {
    waits: VecDeque<usize>,
    left: usize,
    published: BTreeMap<String, u32>,
    most: usize,
}

impl Slow {
    fn pass(&mut self, milliseconds: u64) {
        self.left += milliseconds as usize * SPEED;
        while let Some(&bytes) = self.waits.front().filter(|bytes| **bytes <= self.left) {
            self.left -= bytes;
            self.waits.pop_front();
        }
        if self.waits.is_empty() {
            self.left = 0;
        }
    }
}

impl Link for Slow {
    fn subscribe(&mut self, _: &str) -> Result<(), LinkError> {
        Ok(())
    }

    fn unsubscribe(&mut self, _: &str) -> Result<(), LinkError> {
        Ok(())
    }

    fn publish(&mut self, topic: &str, payload: Vec<u8>, _: bool) -> Result<(), LinkError> {
        *self.published.entry(topic.to_owned()).or_default() += 1;
        self.waits.push_back(payload.len());
        self.most = self.most.max(self.queued());
        Ok(())
    }

    fn next(&mut self, _: Duration) -> Result<Option<Event>, LinkError> {
        Ok(None)
    }

    fn queued(&self) -> usize {
        self.waits.iter().sum()
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn close(self: Box<Self>, _: Option<Farewell>) -> Result<(), LinkError> {
        Ok(())
    }
}

/// An agent with one dense update in its outbox, driven for `seconds`; `hear` may give it an event at each of them.
fn drive(seconds: u64, mut hear: impl FnMut(u64) -> Option<Event>) -> (Slow, Vec<AgentEvent>) {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(&folder.path().join("outbox.redb"), 8 << 20).unwrap();
    let dense = vec![9; DENSE];
    let body = Body::Dense { digest: Digest::of(&dense), bytes: DENSE as u32 };
    let (groups, base) = (GroupSet::new(0, 1, 1).unwrap(), Digest([1; 32]));
    let update = Update {
        run: RUN,
        round: 3,
        number: 1,
        groups,
        base,
        examples: 8,
        loss: 1.0,
        bins: Vec::new(),
        body,
    };
    let note = Note { run: RUN, round: 3, memory: Vec::new() };
    outbox.put(3, &pack(&update.encode(), &dense), &note.encode()).unwrap();
    let who = Identity {
        device: DeviceId::parse("one").unwrap(),
        topics: Topics::new("test").unwrap(),
        run: RUN,
        presence: simulate::presence(1),
        resend: Duration::from_secs(5),
        patience: Duration::from_secs(60),
        by_task: None,
    };
    let (events, mut link) = (RefCell::new(Vec::new()), Slow::default());
    let worker = Synthetic::new(simulate::rules(2), Rc::default());
    let mut agent = Agent::new(who, worker, &mut outbox, |event| events.borrow_mut().push(event)).unwrap();
    agent.start(&mut link).unwrap();
    agent.on(Event::Connected, &mut link, Duration::ZERO).unwrap();
    for ms in (0..1000 * seconds).step_by(50) {
        let now = Duration::from_millis(ms);
        if ms % 1000 == 0
            && let Some(event) = hear(ms / 1000)
        {
            agent.on(event, &mut link, now).unwrap();
        }
        agent.work(&mut link, || now).unwrap();
        link.pass(50);
    }
    drop(agent);
    (link, events.into_inner())
}

fn pieces(link: &Slow) -> Vec<u32> {
    link.published.iter().filter(|(topic, _)| topic.contains("/up/")).map(|(_, times)| *times).collect()
}

/// Weights take 12 seconds to go up, and are sent again after 5: of what is under way, nothing is.
#[test]
fn what_is_under_way_is_not_sent_again() {
    let (link, events) = drive(15, |_| None);
    let all = chunk_count(DENSE as u32) as usize;
    assert_eq!(pieces(&link), vec![1; all]);
    assert!(link.most <= WINDOW + MAX_CHUNK + CHUNK, "{} bytes waited", link.most);
    assert!(
        events.iter().filter(|event| matches!(event, AgentEvent::Sent { .. })).count() == 1,
        "{events:?}"
    );
    // Nobody answers: all of it goes once more, in its time.
    let (link, _) = drive(30, |_| None);
    assert_eq!(pieces(&link), vec![2; all]);
}

/// A receipt that comes while pieces are under way is heard, and ends them.
#[test]
fn a_receipt_is_heard_while_pieces_are_under_way() {
    let receipt = Receipt { run: RUN, round: 3, verdict: Verdict::Duplicate, text: String::new() };
    let topic = Topics::new("test").unwrap().receipt(&DeviceId::parse("one").unwrap());
    let (link, events) = drive(20, |second| {
        (second == 3).then(|| Event::Message { topic: topic.clone(), payload: receipt.encode() })
    });
    assert!(events.iter().any(|event| matches!(event, AgentEvent::Receipt { round: 3, .. })), "{events:?}");
    let sent = pieces(&link);
    assert!(sent.iter().all(|times| *times == 1) && sent.len() < 60, "{} pieces", sent.len());
}
