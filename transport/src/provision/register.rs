//! What the authority has signed: one JSON object a line, in the folder of its key.
//!
//! A certificate's line is on the disk before anybody gets the certificate, and no line is ever changed: a revocation is a
//! line of its own. A last line that a power cut left in part is of a certificate that nobody has.

use super::ProvisionError;
use crate::certificate::{Certificate, fingerprint};
use serde::{Deserialize, Serialize};
use sprig_ground::{PathError, file, hex};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The register's name in the folder of the authority.
pub(super) const FILE: &str = "issued.jsonl";
/// Bytes of a register at most: a million certificates.
const MAX_BYTES: u64 = 512 << 20;

/// A certificate that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Its common name: a device's, `coordinator`, or the broker's host.
    pub id: String,
    /// What it lets its holder be.
    pub role: Role,
    /// Its number, hexadecimal.
    pub serial: String,
    /// When it was signed, seconds since 1970; 0 where there was no register then.
    pub signed: i64,
    /// The last second in which it holds, since 1970.
    pub not_after: i64,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
    /// SHA-256 of the public key, hexadecimal.
    pub key: String,
    /// When it was revoked, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<i64>,
}

/// What a certificate lets its holder be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The broker.
    Broker,
    /// The coordinator.
    Coordinator,
    /// A device.
    Device,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Issued(Issued),
    Revoked { serial: String, at: i64 },
}

/// The register, held: no other process writes it meanwhile.
pub(super) struct Register {
    path: PathBuf,
    file: File,
    issued: Vec<Issued>,
    by_serial: BTreeMap<String, usize>,
    lines: u64,
}

impl Issued {
    pub(super) fn of(certificate: &Certificate, role: Role, signed: i64) -> Self {
        Self {
            id: certificate.name().unwrap_or_default().to_owned(),
            role,
            serial: hex::encode(certificate.serial()),
            signed,
            not_after: certificate.not_after(),
            fingerprint: certificate.fingerprint(),
            key: fingerprint(certificate.key()),
            revoked: None,
        }
    }

    /// Whether it lets its holder in at `now`.
    pub fn holds(&self, now: i64) -> bool {
        self.revoked.is_none() && self.not_after >= now
    }
}

impl Register {
    /// Opens the register in the authority's folder, and waits for whoever holds it. `None` where there is none yet.
    pub(super) fn open(ca: &Path) -> Result<Option<Self>, ProvisionError> {
        let path = ca.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let mut register = Self::held(path)?;
        register.read()?;
        Ok(Some(register))
    }

    /// Begins a register with what was signed before there was one.
    pub(super) fn begin(ca: &Path, earlier: &[Issued]) -> Result<Self, ProvisionError> {
        let path = ca.join(FILE);
        let mut text = String::new();
        for issued in earlier {
            text += &line(&Line::Issued(issued.clone()));
        }
        file::write(&path, text.as_bytes())?;
        let mut register = Self::held(path)?;
        register.read()?;
        Ok(register)
    }

    /// Everything that was signed, in that order.
    pub(super) fn issued(&self) -> &[Issued] {
        &self.issued
    }

    /// Lines so far: a number that only grows.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// Enters a certificate; on the disk when this returns.
    pub(super) fn enter(&mut self, issued: Issued) -> Result<(), ProvisionError> {
        self.append(Line::Issued(issued))
    }

    /// Revokes the certificate of that number.
    pub(super) fn revoke(&mut self, serial: &str, at: i64) -> Result<(), ProvisionError> {
        self.append(Line::Revoked { serial: serial.to_owned(), at })
    }

    fn held(path: PathBuf) -> Result<Self, ProvisionError> {
        let file = OpenOptions::new().read(true).append(true).open(&path);
        let file = file.map_err(PathError::at("open", &path))?;
        file.lock().map_err(PathError::at("lock", &path))?;
        Ok(Self { path, file, issued: Vec::new(), by_serial: BTreeMap::new(), lines: 0 })
    }

    fn read(&mut self) -> Result<(), ProvisionError> {
        let failed = PathError::at("read", &self.path);
        let bytes = self.file.metadata().map_err(&failed)?.len();
        if bytes > MAX_BYTES {
            return Err(self.damaged(format!("{bytes} bytes; at most {MAX_BYTES} are read")));
        }
        let mut text = String::new();
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.read_to_string(&mut text))
            .map_err(failed)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            self.file.set_len(whole as u64).map_err(PathError::at("shorten", &self.path))?;
        }
        for (i, line) in text[..whole].lines().enumerate() {
            let parsed = serde_json::from_str(line);
            let line = parsed.map_err(|e| self.damaged(format!("line {}: {e}", i + 1)))?;
            self.take(line);
        }
        Ok(())
    }

    fn append(&mut self, what: Line) -> Result<(), ProvisionError> {
        let text = line(&what);
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(PathError::at("write", &self.path))?;
        self.take(what);
        Ok(())
    }

    fn take(&mut self, line: Line) {
        self.lines += 1;
        match line {
            Line::Issued(issued) => {
                self.by_serial.insert(issued.serial.clone(), self.issued.len());
                self.issued.push(issued);
            }
            Line::Revoked { serial, at } => {
                if let Some(found) = self.by_serial.get(&serial) {
                    self.issued[*found].revoked.get_or_insert(at);
                }
            }
        }
    }

    pub(super) fn damaged(&self, problem: impl Into<String>) -> ProvisionError {
        ProvisionError::Damaged { path: self.path.clone(), problem: problem.into() }
    }
}

/// A line with its end.
fn line(what: &Line) -> String {
    // Strings and numbers alone: nothing in it can fail.
    serde_json::to_string(what).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(id: &str, serial: &str) -> Issued {
        let (fingerprint, key) = ("f".repeat(64), "e".repeat(64));
        let (id, serial) = (id.to_owned(), serial.to_owned());
        let (signed, not_after, revoked) = (1_700_000_000, 1_800_000_000, None);
        Issued { id, role: Role::Device, serial, signed, not_after, fingerprint, key, revoked }
    }

    #[test]
    fn what_was_entered_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Register::open(dir.path()).unwrap().is_none());
        let mut register = Register::begin(dir.path(), &[issued("a", "01")]).unwrap();
        register.enter(issued("b", "02")).unwrap();
        register.revoke("01", 77).unwrap();
        register.revoke("01", 99).unwrap(); // the first time counts
        let before = register.issued().to_vec();
        assert_eq!(before[0].revoked, Some(77));
        assert!(before[1].holds(1_800_000_000) && !before[1].holds(1_800_000_001) && !before[0].holds(0));
        drop(register);
        let again = Register::open(dir.path()).unwrap().unwrap();
        assert_eq!((again.issued(), again.lines()), (&before[..], 4));
    }

    #[test]
    fn a_line_that_a_power_cut_left_in_part_is_dropped_and_another_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut register = Register::begin(dir.path(), &[issued("a", "01")]).unwrap();
        register.enter(issued("b", "02")).unwrap();
        drop(register);
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut register = Register::open(dir.path()).unwrap().unwrap();
            assert_eq!(register.issued().len(), 1, "{cut}");
            register.enter(issued("c", "03")).unwrap();
            drop(register);
            let again = Register::open(dir.path()).unwrap().unwrap();
            assert_eq!(again.issued()[1].id, "c", "{cut}");
        }
        std::fs::write(&path, [&whole[..first], b"{}\n"].concat()).unwrap();
        let error = Register::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("issued.jsonl: line 2"), "{error}");
    }
}
