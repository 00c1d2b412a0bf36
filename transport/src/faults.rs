//! A link that drops, duplicates, reorders, corrupts and stalls, in both directions, by the numbers of a seed.

use crate::link::{Event, Farewell, Link, LinkError, Traffic};
use sprig_ground::random::SplitMix64;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often a message meets each fault: 0 never, 1 always.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// It never arrives.
    pub drop: f64,
    /// It arrives twice.
    pub duplicate: f64,
    /// It arrives after 1 to 4 later ones, or when nothing else moves.
    pub reorder: f64,
    /// One bit of its payload is flipped.
    pub corrupt: f64,
    /// It, and all that follow in its direction, wait for [`Faults::stall_time`].
    pub stall: f64,
    /// How long a stall lasts.
    pub stall_time: Duration,
}

/// How often each fault was met, in both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Messages dropped.
    pub dropped: u64,
    /// Messages duplicated.
    pub duplicated: u64,
    /// Messages held back behind later ones.
    pub reordered: u64,
    /// Messages with a flipped bit.
    pub corrupted: u64,
    /// Stalls begun.
    pub stalled: u64,
}

impl Met {
    /// All of them together.
    pub fn all(&self) -> u64 {
        self.dropped + self.duplicated + self.reordered + self.corrupted + self.stalled
    }
}

/// A link with faults. Session events pass untouched.
pub struct Faulty<L> {
    link: L,
    up: Lane,
    down: Lane,
}

impl<L: Link> Faulty<L> {
    /// The same seed meets the same faults for the same messages in the same order.
    pub fn new(link: L, faults: Faults, seed: u64) -> Self {
        Self { link, up: Lane::new(faults, seed), down: Lane::new(faults, !seed) }
    }

    /// From now on messages meet these faults.
    pub fn set(&mut self, faults: Faults) {
        (self.up.faults, self.down.faults) = (faults, faults);
    }

    /// What has gone wrong so far.
    pub fn met(&self) -> Met {
        let (up, down) = (self.up.met, self.down.met);
        Met {
            dropped: up.dropped + down.dropped,
            duplicated: up.duplicated + down.duplicated,
            reordered: up.reordered + down.reordered,
            corrupted: up.corrupted + down.corrupted,
            stalled: up.stalled + down.stalled,
        }
    }

    fn send(&mut self) -> Result<(), LinkError> {
        while let Some(packet) = self.up.pop() {
            self.link.publish(&packet.topic, packet.payload, packet.retain)?;
        }
        Ok(())
    }
}

impl<L: Link> Link for Faulty<L> {
    fn subscribe(&mut self, filter: &str) -> Result<(), LinkError> {
        self.link.subscribe(filter)
    }

