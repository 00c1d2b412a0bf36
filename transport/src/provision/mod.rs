//! A fleet's certificates, its broker's configuration and the settings of every machine, ready to copy.
//!
//! ```text
//! <out>/ca/           ca.crt, ca.key (keep it here), identity
//! <out>/broker/       mosquitto.conf, acl, ca.crt, server.crt, server.key
//! <out>/coordinator/  fleet.toml, ca.crt, coordinator.crt, coordinator.key
//! <out>/devices/<id>/ device.toml, ca.crt, device.crt, device.key
//! ```
//!
//! Each of these folders appears whole or not at all. What is there is never touched, and what is missing is
//! made: so a second run adds devices, and a folder that is deleted is made anew under the same authority.

mod authority;
mod broker;
mod files;
mod identity;
mod settings;

use authority::{Authority, Role};
use files::Folder;
use identity::Identity;
use sprig_ground::PathError;
use std::path::{Path, PathBuf};

/// The common name of the coordinator's certificate; no device may have it.
pub const COORDINATOR: &str = "coordinator";
/// The port mosquitto listens on unless told otherwise: registered for MQTT over TLS.
pub const PORT: u16 = 8883;
/// Days a certificate lasts, at most: a century.
pub const MAX_DAYS: u32 = 36_525;
/// Devices made in one run, at most.
pub const MAX_DEVICES: u32 = 100_000;

/// What to make.
#[derive(Clone, Debug)]
pub struct Request {
    /// Name of the fleet; `None` for that of an earlier run, or `fleet`.
    pub fleet: Option<String>,
    /// The devices it has after this.
    pub devices: Devices,
    /// Names and addresses of the broker's machine; the settings name the first. Empty for those of an
    /// earlier run, or `localhost`. `localhost`, `127.0.0.1` and `::1` are certified besides.
    pub hosts: Vec<String>,
    /// Port of the broker; `None` for that of an earlier run, or [`PORT`].
    pub port: Option<u16>,
    /// Days the certificates last. The authority itself does not expire.
    pub days: u32,
}

/// Devices by number or by name.
#[derive(Clone, Debug)]
pub enum Devices {
    /// `device-001` up to this number.
    Count(u32),
    /// These.
    Names(Vec<String>),
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// Where clients find the broker.
    pub url: String,
    /// Whether the authority is new.
    pub new_authority: bool,
    /// The broker's folder.
    pub broker: PathBuf,
    /// The coordinator's folder.
    pub coordinator: PathBuf,
    /// Folders of the devices that are new.
    pub devices: Vec<PathBuf>,
    /// Devices of the request that were there before.
    pub kept: usize,
}

/// Why a fleet was not provisioned. Nothing that was there has changed.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A fleet or device has a name that no topic can hold.
    #[error("{what} name {name:?}: use 1 to 48 of a-z, 0-9 and -, and not `{COORDINATOR}` for a device")]
    Name {
        /// `fleet` or `device`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A broker is neither a host name nor an address.
    #[error("broker host {0:?}: give a host name or an IP address, without port")]
    Host(String),
    /// Certificates of no or too many days.
    #[error("{0} days: use 1 to {MAX_DAYS}")]
    Days(u32),
    /// No or too many devices.
    #[error("{0} devices: use 1 to {MAX_DEVICES} in one run")]
    Count(usize),
    /// The folder holds something else.
    #[error("{} is not empty and holds no fleet; name a new folder", .0.display())]
    Occupied(PathBuf),
    /// The folder holds another fleet.
    #[error(
        "{} holds the fleet {has:?}, not {asked:?}; give its name or none to add to it, another folder for a new fleet",
        dir.display()
    )]
    OtherFleet {
        /// The folder.
        dir: PathBuf,
        /// Its fleet.
        has: String,
        /// The fleet asked for.
        asked: String,
    },
    /// The broker's certificate there is for other hosts or another port.
    #[error("the broker in {} is certified as {has}; to move it, delete that folder and run this again", dir.display())]
    OtherBroker {
        /// The broker's folder.
        dir: PathBuf,
        /// What it is certified for.
        has: String,
    },
    /// The authority's own files are damaged.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] PathError),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Makes what is missing of the fleet in `out`. A first run leaves the whole fleet or nothing.
