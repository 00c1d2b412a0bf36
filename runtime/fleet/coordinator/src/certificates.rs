//! Certificates: the coordinator's own, told of before they end, and those of its devices, signed anew.

use crate::notice::Notice;
use crate::options::{Options, Renewing};
use crate::view::CertificateView;
use sprig_transport::certificate::Certificate;
use sprig_transport::expiry::{Ending, Expiry};
use sprig_transport::messages::DeviceId;
use sprig_transport::provision::{ProvisionError, Registration, SigningRequest};
use sprig_transport::renewal::REQUEST_BYTES;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time for which a device is not answered again: signing takes a write to the register. Agents ask every few hours.
const PAUSE: Duration = Duration::from_secs(60);
/// Devices of which is remembered when they were answered; while there are as many within [`PAUSE`], nobody else is.
const MOST: usize = 1024;

pub(crate) struct Certificates {
    expiry: Expiry,
    renewing: Option<Renewing>,
    answered: HashMap<DeviceId, Instant>,
}

impl Certificates {
    pub(crate) fn of(options: &Options) -> Self {
        let expiry = Expiry::of(options.certificates.iter().cloned());
        Self { expiry, renewing: options.renewing.clone(), answered: HashMap::new() }
    }

    /// Those of the coordinator's own that end soon, each time once.
    pub(crate) fn look(&mut self) -> Vec<Notice> {
        let notice = |ending: Ending| Notice::Expiring {
            text: ending.to_string(),
            path: ending.path,
            not_after: ending.not_after,
            days: ending.days,
        };
        self.expiry.look().into_iter().map(notice).collect()
    }

    pub(crate) fn view(&self) -> Vec<CertificateView> {
        let view = |ending: Ending| CertificateView {
            path: ending.path.display().to_string(),
            not_after: ending.not_after,
            days: ending.days,
            near: ending.is_near(),
        };
        self.expiry.all().into_iter().map(view).collect()
    }

    /// The certificate for a device that asks for another, and what is to be told of it. The broker has it that the device is
    /// who it says; that it has the key of a certificate that holds, the request shows.
    pub(crate) fn answer(&mut self, device: &DeviceId, request: &[u8]) -> (Option<String>, Option<Notice>) {
        self.answered.retain(|_, at| at.elapsed() < PAUSE);
        if self.answered.contains_key(device) || self.answered.len() >= MOST {
            return (None, None);
        }
        self.answered.insert(device.clone(), Instant::now());
        let name = device.to_string();
        match self.signed(device, request) {
            Ok((certificate, true)) => {
                let until =
                    Certificate::from_pem(certificate.as_bytes()).map_or(0, |found| found.not_after());
                (Some(certificate), Some(Notice::Renewed { device: name, until }))
            }
            Ok((certificate, false)) => (Some(certificate), None),
            Err(problem) => (None, Some(Notice::NotRenewed { device: name, problem })),
        }
    }

    /// What the authority has for a device, and whether it was signed now.
    fn signed(&self, device: &DeviceId, request: &[u8]) -> Result<(String, bool), String> {
        let Some(Renewing { authority, days }) = &self.renewing else {
            return Err("[coordinator] authority names no folder to sign from".to_owned());
        };
        if request.len() > REQUEST_BYTES {
            return Err(format!("its request has {} bytes; at most {REQUEST_BYTES} are read", request.len()));
        }
        let request = SigningRequest::from_der(request).map_err(|e| e.to_string())?;
        sign(authority, *days, device, &request).map_err(|e| e.to_string())
    }
}

fn sign(
    dir: &Path,
    days: u32,
    device: &DeviceId,
    request: &SigningRequest,
) -> Result<(String, bool), ProvisionError> {
    let mut registration = Registration::open(dir)?;
    let before = registration.issued().len();
    let certificate = registration.renew(device, request, days)?;
    Ok((certificate, registration.issued().len() > before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_transport::enrol;
    use sprig_transport::provision::{Devices, Lifetimes, Request, provision};

    #[test]
    fn a_device_that_shows_its_key_is_signed_for_and_nobody_is_twice_in_a_row() {
        let fleet = tempfile::tempdir().unwrap();
        let days = Lifetimes { devices: 20, ..Lifetimes::default() };
        let wanted = Request { fleet: None, devices: Devices::Count(2), hosts: vec![], port: None, days };
        let devices = provision(fleet.path(), &wanted).unwrap().devices;
        let request = |n: usize| {
            enrol::renewal(&devices[n].join("device.crt"), &devices[n].join("device.key")).unwrap()
        };
        let (one, two) = (request(0), request(1));
        let certificates = |renewing: Option<&Path>| Certificates {
            expiry: Expiry::of([fleet.path().join("ca/ca.crt")]),
            renewing: renewing.map(|dir| Renewing { authority: dir.to_owned(), days: 90 }),
            answered: HashMap::new(),
        };
        let id = |name: &str| DeviceId::parse(name).unwrap();
        let mut here = certificates(Some(fleet.path()));
        // Too early for another: the one that there is, and nobody is told.
        let (same, told) = here.answer(&id("device-001"), &one);
        let present = std::fs::read_to_string(devices[0].join("device.crt")).unwrap();
        assert_eq!((same, told), (Some(present), None));
        assert_eq!(here.answer(&id("device-001"), &one), (None, None));
        // One that speaks for another.
        let (nothing, told) = here.answer(&id("device-002"), &one);
        assert!(nothing.is_none(), "{told:?}");
        assert!(matches!(told, Some(Notice::NotRenewed { problem, .. }) if problem.contains("device-001")));
        // The authority's copy is gone: it signs anew.
        here.answered.clear();
        std::fs::rename(devices[1].join("device.crt"), fleet.path().join("old.crt")).unwrap();
        let (new, told) = here.answer(&id("device-002"), &two);
        let new = Certificate::from_pem(new.unwrap().as_bytes()).unwrap();
        let old = Certificate::read(&fleet.path().join("old.crt")).unwrap();
        assert!(new.key() == old.key() && new.not_after() > old.not_after());
        let until = new.not_after();
        assert_eq!(told, Some(Notice::Renewed { device: "device-002".into(), until }));
        for (mut other, why) in [
            (certificates(None), "names no folder"),
            (certificates(Some(&devices[0])), "no fleet's authority"),
        ] {
            let (nothing, told) = other.answer(&id("device-001"), &one);
            assert!(nothing.is_none(), "{told:?}");
            assert!(matches!(told, Some(Notice::NotRenewed { problem, .. }) if problem.contains(why)));
        }
        here.answered.clear();
        assert!(here.answer(&id("device-001"), &[0; REQUEST_BYTES + 1]).0.is_none());
        assert_eq!((here.look(), here.view().len(), here.view()[0].near), (vec![], 1, false));
    }
}