    fn unsubscribe(&mut self, filter: &str) -> Result<(), LinkError> {
        self.link.unsubscribe(filter)
    }

    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError> {
        self.up.push(Packet { topic: topic.to_owned(), payload, retain });
        self.send()
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Event>, LinkError> {
        let until = Instant::now() + wait;
        loop {
            self.send()?;
            if let Some(Packet { topic, payload, .. }) = self.down.pop() {
                return Ok(Some(Event::Message { topic, payload }));
            }
            let now = Instant::now();
            let pause = [self.up.stalled, self.down.stalled].into_iter().flatten().min();
            let end = pause.map_or(until, |pause| until.min(pause.max(now + Duration::from_millis(1))));
            match self.link.next(end.saturating_duration_since(now))? {
                Some(Event::Message { topic, payload }) => {
                    self.down.push(Packet { topic, payload, retain: false });
                }
                Some(event) => return Ok(Some(event)),
                None => {
                    self.up.idle();
                    self.down.idle();
                    let moved = !self.up.ready.is_empty() || !self.down.ready.is_empty();
                    if Instant::now() >= until && !(moved && pause.is_none()) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn queued(&self) -> usize {
        self.link.queued()
    }

    fn traffic(&self) -> Traffic {
        self.link.traffic()
    }

    /// Stalls end and what is held back goes out: a farewell is not subject to faults.
    fn close(mut self: Box<Self>, farewell: Option<Farewell>) -> Result<(), LinkError> {
        self.up.stalled = None;
        self.up.idle();
        self.send()?;
        Box::new(self.link).close(farewell)
    }
}

#[derive(Clone)]
struct Packet {
    topic: String,
    payload: Vec<u8>,
    retain: bool,
}

/// One direction.
struct Lane {
    faults: Faults,
    met: Met,
    random: SplitMix64,
    ready: VecDeque<Packet>,
    /// Held back, with the number of later packets that must pass first.
    held: Vec<(u8, Packet)>,
    stalled: Option<Instant>,
}

impl Lane {
    fn new(faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            met: Met::default(),
            random: SplitMix64::new(seed),
            ready: VecDeque::new(),
            held: Vec::new(),
            stalled: None,
        }
    }

    fn push(&mut self, mut packet: Packet) {
        if self.random.chance(self.faults.stall) {
            self.met.stalled += 1;
            self.stalled = Some(Instant::now() + self.faults.stall_time);
        }
        if self.random.chance(self.faults.drop) {
            self.met.dropped += 1;
            return;
        }
        if self.random.chance(self.faults.duplicate) {
            self.met.duplicated += 1;
            self.pass(packet.clone());
        }
        if !packet.payload.is_empty() && self.random.chance(self.faults.corrupt) {
            self.met.corrupted += 1;
            let bit = self.random.draw() as usize % (8 * packet.payload.len());
            packet.payload[bit / 8] ^= 1 << (bit % 8);
        }
        if self.random.chance(self.faults.reorder) {
            self.met.reordered += 1;
            let behind = 1 + (self.random.draw() % 4) as u8;
            self.held.push((behind, packet));
        } else {
            self.pass(packet);
        }
    }

    fn pass(&mut self, packet: Packet) {
        self.ready.push_back(packet);
        self.held.iter_mut().for_each(|(behind, _)| *behind -= 1);
        let late = self.held.extract_if(.., |(behind, _)| *behind == 0).map(|(_, packet)| packet);
        self.ready.extend(late);
    }

    fn pop(&mut self) -> Option<Packet> {
        if self.stalled.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        self.stalled = None;
        self.ready.pop_front()
    }

    /// Nothing else moves: what was held back goes on.
    fn idle(&mut self) {
        self.ready.extend(self.held.drain(..).map(|(_, packet)| packet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{HubLink, broker};

    const SOON: Duration = Duration::from_millis(1);

    /// 1,000 numbered messages through a link whose sender, or receiver, is faulty.
    fn through(faults: Faults, seed: u64, sending: bool) -> (Vec<Vec<u8>>, Met) {
        let hub = broker();
        let none = Faults::default();
        let (at_sender, at_receiver) = if sending { (faults, none) } else { (none, faults) };
        let mut from = Faulty::new(hub.link("from", None), at_sender, seed);
        let mut to = Faulty::new(hub.link("to", None), at_receiver, seed);
        to.subscribe("t").unwrap();
        for number in 0..1000u32 {
            from.publish("t", number.to_le_bytes().to_vec(), false).unwrap();
        }
        let mut seen = Vec::new();
        let mut quiet = 0;
        while quiet < 3 {
            assert!(!matches!(from.next(SOON).unwrap(), Some(Event::Message { .. })));
            match to.next(SOON).unwrap() {
                Some(Event::Message { payload, .. }) => seen.push(payload),
                Some(_) => {}
                None => quiet += 1,
            }
        }
        let met = if sending { from.met() } else { to.met() };
        (seen, met)
    }

    fn number(payload: &[u8]) -> u32 {
        u32::from_le_bytes(payload.try_into().unwrap())
    }

    #[test]
    fn each_fault_does_what_it_says_in_both_directions() {
        for sending in [true, false] {
            let (seen, met) = through(Faults::default(), 1, sending);
            assert!(seen.iter().map(|p| number(p)).eq(0..1000) && met == Met::default());

            let (seen, met) = through(Faults { drop: 0.2, ..Faults::default() }, 1, sending);
            assert!((150..250).contains(&met.dropped) && seen.len() as u64 == 1000 - met.dropped, "{met:?}");
            assert!(seen.is_sorted_by_key(|p| number(p)));

            let (seen, met) = through(Faults { duplicate: 0.1, ..Faults::default() }, 1, sending);
            assert!((60..140).contains(&met.duplicated) && seen.len() as u64 == 1000 + met.duplicated);

            let (seen, met) = through(Faults { reorder: 0.1, ..Faults::default() }, 1, sending);
            let mut numbers: Vec<_> = seen.iter().map(|p| number(p)).collect();
            assert!((60..140).contains(&met.reordered) && !numbers.is_sorted(), "{met:?}");
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..1000));

            let (seen, met) = through(Faults { corrupt: 0.1, ..Faults::default() }, 1, sending);
            let flipped = (0..1000u32).zip(&seen).map(|(n, p)| (n ^ number(p)).count_ones());
            assert!(flipped.clone().all(|bits| bits <= 1));
            assert_eq!(flipped.sum::<u32>() as u64, met.corrupted);
            assert!((60..140).contains(&met.corrupted), "{met:?}");
        }
    }

    #[test]
    fn a_seed_repeats_its_faults() {
        let faults = Faults { drop: 0.2, duplicate: 0.1, reorder: 0.1, corrupt: 0.1, ..Faults::default() };
        assert_eq!(through(faults, 7, true), through(faults, 7, true));
        assert_ne!(through(faults, 7, true), through(faults, 8, true));
    }

    #[test]
    fn a_stall_holds_everything_back_for_its_time() {
        let hub = broker();
        let mut to = hub.link("to", None);
        to.subscribe("t").unwrap();
        assert_eq!(to.next(SOON).unwrap(), Some(Event::Connected));
        let stall_time = Duration::from_millis(100);
        let mut from: Faulty<HubLink> =
            Faulty::new(hub.link("from", None), Faults { stall: 1.0, stall_time, ..Faults::default() }, 1);
        let begun = Instant::now();
        from.publish("t", vec![1], false).unwrap();
        assert_eq!(to.next(SOON).unwrap(), None);
        assert_eq!(from.next(Duration::from_secs(1)).unwrap(), Some(Event::Connected));
        assert_eq!(from.next(Duration::from_millis(300)).unwrap(), None);
        assert!(matches!(to.next(SOON).unwrap(), Some(Event::Message { .. })));
        assert!(begun.elapsed() >= stall_time);
    }

    #[test]
    fn closing_sends_what_is_held_back() {
        let hub = broker();
        let mut to = hub.link("to", None);
        to.subscribe("#").unwrap();
        let faults =
            Faults { reorder: 1.0, stall: 1.0, stall_time: Duration::from_secs(60), ..Faults::default() };
        let mut from = Faulty::new(hub.link("from", None), faults, 1);
        from.publish("t", vec![1], false).unwrap();
        Box::new(from).close(Some(("bye".into(), vec![2]))).unwrap();
        let mut topics = Vec::new();
        while let Some(event) = to.next(SOON).unwrap() {
            if let Event::Message { topic, .. } = event {
                topics.push(topic);
            }
        }
        assert_eq!(topics, ["t", "bye"]);
    }
}
