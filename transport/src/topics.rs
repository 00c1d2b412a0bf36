//! Where messages go: `sprig/1/<fleet>/…`.

use crate::messages::{DeviceId, Digest, NameError};

/// The topics of one fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// `sprig/1/<fleet>/`.
    prefix: String,
}

/// What a topic says about its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The [`Job`](crate::messages::Job), retained.
    Job,
    /// The [`Round`](crate::messages::Round), retained.
    Round,
    /// A device's [`Task`](crate::messages::Task), retained.
    Task(DeviceId),
    /// A device's [`Update`](crate::messages::Update).
    Update(DeviceId),
    /// A [`Receipt`](crate::messages::Receipt) for a device.
    Receipt(DeviceId),
    /// A device's [`Presence`](crate::messages::Presence), retained.
    Presence(DeviceId),
    /// A device's [`Report`](crate::messages::Report).
    Report(DeviceId),
    /// A device's [`Want`](crate::messages::Want).
    Want(DeviceId),
    /// An [`Offer`](crate::messages::Offer) for a device.
    Offer(DeviceId),
    /// A device's request for another certificate, DER.
    Renew(DeviceId),
    /// A certificate for a device, PEM.
    Certificate(DeviceId),
    /// A [`FleetTotal`](crate::messages::FleetTotal), retained.
    Total,
    /// A chunk on its way from the coordinator.
    Blob {
        /// Of the whole blob.
        digest: Digest,
        /// Which chunk, from 0.
        chunk: u32,
    },
    /// A chunk on its way to the coordinator.
    Up {
        /// Who sends it.
        device: DeviceId,
        /// Of the whole blob.
        digest: Digest,
        /// Which chunk, from 0.
        chunk: u32,
    },
}

impl Topics {
    /// The topics of the fleet of that name (the rule of [`DeviceId`]).
    ///
    /// # Errors
    /// If the name cannot be a level of a topic.
    pub fn new(fleet: &str) -> Result<Self, NameError> {
        crate::messages::check_level(fleet)?;
        Ok(Self { prefix: format!("sprig/1/{fleet}/") })
    }

    /// The job.
    pub fn job(&self) -> String {
        format!("{}job", self.prefix)
    }

    /// The round.
    pub fn round(&self) -> String {
        format!("{}round", self.prefix)
    }

    /// A device's task.
    pub fn task(&self, device: &DeviceId) -> String {
        format!("{}task/{device}", self.prefix)
    }

    /// A device's updates.
    pub fn update(&self, device: &DeviceId) -> String {
        format!("{}update/{device}", self.prefix)
    }

    /// Receipts for a device.
    pub fn receipt(&self, device: &DeviceId) -> String {
        format!("{}receipt/{device}", self.prefix)
    }

    /// A device's presence.
    pub fn presence(&self, device: &DeviceId) -> String {
        format!("{}presence/{device}", self.prefix)
    }

    /// A device's reports.
    pub fn report(&self, device: &DeviceId) -> String {
        format!("{}report/{device}", self.prefix)
    }

    /// What a device lacks.
    pub fn want(&self, device: &DeviceId) -> String {
        format!("{}want/{device}", self.prefix)
    }

    /// Offers to a device.
    pub fn offer(&self, device: &DeviceId) -> String {
        format!("{}offer/{device}", self.prefix)
    }

    /// A device's requests for another certificate.
    pub fn renew(&self, device: &DeviceId) -> String {
        format!("{}renew/{device}", self.prefix)
    }

    /// Certificates for a device.
    pub fn certificate(&self, device: &DeviceId) -> String {
        format!("{}certificate/{device}", self.prefix)
    }

    /// The total of a round: of one and of the next, so that whoever is a round behind finds the one it lacks.
    pub fn total(&self, round: u32) -> String {
        format!("{}total/{}", self.prefix, round % 2)
    }

    /// Filter of this fleet's totals, for those who fold them.
    pub fn totals(&self) -> String {
        format!("{}total/+", self.prefix)
    }

    /// A chunk from the coordinator.
    pub fn blob(&self, digest: &Digest, chunk: u32) -> String {
        format!("{}blob/{digest}/{chunk}", self.prefix)
    }

    /// A chunk from a device.
    pub fn up(&self, device: &DeviceId, digest: &Digest, chunk: u32) -> String {
        format!("{}up/{device}/{digest}/{chunk}", self.prefix)
    }

    /// Questions to a device that answers some.
    pub fn ask(&self, device: &DeviceId) -> String {
        format!("{}ask/{device}", self.prefix)
    }

    /// Its answer to the question of that name.
    pub fn answer(&self, device: &DeviceId, id: &DeviceId) -> String {
        format!("{}answer/{device}/{id}", self.prefix)
    }

