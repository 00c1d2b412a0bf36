//! A device's certificate over time: asked for anew over the connection that it makes, and told of before it ends.
//!
//! ```text
//! renew/<device>         a request for a certificate of the same device and key, DER
//! certificate/<device>   what the authority answers, PEM
//! ```

use crate::certificate::{Certificate, NOTICES, moment, now};
use crate::enrol;
use crate::expiry::{Ending, Expiry};
use crate::link::{Link, LinkError};
use crate::messages::DeviceId;
use crate::topics::{Topic, Topics};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes of a request, at most; one of a key on P-256 has about 230.
pub const REQUEST_BYTES: usize = 4096;
/// Bytes of a certificate that answers one, at most; one has about 700.
pub const ANSWER_BYTES: usize = 16 << 10;
/// Days before the end of a certificate from which on a new one is asked for: before anybody is told that it ends.
const FROM: i64 = NOTICES[0] + 10;
/// Time from one request to the next, at first: whoever signs may not have been there. Each time it is twice as long.
const SOON: Duration = Duration::from_secs(75);
/// The same at most, and from an answer on: an authority signs anew only late in a certificate's life, and is asked again.
const EVERY: Duration = Duration::from_secs(6 * 3600);

/// The certificates of a device's connection.
pub struct Renewal {
    expiry: Expiry,
    own: Option<Own>,
}

/// What a certificate is renewed by.
pub struct Own {
    /// The device it names.
    pub device: DeviceId,
    /// The topics of its fleet.
    pub topics: Topics,
    /// Its file.
    pub certificate: PathBuf,
    /// File of the key that it is of.
    pub key: PathBuf,
    /// File of the authority that signed it.
    pub authority: PathBuf,
    /// When it was looked at last, and a new one asked for if it was time; and when that is done again.
    asked: Option<(Instant, Duration)>,
}

/// What is to be told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It ends soon, or has ended.
    Ending(Ending),
    /// There is a new one in its place, for the next connection.
    Renewed {
        /// The file.
        path: PathBuf,
        /// The last second in which it holds, since 1970.
        not_after: i64,
    },
    /// It cannot be renewed, and stays.
    Failed {
        /// Why.
        problem: String,
    },
}

impl Own {
    /// The certificate in the file `certificate` of the device of that name, in the fleet of these topics.
    pub fn new(device: DeviceId, topics: Topics, [certificate, key, authority]: [PathBuf; 3]) -> Self {
        Self { device, topics, certificate, key, authority, asked: None }
    }
}

impl Renewal {
    /// Tells of what `expiry` watches, and renews `own`, where there is one.
    pub fn new(expiry: Expiry, own: Option<Own>) -> Self {
        Self { expiry, own }
    }

    /// Listens for answers.
    ///
    /// # Errors
    /// The link does not take it.
    pub fn begin(&self, link: &mut dyn Link) -> Result<(), LinkError> {
        self.own.iter().try_for_each(|own| link.subscribe(&own.topics.certificate(&own.device)))
    }

    /// Asks for a new certificate, if `connected` and it is time, and says what is to be told.
    ///
    /// # Errors
    /// The link does not take it.
    pub fn turn(&mut self, link: &mut dyn Link, connected: bool) -> Result<Vec<Told>, LinkError> {
        let mut told: Vec<_> = self.expiry.look().into_iter().map(Told::Ending).collect();
        if let Some(own) = self.own.as_mut().filter(|_| connected)
            && own.asked.is_none_or(|(at, pause)| at.elapsed() >= pause)
        {
            told.extend(own.ask(link)?);
        }
        Ok(told)
    }

    /// Takes what came, if it is an answer.
    pub fn hear(&mut self, topic: &str, payload: &[u8]) -> Option<Told> {
        let own = self.own.as_mut()?;
        match own.topics.parse(topic) {
            Some(Topic::Certificate(device)) if device == own.device => own.take(payload),
            _ => None,
        }
    }
}

impl Own {
    fn ask(&mut self, link: &mut dyn Link) -> Result<Option<Told>, LinkError> {
        let before = self.asked.replace((Instant::now(), EVERY));
        // Whoever connects with a file that cannot be read says so.
        let Ok(found) = Certificate::read(&self.certificate) else { return Ok(None) };
        if found.days_left(now()) >= FROM {
            return Ok(None);
        }
        let pause = before.map_or(SOON, |(_, pause)| (2 * pause).min(EVERY));
        self.asked = Some((Instant::now(), pause));
        match enrol::renewal(&self.certificate, &self.key) {
            Ok(request) => link.publish(&self.topics.renew(&self.device), request, false).map(|()| None),
            Err(e) => Ok(Some(Told::Failed { problem: e.to_string() })),
        }
    }

    fn take(&mut self, pem: &[u8]) -> Option<Told> {
        self.asked = Some((Instant::now(), EVERY));
        if pem.len() > ANSWER_BYTES {
            let problem =
                format!("{} bytes came as a certificate; at most {ANSWER_BYTES} are read", pem.len());
            return Some(Told::Failed { problem });
        }
        let same = |present: Certificate| Certificate::from_pem(pem).is_ok_and(|renewed| renewed == present);
        if Certificate::read(&self.certificate).is_ok_and(same) {
            return None; // it is too early for another
        }
        let path = self.certificate.clone();
        Some(match enrol::renew(&path, &self.key, &self.authority, pem) {
            Ok(not_after) => Told::Renewed { path, not_after },
            Err(e) => Told::Failed { problem: e.to_string() },
        })
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ending(ending) => ending.fmt(f),
            Self::Renewed { path, not_after } => {
                write!(f, "the certificate {} is renewed, until {}", path.display(), moment(*not_after))
            }
            Self::Failed { problem } => write!(f, "the certificate is not renewed: {problem}"),
        }
    }
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
