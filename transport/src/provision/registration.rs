//! A fleet's authority at work: it approves what devices ask for, renews, revokes, and writes everything down.

use super::authority::{Authority, Subject};
use super::register::{Issued, Register, Role};
use super::request::{Request, RequestError};
use super::{Folder, Identity, ProvisionError, broker, files, registered, settings};
use crate::certificate::{moment, now};
use crate::messages::DeviceId;
use sprig_ground::{PathError, file, hex};
use std::fs;
use std::path::{Path, PathBuf};

/// The authority of a fleet, and its register, which no other process writes while this is held.
pub struct Registration {
    dir: PathBuf,
    identity: Identity,
    authority: Authority,
    register: Register,
}

/// A device that may join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// Its folder: `ca.crt`, `device.crt` and `device.toml`, for the device that has the key.
    pub folder: PathBuf,
    /// The last second in which its certificate holds, since 1970.
    pub not_after: i64,
    /// SHA-256 of its public key, hexadecimal.
    pub key: String,
    /// Certificates of other keys under this name that hold no more.
    pub revoked: usize,
}

/// Certificates that hold no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// How many were revoked now.
    pub count: usize,
    /// The list that tells the broker.
    pub list: PathBuf,
    /// Whether the configuration beside it names the list; one that was made before there was one does not.
    pub heeded: bool,
}

impl Registration {
    /// Opens the authority in the folder that [`provision`](super::provision) made; waits while another process has it.
    ///
    /// # Errors
    /// There is none, or its files are damaged.
    pub fn open(dir: &Path) -> Result<Self, ProvisionError> {
        let ca = dir.join("ca");
        if !ca.join("ca.key").exists() {
            return Err(ProvisionError::NoAuthority(dir.to_owned()));
        }
        let identity = Identity::read(&ca.join("identity"))?;
        let authority = Authority::load(&identity.fleet, &ca)?;
        let register = registered(dir)?;
        Ok(Self { dir: dir.to_owned(), identity, authority, register })
    }

    /// Every certificate that was signed, in that order.
    pub fn issued(&self) -> &[Issued] {
        self.register.issued()
    }

    /// Folder of the requests that wait.
    pub fn requests(&self) -> PathBuf {
        self.dir.join("requests")
    }

    /// Signs a device's request for so many days, and makes its folder. With `replace`, a board of another key that had
    /// the name is shut out.
    ///
    /// # Errors
    /// The name is another's and `replace` is not set, or the key was revoked; nothing has changed then.
    pub fn approve(
        &mut self,
        request: &Request,
        days: u32,
        replace: bool,
    ) -> Result<Approved, ProvisionError> {
        super::check_days(days)?;
        let (id, key) = (request.device.as_str(), request.fingerprint());
        if self.of(id).any(|issued| issued.key == key && issued.revoked.is_some()) {
            let why = format!("the key of {id} was revoked; delete it on the device and enrol anew");
            return Err(RequestError::new(why).into());
        }
        let now = now();
        let others: Vec<Issued> = self.of(id).filter(|i| i.key != key && i.holds(now)).cloned().collect();
        if let Some(other) = others.last().filter(|_| !replace) {
            return Err(ProvisionError::Taken { id: id.to_owned(), until: moment(other.not_after) });
        }
        let (certificate, not_after) = self.sign(request, days)?;
        for other in &others {
            self.register.revoke(&other.serial, now)?;
        }
        if !others.is_empty() {
            self.write_list()?;
        }
        let folder = self.put(id, &certificate)?;
        Ok(Approved { folder, not_after, key, revoked: others.len() })
    }

    /// Signs again for a device that shows by `request` that it has the key it was approved with: PEM. Nothing new is
    /// signed in the first two thirds of a certificate's life; then it is the one that holds, sent again.
    ///
    /// # Errors
    /// The request is for another device, or no certificate of that device and key holds.
    pub fn renew(
        &mut self,
        device: &DeviceId,
        request: &Request,
        days: u32,
    ) -> Result<String, ProvisionError> {
        super::check_days(days)?;
        if request.device != *device {
            let why = format!("{device} asks for a certificate of {}", request.device);
            return Err(RequestError::new(why).into());
        }
        let (now, key) = (now(), request.fingerprint());
        let last =
            self.of(device.as_str()).filter(|i| i.key == key && i.holds(now)).max_by_key(|i| i.not_after);
        let Some(last) = last else {
            return Err(ProvisionError::Unknown { id: device.to_string() });
        };
        let renewable = last.not_after - (last.not_after - last.signed) / 3;
        let places = [self.given(device), self.renewed(device)];
        if now < renewable
            && let Some(text) = places.iter().find_map(|file| holding(file, &last.fingerprint))
        {
            return Ok(text);
        }
        let (certificate, _) = self.sign(request, days)?;
        self.keep(device, &certificate)?;
        Ok(certificate)
    }

