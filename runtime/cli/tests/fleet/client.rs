//! A client of a fleet's broker that is no agent.

use super::world::World;
use sprig_transport::link::{Event, Link, LinkConfig};
use sprig_transport::mqtt::{MqttLink, connect};
use std::time::{Duration, Instant};

/// Longest wait for a message.
const LIMIT: Duration = Duration::from_secs(30);
/// What hears all of the fleet; its certificate is a device's.
const EAR: &str = "ear";

/// A client with a device's certificate, and what it heard.
pub struct Client {
    pub link: Box<MqttLink>,
    pub heard: Vec<(String, Vec<u8>)>,
}

impl Client {
    /// Connects, which ends any session that the device itself has, and asks for everything.
    pub fn enter(world: &World, id: &str) -> Self {
        let at = |file: &str| world.folder(&format!("fleet/devices/{id}/{file}"));
        let url = format!("mqtts://localhost:{}", world.port());
        let config = LinkConfig {
            ca: Some(at("ca.crt")),
            identity: Some((at("device.crt"), at("device.key"))),
            ..LinkConfig::new(&url, id)
        };
        let mut link = connect(&config).unwrap();
        link.subscribe("sprig/1/test/#").unwrap();
        Self { link: Box::new(link), heard: Vec::new() }
    }

    /// One that the broker lets hear all, and say nothing.
    pub fn ear(world: &mut World) -> Self {
        world.scene.done(&format!("provision --out fleet --fleet test --devices {EAR}"));
        let list = world.folder("fleet/broker/acl");
        let text = std::fs::read_to_string(&list).unwrap();
        std::fs::write(&list, format!("{text}\nuser {EAR}\ntopic read sprig/1/test/#\n")).unwrap();
        world.stop_broker();
        world.start_broker();
        Self::enter(world, EAR)
    }

    pub fn say(&mut self, topic: &str, payload: &[u8]) {
        self.link.publish(topic, payload.to_vec(), false).unwrap();
    }

    /// Waits for something that follows from what was heard.
    pub fn until<T>(&mut self, what: &str, mut found: impl FnMut(&[(String, Vec<u8>)]) -> Option<T>) -> T {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(found) = found(&self.heard) {
                return found;
            }
            assert!(Instant::now() < until, "no {what} in {LIMIT:?}");
            match self.link.next(Duration::from_millis(100)).unwrap() {
                Some(Event::Message { topic, payload }) => self.heard.push((topic, payload)),
                Some(Event::Disconnected(why)) => panic!("disconnected: {why}"),
                _ => {}
            }
        }
    }

    /// The last message of a topic that reads.
    pub fn last<T, E>(&mut self, topic: &str, read: impl Fn(&[u8]) -> Result<T, E>) -> T {
        self.until(topic, |heard| {
            heard.iter().rev().filter(|(t, _)| t == topic).find_map(|(_, p)| read(p).ok())
        })
    }

    pub fn heard(&self, payload: &[u8]) -> bool {
        self.heard.iter().any(|(_, p)| p == payload)
    }

    pub fn leave(self) {
        self.link.close(None).unwrap();
    }
}
