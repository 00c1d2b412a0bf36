//! Certificates that are about to end: told in time, each time once.

use crate::certificate::{Certificate, NOTICES, moment, now};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the files are read again: they may be renewed, and the clock may be set.
const EVERY: Duration = Duration::from_secs(3600);

/// Watches certificate files.
pub struct Expiry {
    files: Vec<(PathBuf, Option<i64>)>,
    looked: Option<Instant>,
}

/// A certificate, and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The file.
    pub path: PathBuf,
    /// The last second in which it holds, since 1970.
    pub not_after: i64,
    /// Whole days until then by this machine's clock; below 0 once it has ended.
    pub days: i64,
}

impl Expiry {
    /// Watches these, of which a fleet's connection has none to three.
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { files: files.into_iter().map(|path| (path, None)).collect(), looked: None }
    }

    /// All that it watches, as it is now; what cannot be read is left out.
    pub fn all(&self) -> Vec<Ending> {
        let now = now();
        let read =
            |(path, _): &(PathBuf, Option<i64>)| Some(Ending::of(path, &Certificate::read(path).ok()?, now));
        self.files.iter().filter_map(read).collect()
    }

    /// What is to be told now: a file is told of when fewer than 30, 7 or 1 of its days are left, and when it has ended. A
    /// file that cannot be read is none of this: whoever connects with it says so.
    pub fn look(&mut self) -> Vec<Ending> {
        if self.files.is_empty() || self.looked.is_some_and(|at| at.elapsed() < EVERY) {
            return Vec::new();
        }
        self.looked = Some(Instant::now());
        self.look_at(now())
    }

    fn look_at(&mut self, now: i64) -> Vec<Ending> {
        let mut ending = Vec::new();
        for (path, told) in &mut self.files {
            let Ok(found) = Certificate::read(path) else { continue };
            let found = Ending::of(path, &found, now);
            let step = NOTICES.into_iter().chain([0]).filter(|step| found.days < *step).min();
            if step.is_some() && told.is_none_or(|before| step < Some(before)) {
                ending.push(found);
            }
            *told = step;
        }
        ending
    }
}

impl Ending {
    fn of(path: &Path, certificate: &Certificate, now: i64) -> Self {
        Self { path: path.to_owned(), not_after: certificate.not_after(), days: certificate.days_left(now) }
    }

    /// Whether it is near enough to be told of.
    pub fn is_near(&self) -> bool {
        self.days < NOTICES[0]
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (path, end) = (self.path.display(), moment(self.not_after));
        match self.days {
            ..0 => write!(f, "the certificate {path} has ended ({end})"),
            0 => write!(f, "the certificate {path} ends within a day ({end}); renew it"),
            days => write!(f, "the certificate {path} ends in {days} days ({end}); renew it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::DAY;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn write(path: &std::path::Path, year: i32) -> i64 {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(year, 1, 1);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        std::fs::write(path, made.pem()).unwrap();
        params.not_after.unix_timestamp()
    }

    #[test]
    fn every_step_is_told_once_and_anew_after_a_renewal() {
        let dir = tempfile::tempdir().unwrap();
        let (path, none) = (dir.path().join("x.crt"), dir.path().join("none.crt"));
        let end = write(&path, 2030);
        let mut expiry = Expiry::of([path.clone(), none]);
        let days = |expiry: &mut Expiry, now: i64| expiry.look_at(now).first().map(|e| e.days);
        for (left, told) in [(31, None), (30, None), (29, Some(29)), (20, None), (6, Some(6)), (3, None)] {
            assert_eq!(days(&mut expiry, end - left * DAY), told, "{left}");
        }
        assert_eq!(days(&mut expiry, end - DAY / 2), Some(0));
        assert_eq!(days(&mut expiry, end), None);
        assert_eq!(days(&mut expiry, end + 1), Some(-1));
        assert_eq!(days(&mut expiry, end + 9 * DAY), None);
        // The clock was wrong, and the end comes again.
        assert_eq!(days(&mut expiry, 0), None);
        assert_eq!(days(&mut expiry, end - 2 * DAY), Some(2));
        let later = write(&path, 2031);
        assert_eq!(days(&mut expiry, end), None);
        assert_eq!(days(&mut expiry, later - 9 * DAY), Some(9));
    }

    #[test]
    fn it_looks_at_once_and_not_at_every_call() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.crt");
        write(&path, 2001);
        let mut expiry = Expiry::of([path.clone()]);
        let told = expiry.look();
        assert!(told[0].to_string().contains("x.crt has ended (2001-01-01 00:00:00 UTC)"), "{}", told[0]);
        std::fs::remove_file(&path).unwrap();
        assert!(expiry.look().is_empty() && expiry.looked.is_some());
    }
}
