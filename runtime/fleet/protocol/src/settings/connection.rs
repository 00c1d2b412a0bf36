//! Which fleet, which broker, who we are.

use super::{SettingsError, join};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sprig_ground::PathError;
use sprig_learn::recipe::Whole;
use sprig_transport::expiry::Expiry;
use sprig_transport::link::LinkConfig;
use sprig_transport::messages::DeviceId;
use sprig_transport::renewal::{Own, Renewal};
use sprig_transport::topics::Topics;
use std::fmt::{self, Display, Formatter};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The `[fleet]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Name of the fleet; a level of its topics.
    pub name: FleetName,
    /// This device's name in it; devices only.
    #[serde(default, deserialize_with = "device_id", skip_serializing)]
    pub id: Option<DeviceId>,
    /// `mqtts://host[:8883]` or `mqtt://host[:1883]`.
    pub broker: String,
    /// Certificate authority that signed the broker's certificate (PEM).
    pub ca: Option<PathBuf>,
    /// Our certificate (PEM).
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// User name, where the broker asks for one.
    pub username: Option<String>,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// Allows an unencrypted connection to another machine.
    #[serde(default)]
    pub allow_plain: bool,
    /// Seconds of silence after which the connection is tried, and the broker tells others that we are gone after half as many
    /// again. Each time costs some fifty bytes under TLS; the networks between must not forget a connection sooner.
    #[serde(default = "keep_alive")]
    pub keep_alive_seconds: Whole<5, 3600>,
}

fn keep_alive() -> Whole<5, 3600> {
    Whole::of::<30>()
}

/// Name of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetName(String);

/// What a level of a topic is made of.
const LEVEL: &str = "1 to 48 of a-z, 0-9 and -";

impl Connection {
    pub(super) fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.ca, &mut self.cert, &mut self.key, &mut self.password_file] {
            path.iter_mut().for_each(|p| join(folder, p));
        }
    }

    /// The same, if certificate and key are both there or neither.
    pub(super) fn checked(self) -> Result<Self, SettingsError> {
        match self.cert.is_some() == self.key.is_some() {
            true => Ok(self),
            false => {
                let remedy = "give both `cert` and `key`, or neither";
                Err(SettingsError::value("fleet", "cert", "one of the two", remedy))
            }
        }
    }

    /// Topics of the fleet.
    ///
    /// # Errors
    /// The name cannot be part of a topic: [`SettingsError::Value`].
    pub fn topics(&self) -> Result<Topics, SettingsError> {
        Topics::new(&self.name).map_err(|e| {
            SettingsError::value("fleet", "name", format_args!("{:?}", &*self.name), e.to_string())
        })
    }

    /// This device's name.
    ///
    /// # Errors
    /// There is none: the settings are a coordinator's.
    pub fn device(&self) -> Result<DeviceId, SettingsError> {
        self.id.clone().ok_or_else(|| {
            SettingsError::value("fleet", "id", "nothing", format!("a device needs a name of {LEVEL}"))
        })
    }

    /// Files of the certificates that this connection needs: our own, and the authority's.
    pub fn certificates(&self) -> impl Iterator<Item = &PathBuf> {
        self.cert.iter().chain(&self.ca)
    }

    /// Tells of a device's certificates before they end, and renews its own.
    ///
    /// # Errors
    /// As [`topics`](Self::topics) and [`device`](Self::device).
    pub fn renewal(&self) -> Result<Renewal, SettingsError> {
        let expiry = Expiry::of(self.certificates().cloned());
        let own = match (self.cert.clone(), self.key.clone(), self.ca.clone()) {
            (Some(cert), Some(key), Some(ca)) => {
                Some(Own::new(self.device()?, self.topics()?, [cert, key, ca]))
            }
            _ => None,
        };
        Ok(Renewal::new(expiry, own))
    }

    /// How to reach the broker as `client`.
    pub fn link(&self, client: &str) -> Result<LinkConfig, SettingsError> {
        let password = self
            .password_file
            .as_ref()
            .map(|path| std::fs::read_to_string(path).map_err(PathError::at("read", path)));
        let password = password.transpose()?.map(|t| t.lines().next().unwrap_or("").to_owned());
        Ok(LinkConfig {
            login: self.username.clone().map(|user| (user, password.unwrap_or_default())),
            ca: self.ca.clone(),
            identity: self.cert.clone().zip(self.key.clone()),
            allow_plain: self.allow_plain,
            keep_alive: Duration::from_secs(self.keep_alive_seconds.get().into()),
            ..LinkConfig::new(&self.broker, client)
        })
    }
}

impl Deref for FleetName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Display for FleetName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Serialize for FleetName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for FleetName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(LevelVisitor).map(Self)
    }
}

fn device_id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DeviceId>, D::Error> {
    let name = from.deserialize_str(LevelVisitor)?;
    DeviceId::parse(&name).map(Some).map_err(D::Error::custom)
}

struct LevelVisitor;

impl Visitor<'_> for LevelVisitor {
    type Value = String;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a name of {LEVEL}")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<String, E> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match (1..=48).contains(&name.len()) && name.chars().all(plain) {
            true => Ok(name.to_owned()),
            false => Err(E::invalid_value(Unexpected::Str(name), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Connection, toml::de::Error> {
        toml::from_str(&format!("name = \"home\"\nbroker = \"mqtt://localhost\"\n{line}"))
    }

    #[test]
    fn a_connection_is_tried_after_as_much_silence_as_is_asked_for() {
        for (line, seconds) in [("", 30), ("keep_alive_seconds = 5", 5), ("keep_alive_seconds = 3600", 3600)]
        {
            let link = read(line).unwrap().link("device").unwrap();
            assert_eq!((link.keep_alive, link.client_id.as_str()), (Duration::from_secs(seconds), "device"));
        }
        for beyond in [4, 3601] {
            let error = read(&format!("keep_alive_seconds = {beyond}")).unwrap_err().to_string();
            assert!(error.contains("a whole number from 5 to 3600"), "{error}");
        }
    }
}
