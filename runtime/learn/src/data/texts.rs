//! The texts of some rows, one after another, whatever else is in these: for whoever asks about them.

use super::error::{DataError, Problem, short};
use super::fields::{Columns, Fields};
use super::room::Room;
use super::rows::Rows;
use crate::setting::Setting;
use std::path::Path;

/// Longest row whose text is asked about: some 16,000 tokens.
pub const MAX_TEXT: usize = 64 << 10;

/// Reads the texts of a file.
pub struct Texts<'p> {
    rows: Rows<'p>,
    columns: Columns,
}

impl<'p> Texts<'p> {
    /// Most bytes that one holds beside a text that was taken: the row under way and what unpacks it.
    pub const BYTES: usize = 4 * MAX_TEXT;

    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &'p Path, columns: Columns) -> Result<Self, DataError> {
        Ok(Self { rows: Rows::open(path)?, columns })
    }

    /// The text of the next row; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or the row has no text or more than [`MAX_TEXT`] bytes.
    #[allow(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<String>, DataError> {
        let room = Room { path: self.rows.path(), limit: MAX_TEXT };
        let Some((line, row)) = self.rows.next(MAX_TEXT).map_err(|e| room.refuse(e))? else {
            return Ok(None);
        };
        let text = Fields::read(&row, &self.columns).and_then(|fields| match fields.get("text") {
            Some(text) => text.text().ok_or_else(|| Problem::field("text", text.found(), "write a string")),
            None => {
                let wanted = self.columns.text.as_deref().unwrap_or("text");
                let remedy = format!("{} is needed; name another by {}", short(wanted), Setting::TextColumn);
                Err(Problem::new(fields.listed(), remedy))
            }
        });
        text.map(Some).map_err(|problem| problem.at(room.path, line))
    }
}