    /// Revokes every certificate that was signed for `id` and still holds, and writes the broker's list.
    ///
    /// # Errors
    /// There is none.
    pub fn revoke(&mut self, id: &str) -> Result<Revoked, ProvisionError> {
        let now = now();
        let serials: Vec<String> = self.of(id).filter(|i| i.holds(now)).map(|i| i.serial.clone()).collect();
        if serials.is_empty() {
            return Err(ProvisionError::Unknown { id: id.to_owned() });
        }
        for serial in &serials {
            self.register.revoke(serial, now)?;
        }
        let (list, heeded) = self.write_list()?;
        Ok(Revoked { count: serials.len(), list, heeded })
    }

    /// Certificates of the client of that name.
    fn of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Issued> {
        self.register.issued().iter().filter(move |i| i.role != Role::Broker && i.id == id)
    }

    fn sign(&mut self, request: &Request, days: u32) -> Result<(String, i64), ProvisionError> {
        let subject = Subject { name: request.device.as_str(), role: Role::Device, hosts: &[], days };
        let (certificate, issued) = self.authority.sign(&subject, &request.key)?;
        let not_after = issued.not_after;
        self.register.enter(issued)?;
        Ok((certificate, not_after))
    }

    /// The certificate in the folder that was made for a device, which may have been taken there since.
    fn given(&self, device: &DeviceId) -> PathBuf {
        self.dir.join("devices").join(device.as_str()).join("device.crt")
    }

    /// The certificate that a device was last renewed with, kept with the authority: an answer that is lost is given again,
    /// not signed anew.
    fn renewed(&self, device: &DeviceId) -> PathBuf {
        self.dir.join("ca").join("renewed").join(format!("{device}.crt"))
    }

    fn keep(&self, device: &DeviceId, certificate: &str) -> Result<(), ProvisionError> {
        let (given, renewed) = (self.given(device), self.renewed(device));
        if let Some(folder) = renewed.parent() {
            files::ensure_dir(folder)?;
        }
        files::replace(&renewed, certificate)?;
        match given.parent() {
            Some(folder) if folder.is_dir() => files::replace(&given, certificate),
            _ => Ok(()),
        }
    }

    /// Puts the folder of a device in its place. Settings that somebody wrote there stay.
    fn put(&self, id: &str, certificate: &str) -> Result<PathBuf, ProvisionError> {
        let devices = self.dir.join("devices");
        files::ensure_dir(&devices)?;
        let place = devices.join(id);
        let kept = fs::read_to_string(place.join("device.toml"));
        let folder = Folder::beside(&place)?;
        folder.write("ca.crt", self.authority.certificate())?;
        folder.write("device.crt", certificate)?;
        folder.write("device.toml", &kept.unwrap_or_else(|_| settings::device(&self.identity, id)))?;
        // A key that was made here is another's than the device's own.
        if place.exists() {
            fs::remove_dir_all(&place).map_err(PathError::at("remove", &place))?;
        }
        folder.publish(&place)?;
        Ok(place)
    }

    /// Writes the list of revoked certificates; says where, and whether the broker's configuration names it.
    fn write_list(&self) -> Result<(PathBuf, bool), ProvisionError> {
        let text = revocations(&self.register, &self.authority)?;
        let broker = self.dir.join("broker");
        // Where the broker's folder was taken elsewhere, the list is kept with the authority.
        let folder = if broker.is_dir() { broker } else { self.dir.join("ca") };
        let list = folder.join(broker::REVOCATIONS);
        files::replace(&list, &text)?;
        file::sync_folder(&folder)?;
        let configuration = fs::read_to_string(folder.join("mosquitto.conf"));
        Ok((list, configuration.is_ok_and(|text| broker::heeds_revocations(&text))))
    }
}

/// What is in the file, if that is the certificate of this fingerprint.
fn holding(file: &Path, fingerprint: &str) -> Option<String> {
    let text = files::read(file).ok()?;
    let found = crate::certificate::Certificate::from_pem(text.as_bytes()).ok()?;
    (found.fingerprint() == fingerprint).then_some(text)
}

/// The list of all that was revoked, PEM.
pub(super) fn revocations(register: &Register, authority: &Authority) -> Result<String, ProvisionError> {
    let mut revoked = Vec::new();
    for issued in register.issued() {
        if let Some(at) = issued.revoked {
            revoked
                .push((hex::decode(&issued.serial).ok_or_else(|| register.damaged("a serial number"))?, at));
        }
    }
    authority.revocations(revoked.into_iter(), register.lines())
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