///
/// # Errors
/// See [`ProvisionError`].
pub fn provision(out: &Path, request: &Request) -> Result<Provisioned, ProvisionError> {
    let devices = check(request)?;
    if files::is_vacant(out)? {
        let identity = Identity::new(request);
        // Beside its final place, so that renaming it is one step.
        let whole = Folder::beside(out)?;
        let authority = Authority::create(&identity.fleet)?;
        let ca = Folder::beside(&whole.path().join("ca"))?;
        ca.write("ca.crt", authority.certificate())?;
        ca.secret("ca.key", &authority.key())?;
        ca.write("identity", &identity.to_text())?;
        ca.publish(&whole.path().join("ca"))?;
        let made = complete(whole.path(), &identity, &authority, &devices, request.days)?;
        whole.publish(out)?;
        return Ok(made.at(out, &identity, true));
    }
    let ca = out.join("ca");
    if !ca.join("ca.key").exists() {
        return Err(ProvisionError::Occupied(out.to_owned()));
    }
    let identity = Identity::read(&ca.join("identity"))?;
    if let Some(asked) = request.fleet.clone().filter(|asked| *asked != identity.fleet) {
        return Err(ProvisionError::OtherFleet { dir: out.to_owned(), has: identity.fleet, asked });
    }
    let wanted = identity.updated(request);
    if wanted != identity {
        let broker = out.join("broker");
        if broker.exists() {
            return Err(ProvisionError::OtherBroker { dir: broker, has: identity.place() });
        }
        files::replace(&ca.join("identity"), &wanted.to_text())?;
    }
    let authority = Authority::load(&wanted.fleet, &ca)?;
    let made = complete(out, &wanted, &authority, &devices, request.days)?;
    Ok(made.at(out, &wanted, false))
}

/// Devices made, by name, and how many were there.
struct Made {
    devices: Vec<String>,
    kept: usize,
}

impl Made {
    fn at(self, out: &Path, identity: &Identity, new_authority: bool) -> Provisioned {
        Provisioned {
            url: identity.url(),
            new_authority,
            broker: out.join("broker"),
            coordinator: out.join("coordinator"),
            devices: self.devices.iter().map(|name| out.join("devices").join(name)).collect(),
            kept: self.kept,
        }
    }
}

fn complete(
    dir: &Path,
    identity: &Identity,
    authority: &Authority,
    devices: &[String],
    days: u32,
) -> Result<Made, ProvisionError> {
    let client = |folder: &Folder, name: &str, stem: &str| {
        let (certificate, key) = authority.issue(name, Role::Client, days)?;
        folder.write("ca.crt", authority.certificate())?;
        folder.write(&format!("{stem}.crt"), &certificate)?;
        folder.secret(&format!("{stem}.key"), &key)
    };
    part(&dir.join("broker"), |folder| {
        let (certificate, key) = authority.issue(&identity.hosts[0], Role::Server(&identity.hosts), days)?;
        folder.write("ca.crt", authority.certificate())?;
        folder.write("server.crt", &certificate)?;
        folder.secret("server.key", &key)?;
        folder.write("mosquitto.conf", &broker::configuration(identity))?;
        folder.write("acl", &broker::access(&identity.fleet))
    })?;
    part(&dir.join("coordinator"), |folder| {
        client(folder, COORDINATOR, "coordinator")?;
        folder.write("fleet.toml", &settings::coordinator(identity))
    })?;
    files::ensure_dir(&dir.join("devices"))?;
    let mut made = Made { devices: Vec::new(), kept: 0 };
    for name in devices {
        let new = part(&dir.join("devices").join(name), |folder| {
            client(folder, name, "device")?;
            folder.write("device.toml", &settings::device(identity, name))
        })?;
        match new {
            true => made.devices.push(name.clone()),
            false => made.kept += 1,
        }
    }
    Ok(made)
}

/// Makes one folder, unless it is there. Says whether it did.
fn part(
    path: &Path,
    fill: impl FnOnce(&Folder) -> Result<(), ProvisionError>,
) -> Result<bool, ProvisionError> {
    if path.exists() {
        return Ok(false);
    }
    let folder = Folder::beside(path)?;
    fill(&folder)?;
    folder.publish(path)?;
    Ok(true)
}

/// Checks the request; gives the devices' names.
fn check(request: &Request) -> Result<Vec<String>, ProvisionError> {
    let named = |what, name: &str| match identity::is_level(name) {
        true => Ok(()),
        false => Err(ProvisionError::Name { what, name: name.to_owned() }),
    };
    request.fleet.iter().try_for_each(|name| named("fleet", name))?;
    if let Some(host) = request.hosts.iter().find(|host| !identity::is_host(host)) {
        return Err(ProvisionError::Host(host.clone()));
    }
    if !(1..=MAX_DAYS).contains(&request.days) {
        return Err(ProvisionError::Days(request.days));
    }
    let count = match &request.devices {
        Devices::Count(count) => *count as usize,
        Devices::Names(names) => names.len(),
    };
    if !(1..=MAX_DEVICES as usize).contains(&count) {
        return Err(ProvisionError::Count(count));
    }
    let devices = match &request.devices {
        Devices::Count(count) => (1..=*count).map(|n| format!("device-{n:03}")).collect(),
        Devices::Names(names) => names.clone(),
    };
    for name in &devices {
        named("device", name)?;
        if name == COORDINATOR {
            return Err(ProvisionError::Name { what: "device", name: name.clone() });
        }
    }
    Ok(devices)
}

#[cfg(test)]
mod tests;
