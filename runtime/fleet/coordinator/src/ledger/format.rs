//! The format of a ledger, and how one of an earlier program becomes one of this.
//!
//! | format | what is new |
//! |---|---|
//! | 1 | |
//! | 2 | `meta` names the program that wrote it last; settings may be written otherwise than this program would write them |
//!
//! A later program knows how to bring up every format from 1 on, a step after the other, in one transaction: a cut leaves the
//! ledger as it was, or brought up. There is no way back, for an earlier program cannot know what a later one wrote; who may
//! want to go back keeps a copy.

use super::words::WORDS;
use super::{Ledger, LedgerError, META};
use redb::{ReadableTable, WriteTransaction};

/// Format of the tables.
pub(super) const FORMAT: u32 = 2;

/// Makes a format of the one before it.
type Step = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// To each format, from the second on.
const STEPS: [Step; FORMAT as usize - 1] = [names_its_program];

/// The program that wrote the ledger last, in `meta`.
const PROGRAM: &str = "program";

impl Ledger {
    /// Makes a ledger of an earlier format, or none yet, one of this format.
    ///
    /// # Errors
    /// [`LedgerError::Format`] of a later program's.
    pub(super) fn bring_up(&mut self) -> Result<(), LedgerError> {
        let later = self.write(|txn| {
            let (format, program) = {
                let meta = txn.open_table(META)?;
                let get = |key| -> Result<_, redb::Error> { Ok(meta.get(key)?.map(|v| v.value().to_vec())) };
                (get("format")?, get(PROGRAM)?)
            };
            let found = match format.map(|bytes| bytes.try_into().map(u32::from_le_bytes)) {
                None => FORMAT, // an empty one
                Some(Ok(found @ 1..=FORMAT)) => found,
                Some(later) => return Ok(Some((later.ok(), program))),
            };
            STEPS[found as usize - 1..].iter().try_for_each(|step| step(txn))?;
            // Programs of this format that do not know it have no use of it, and harm none.
            txn.open_table(WORDS)?;
            let mut meta = txn.open_table(META)?;
            meta.insert("format", FORMAT.to_le_bytes().as_slice())?;
            meta.insert(PROGRAM, env!("CARGO_PKG_VERSION").as_bytes())?;
            Ok(None)
        })?;
        later.map_or(Ok(()), |(found, program)| Err(self.later(found, program)))
    }

    fn later(&self, found: Option<u32>, program: Option<Vec<u8>>) -> LedgerError {
        LedgerError::Format {
            path: self.path.clone(),
            found: found.map_or("unknown".into(), |found| found.to_string()),
            known: FORMAT,
            program: program
                .and_then(|name| String::from_utf8(name).ok())
                .unwrap_or("a later version".into()),
        }
    }
}

/// To format 2: who wrote it is written in any case.
fn names_its_program(_: &WriteTransaction) -> Result<(), redb::Error> {
    Ok(())
}