    /// Filters of all that the coordinator listens to.
    pub fn of_devices(&self) -> Vec<String> {
        ["update/+", "presence/+", "report/+", "want/+", "up/+/+/+", "renew/+"]
            .map(|filter| format!("{}{filter}", self.prefix))
            .to_vec()
    }

    /// Filter of the chunks of one blob from the coordinator.
    pub fn chunks(&self, digest: &Digest) -> String {
        format!("{}blob/{digest}/+", self.prefix)
    }

    /// Filter of the chunks of every blob from the coordinator.
    pub fn all_chunks(&self) -> String {
        format!("{}blob/+/+", self.prefix)
    }

    /// What a topic of this fleet says; none if it is no topic of this fleet.
    pub fn parse(&self, topic: &str) -> Option<Topic> {
        let mut levels = topic.strip_prefix(&self.prefix)?.split('/');
        let kind = levels.next()?;
        let mut device = || DeviceId::parse(levels.next()?).ok();
        let parsed = match kind {
            "job" => Topic::Job,
            "round" => Topic::Round,
            "task" => Topic::Task(device()?),
            "update" => Topic::Update(device()?),
            "receipt" => Topic::Receipt(device()?),
            "presence" => Topic::Presence(device()?),
            "report" => Topic::Report(device()?),
            "want" => Topic::Want(device()?),
            "offer" => Topic::Offer(device()?),
            "renew" => Topic::Renew(device()?),
            "certificate" => Topic::Certificate(device()?),
            "total" => number(levels.next()?).filter(|n| *n < 2).map(|_| Topic::Total)?,
            "blob" => Topic::Blob { digest: levels.next()?.parse().ok()?, chunk: number(levels.next()?)? },
            "up" => Topic::Up {
                device: device()?,
                digest: levels.next()?.parse().ok()?,
                chunk: number(levels.next()?)?,
            },
            _ => return None,
        };
        levels.next().is_none().then_some(parsed)
    }
}

/// A number in its one form: no sign, no leading zero.
fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_parses_to_what_made_it() {
        let topics = Topics::new("home").unwrap();
        let dev = DeviceId::parse("pi-1").unwrap();
        let digest = Digest([7; 32]);
        let all = [
            (topics.job(), Topic::Job),
            (topics.round(), Topic::Round),
            (topics.task(&dev), Topic::Task(dev.clone())),
            (topics.update(&dev), Topic::Update(dev.clone())),
            (topics.receipt(&dev), Topic::Receipt(dev.clone())),
            (topics.presence(&dev), Topic::Presence(dev.clone())),
            (topics.report(&dev), Topic::Report(dev.clone())),
            (topics.want(&dev), Topic::Want(dev.clone())),
            (topics.offer(&dev), Topic::Offer(dev.clone())),
            (topics.renew(&dev), Topic::Renew(dev.clone())),
            (topics.certificate(&dev), Topic::Certificate(dev.clone())),
            (topics.total(7), Topic::Total),
            (topics.blob(&digest, 10), Topic::Blob { digest, chunk: 10 }),
            (topics.up(&dev, &digest, 0), Topic::Up { device: dev.clone(), digest, chunk: 0 }),
        ];
        let other = Topics::new("homes").unwrap();
        for (text, topic) in all {
            assert!(text.starts_with("sprig/1/home/"), "{text}");
            assert_eq!(topics.parse(&text), Some(topic), "{text}");
            assert_eq!(topics.parse(&format!("{text}/x")), None, "{text}/x");
            assert_eq!(
                topics.parse(&text[..text.len() - 1]).filter(|t| topics.parse(&text) == Some(t.clone())),
                None
            );
            assert_eq!(other.parse(&text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_topic_of_the_fleet_is_none() {
        let topics = Topics::new("home").unwrap();
        let digest = Digest([7; 32]);
        for text in [
            "".to_owned(),
            "sprig/1/home".to_owned(),
            "sprig/1/home/".to_owned(),
            "sprig/2/home/job".to_owned(),
            "sprig/1/home/task/".to_owned(),
            "sprig/1/home/task/UPPER".to_owned(),
            "sprig/1/home/other/pi".to_owned(),
            "sprig/1/home/total/2".to_owned(),
            format!("sprig/1/home/blob/{digest}/+1"),
            format!("sprig/1/home/blob/{digest}/01"),
            format!("sprig/1/home/blob/{digest}/4294967296"),
            "sprig/1/home/blob/07/1".to_owned(),
        ] {
            assert_eq!(topics.parse(&text), None, "{text}");
        }
        assert!(Topics::new("a/b").is_err() && Topics::new("").is_err());
    }
}
