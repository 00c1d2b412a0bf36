//! A fleet's certificates, its broker's configuration and the settings of every machine, ready to copy.
//!
//! ```text
//! <out>/ca/           ca.crt, ca.key (keep it here), identity, issued.jsonl (every certificate that was signed)
//! <out>/broker/       mosquitto.conf, acl, ca.crt, server.crt, server.key, revoked.crl
//! <out>/coordinator/  fleet.toml, ca.crt, coordinator.crt, coordinator.key
//! <out>/devices/<id>/ device.toml, ca.crt, device.crt, device.key (unless it was made on the device)
//! <out>/requests/     requests of devices that wait for somebody's word
//! ```
//!
//! Each of these folders appears whole or not at all. What is there is never touched, and what is missing is
//! made: so a second run adds devices, and a folder that is deleted is made anew under the same authority.

mod authority;
mod broker;
mod files;
mod identity;
mod register;
mod registration;
mod request;
mod settings;

pub use register::{Issued, Role};
pub use registration::{Approved, Registration, Revoked};
pub use request::{Request as SigningRequest, RequestError};

use crate::certificate::Certificate;
use authority::{Authority, Subject};
use files::Folder;
use identity::Identity;
use rcgen::KeyPair;
use register::Register;
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
    /// Days that certificates hold.
    pub days: Lifetimes,
}

/// Days that certificates hold from now on; none outlasts the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// A device's: long enough for a year's habit of renewing, and a month's delay.
    pub devices: u32,
    /// The broker's and the coordinator's.
    pub servers: u32,
    /// That of a new authority.
    pub authority: u32,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { devices: 398, servers: 1825, authority: 3650 }
    }
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
    /// The folder holds no authority.
    #[error("{} holds no fleet's authority; name the folder that `sprig provision` made", .0.display())]
    NoAuthority(PathBuf),
    /// A request is refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Somebody else has the name.
    #[error(
        "{id} has a certificate of another key, until {until}; if this board takes its place, give --replace"
    )]
    Taken {
        /// The name.
        id: String,
        /// When its certificate ends.
        until: String,
    },
    /// Nothing that holds was signed for that name.
    #[error("{id} has no certificate that holds; `sprig fleet certificates` lists those that were signed")]
    Unknown {
        /// The name.
        id: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
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
        let authority = Authority::create(&identity.fleet, request.days.authority)?;
        let ca = Folder::beside(&whole.path().join("ca"))?;
        ca.write("ca.crt", authority.certificate())?;
        ca.secret("ca.key", &authority.key())?;
        ca.write("identity", &identity.to_text())?;
        ca.publish(&whole.path().join("ca"))?;
        let made = complete(whole.path(), &identity, &authority, &devices, &request.days)?;
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
    let made = complete(out, &wanted, &authority, &devices, &request.days)?;
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
    days: &Lifetimes,
) -> Result<Made, ProvisionError> {
    let mut register = registered(dir)?;
    let hosts = &identity.hosts;
    part(&dir.join("broker"), |folder| {
        let subject = Subject { name: &hosts[0], role: Role::Broker, hosts, days: days.servers };
        certify(folder, authority, &mut register, ("server", &subject))?;
        folder.write(broker::REVOCATIONS, &registration::revocations(&register, authority)?)?;
        folder.write("mosquitto.conf", &broker::configuration(identity))?;
        folder.write("acl", &broker::access(&identity.fleet))
    })?;
    part(&dir.join("coordinator"), |folder| {
        let subject = Subject { name: COORDINATOR, role: Role::Coordinator, hosts: &[], days: days.servers };
        certify(folder, authority, &mut register, ("coordinator", &subject))?;
        folder.write("fleet.toml", &settings::coordinator(identity, devices.len()))
    })?;
    files::ensure_dir(&dir.join("devices"))?;
    let mut made = Made { devices: Vec::new(), kept: 0 };
    for name in devices {
        let new = part(&dir.join("devices").join(name), |folder| {
            let subject = Subject { name, role: Role::Device, hosts: &[], days: days.devices };
            certify(folder, authority, &mut register, ("device", &subject))?;
            folder.write("device.toml", &settings::device(identity, name))
        })?;
        match new {
            true => made.devices.push(name.clone()),
            false => made.kept += 1,
        }
    }
    Ok(made)
}

/// Writes a new key with its certificate, and the authority's.
fn certify(
    folder: &Folder,
    authority: &Authority,
    register: &mut Register,
    (stem, subject): (&str, &Subject<'_>),
) -> Result<(), ProvisionError> {
    let key = KeyPair::generate()?;
    let (certificate, issued) = authority.sign(subject, &key)?;
    register.enter(issued)?;
    folder.write("ca.crt", authority.certificate())?;
    folder.write(&format!("{stem}.crt"), &certificate)?;
    folder.secret(&format!("{stem}.key"), &key.serialize_pem())
}

/// The register of the fleet in `dir`. A fleet that was made before there were registers gets one, with the certificates
/// that lie in its folders.
fn registered(dir: &Path) -> Result<Register, ProvisionError> {
    let ca = dir.join("ca");
    if let Some(register) = Register::open(&ca)? {
        return Ok(register);
    }
    let mut earlier = vec![
        (dir.join("broker/server.crt"), Role::Broker),
        (dir.join("coordinator/coordinator.crt"), Role::Coordinator),
    ];
    if let Ok(devices) = dir.join("devices").read_dir() {
        earlier.extend(devices.flatten().map(|d| (d.path().join("device.crt"), Role::Device)));
    }
    let read = |(path, role): &(PathBuf, Role)| -> Result<Issued, ProvisionError> {
        let damaged = |e: crate::certificate::CertificateError| ProvisionError::Damaged {
            path: path.clone(),
            problem: e.to_string(),
        };
        Ok(Issued::of(&Certificate::read(path).map_err(damaged)?, *role, 0))
    };
    let found: Result<Vec<_>, _> = earlier.iter().filter(|(path, _)| path.exists()).map(read).collect();
    Register::begin(&ca, &found?)
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
    let Lifetimes { devices, servers, authority } = request.days;
    [devices, servers, authority].into_iter().try_for_each(check_days)?;
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

fn check_days(days: u32) -> Result<(), ProvisionError> {
    if (1..=MAX_DAYS).contains(&days) { Ok(()) } else { Err(ProvisionError::Days(days)) }
}

#[cfg(test)]
mod tests;
