//! The rows of a file one after another, whatever its form: a JSON object a line, an array of objects, or a table; each of
//! them packed with gzip or not. Bounded memory: what a row takes is asked for, and refused where there is no room.

use super::array::Array;
use super::error::DataError;
use super::files::is_table;
use super::input::{Input, RowError};
use super::lines::Lines;
use super::table::{Cells, Table};
use std::path::Path;

/// One row.
pub(super) enum Row<'a> {
    /// The text of a JSON object, or of what stands in its place.
    Object(&'a str),
    /// A line of a table under its header.
    Cells(Cells<'a>),
}

/// Reads a file row by row.
pub(super) struct Rows<'p> {
    path: &'p Path,
    form: Form<'p>,
    unpacking: usize,
}

enum Form<'p> {
    Lines(Lines<'p>),
    Array(Array<'p>),
    Table(Box<Table<'p>>),
}

impl Row<'_> {
    /// Bytes of its text.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Object(text) => text.len(),
            Self::Cells(cells) => cells.len(),
        }
    }
}

impl<'p> Rows<'p> {
    /// Opens a file; its name says whether it is a table, and what it begins with all else.
    pub(super) fn open(path: &'p Path) -> Result<Self, DataError> {
        Self::of(Input::open(path)?)
    }

    /// The same of what is in memory; `path` is what errors call it.
    pub(super) fn read(path: &'p Path, bytes: &'p [u8]) -> Result<Self, DataError> {
        Self::of(Input::read(path, bytes)?)
    }

    fn of(mut input: Input<'p>) -> Result<Self, DataError> {
        let (path, unpacking) = (input.path, input.held());
        let form = if is_table(path) {
            Form::Table(Box::new(Table::new(input)))
        } else if input.fill()?.trim_ascii_start().starts_with(b"[") {
            Form::Array(Array::new(input))
        } else {
            Form::Lines(Lines::new(input))
        };
        Ok(Self { path, form, unpacking })
    }

    /// What errors call the file.
    pub(super) fn path(&self) -> &'p Path {
        self.path
    }

    /// The next row, with the line that it begins in, from 1; `None` at the end of the file. No more than `room` bytes are
    /// held for it.
    pub(super) fn next(&mut self, room: usize) -> Result<Option<(u64, Row<'_>)>, RowError> {
        let object = |(line, text)| (line, Row::Object(text));
        match &mut self.form {
            Form::Lines(lines) => Ok(lines.next(room)?.map(object)),
            Form::Array(array) => Ok(array.next(room)?.map(object)),
            Form::Table(table) => Ok(table.next(room)?.map(|(line, cells)| (line, Row::Cells(cells)))),
        }
    }

    /// Bytes held beside the row under way.
    pub(super) fn held(&self) -> usize {
        self.unpacking + if let Form::Table(table) = &self.form { table.held() } else { 0 }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
