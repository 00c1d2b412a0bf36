//! Which fleet, which broker, who we are.

use super::{SettingsError, join};
use serde::Deserialize;
use sprig_ground::PathError;
use sprig_transport::link::LinkConfig;
use sprig_transport::messages::DeviceId;
use std::path::{Path, PathBuf};

/// The `[fleet]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Name of the fleet; a level of its topics.
    pub name: String,
    /// This device's name in it; devices only.
    pub id: Option<String>,
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
}

impl Connection {
    pub(super) fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.ca, &mut self.cert, &mut self.key, &mut self.password_file] {
            path.iter_mut().for_each(|p| join(folder, p));
        }
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > 48 || !self.name.chars().all(plain) {
            let remedy = "use 1 to 48 of a-z, 0-9 and -";
            return Err(SettingsError::value("fleet", "name", format_args!("{:?}", self.name), remedy));
        }
        if self.cert.is_some() != self.key.is_some() {
            let remedy = "give both `cert` and `key`, or neither";
            return Err(SettingsError::value("fleet", "cert", "one of the two", remedy));
        }
        Ok(())
    }

    /// This device's name.
    pub fn device(&self) -> Result<DeviceId, SettingsError> {
        let id = self.id.as_deref().unwrap_or("");
        DeviceId::parse(id).map_err(|_| {
            let remedy = "a device needs a name of 1 to 48 of a-z, 0-9 and -";
            SettingsError::value("fleet", "id", format_args!("{id:?}"), remedy)
        })
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
            ..LinkConfig::new(&self.broker, client)
        })
    }
}
