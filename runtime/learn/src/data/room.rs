//! What reading a data file may take: the examples, and the record under way.

use super::error::DataError;
use super::input::{KEPT, RowError};
use super::record::Record;
use sprig_engine::tokenizer::Tokenizer;
use std::path::Path;

/// What a record of 8 KiB takes until it is tokens, for plans: room for a longer one has to be left over.
pub const RECORD_BYTES: usize = 128 << 10;

/// Bytes of a chat template's own words.
const CHAT_BYTES: usize = 1 << 10;

/// Bytes of a turn of a conversation beside its text: its place in the record and in what a chat template is given.
const TURN_BYTES: usize = 1 << 10;

/// What reading a file may take.
pub(super) struct Room<'p> {
    pub(super) path: &'p Path,
    pub(super) limit: usize,
}

impl Room<'_> {
    /// Longest line that there is room for beside `held` bytes: it is read, and then taken apart.
    pub(super) fn line(&self, held: usize) -> usize {
        self.limit.saturating_sub(held) / 2
    }

    pub(super) fn check(&self, line: u64, need: usize) -> Result<(), DataError> {
        if need <= self.limit {
            return Ok(());
        }
        Err(DataError::TooLarge { path: self.path.to_owned(), line, limit: self.limit })
    }

    pub(super) fn refuse(&self, error: RowError) -> DataError {
        match error {
            RowError::Data(error) => error,
            RowError::Room { line } => {
                DataError::TooLarge { path: self.path.to_owned(), line, limit: self.limit }
            }
        }
    }
}

/// Most bytes that a record takes until it is tokens: its line of `line` bytes and its texts; the prompt of these and
/// `words` bytes around them, once for the chat template and then from it, which grows; and what merging takes.
pub(super) fn under_way(line: usize, record: &Record, words: usize) -> usize {
    let texts: usize = record.texts().map(str::len).sum();
    let merging = record.texts().map(Tokenizer::encoding_bytes).max().unwrap_or(0);
    let turns = record.turns() * TURN_BYTES;
    (line + line / 8).max(KEPT) + texts + 5 * (texts + words + CHAT_BYTES) + turns + merging
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_8_kib_has_room_in_the_plans() {
        let record = Record::Text("some words of it ".repeat(482));
        let need = under_way(8 << 10, &record, 512);
        assert!(need <= RECORD_BYTES && need > RECORD_BYTES / 2, "{need}");
    }
}
