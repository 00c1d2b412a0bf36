//! A copy of a ledger put into a state folder: looked through before it has its name, never over a ledger that is there.

use crate::error::CoordinatorError;
use crate::ledger::{Held, Ledger, LedgerError};
use sprig_ground::{PathError, file};
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Bytes that are copied at a time, and after which is told how far it is.
const PORTION: usize = 4 << 20;
/// Ledgers that were moved aside in one folder, at most.
const MOST_ASIDE: u32 = 1000;

/// A ledger that was put back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What it holds.
    pub held: Held,
    /// Where it is.
    pub ledger: PathBuf,
    /// Where the one is that was there before, if it was to be replaced.
    pub aside: Option<PathBuf>,
}

/// Puts the copy `from` into the state folder `state`; with `replace` a ledger that is there is moved aside. `tell` hears how
/// many bytes of how many are copied.
///
/// # Errors
/// When the folder has a ledger that is not to be replaced, or one in use; when the copy is no whole ledger; when the disk fails.
/// The folder's ledger is then what it was.
pub fn restore(
    state: &Path,
    from: &Path,
    replace: bool,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Restored, CoordinatorError> {
    std::fs::create_dir_all(state).map_err(PathError::at("make the folder", state))?;
    let ledger = Ledger::file_in(state);
    let there = ledger.symlink_metadata().is_ok();
    if there && !replace {
        return Err(LedgerError::Occupied { path: ledger }.into());
    }
    let (made, copy) = file::create_aside(&ledger)?;
    let placed = fill(made, &copy, from, tell).and_then(|()| {
        let opened = Ledger::at(copy.to_owned()).and_then(|copied| copied.held());
        // It is the copy that is damaged, not the file made of it.
        let held = opened.map_err(|e| e.of(from))?;
        let aside = if there { Some(move_aside(state, &ledger)?) } else { None };
        file::place_new(&copy, &ledger).map_err(|e| match e.source.kind() {
            std::io::ErrorKind::AlreadyExists => LedgerError::Occupied { path: ledger.clone() },
            _ => e.into(),
        })?;
        Ok(Restored { held, ledger: ledger.clone(), aside })
    });
    if placed.is_err() {
        let _ = file::remove(&copy); // the first error is the one to report
    }
    Ok(placed?)
}

/// Copies the bytes of `from` into `made`, and has the disk keep them.
fn fill(mut made: File, copy: &Path, from: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<(), LedgerError> {
    let read = PathError::at("read", from);
    let mut source = File::open(from).map_err(&read)?;
    if let Err(TryLockError::WouldBlock) = source.try_lock_shared() {
        return Err(LedgerError::InUse { path: from.to_owned() });
    }
    let of = source.metadata().map_err(&read)?.len();
    // Tells other processes that somebody writes it. A file system without locks does without.
    let _ = made.try_lock();
    let (mut portion, mut done) = (vec![0; PORTION], 0);
    loop {
        let n = source.read(&mut portion).map_err(&read)?;
        if n == 0 {
            break;
        }
        made.write_all(&portion[..n]).map_err(PathError::at("write", copy))?;
        done += n as u64;
        tell(done, of.max(done));
    }
    Ok(made.sync_all().map_err(PathError::at("write", copy))?)
}

/// Gives the ledger in `state` another name, unless somebody has it open. One that is damaged is moved as it is.
fn move_aside(state: &Path, ledger: &Path) -> Result<PathBuf, LedgerError> {
    let opened = match Ledger::existing(state) {
        Err(e @ (LedgerError::InUse { .. } | LedgerError::Io(_))) => return Err(e),
        opened => opened,
    };
    let mut names = (1..=MOST_ASIDE).map(|n| ledger.with_extension(format!("{n}.redb")));
    let aside = names.find(|name| name.symlink_metadata().is_err());
    let aside = aside.ok_or_else(|| LedgerError::Occupied { path: ledger.to_owned() })?;
    file::place_new(ledger, &aside)?;
    drop(opened); // nobody else had it until it was moved
    Ok(aside)
}
