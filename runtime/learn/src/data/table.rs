//! A table: a header that names the columns, and a record a line, as spreadsheets write them (CSV), or with tabs (TSV).

use super::error::short;
use super::files::is_tabbed;
use super::input::{Input, KEPT, MAX_LINE, RowError};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// Most columns of a table.
const MAX_COLUMNS: usize = 1024;

/// Reads the records of a table.
pub(super) struct Table<'p> {
    input: Input<'p>,
    /// By the header's delimiter.
    parser: Option<Reader>,
    delimiter: u8,
    /// Whether the last line was ended, where the file does not.
    ended: bool,
    header: Option<Vec<String>>,
    buffer: Vec<u8>,
    /// Where each cell of the record ends in the buffer; one more than there are columns.
    ends: Vec<usize>,
}

/// The cells of one record under the names of their columns.
pub(super) struct Cells<'a> {
    header: &'a [String],
    text: &'a str,
    ends: &'a [usize],
}

impl<'a> Cells<'a> {
    /// Each cell, after the name of its column.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.header.iter().map(String::as_str).zip(cells(self.text, self.ends))
    }

    /// Bytes of all cells.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }
}

impl<'p> Table<'p> {
    pub(super) fn new(input: Input<'p>) -> Self {
        let (buffer, ends) = (Vec::new(), Vec::new());
        Self { input, parser: None, delimiter: b',', ended: false, header: None, buffer, ends }
    }

    /// The next record, with the line that it begins in.
    pub(super) fn next(&mut self, room: usize) -> Result<Option<(u64, Cells<'_>)>, RowError> {
        if self.header.is_none() {
            let Some(header) = self.begin(room)? else { return Ok(None) };
            self.ends = vec![0; header.len() + 1];
            self.header = Some(header);
        }
        let Some((line, found)) = self.record(room)? else { return Ok(None) };
        let columns = self.header.as_ref().map_or(0, Vec::len);
        if found != columns {
            let found = format!("found {found} columns, and the header has {columns}");
            return Err(self.input.wrong(line, found, self.parted()));
        }
        let text = self.text(line, found)?;
        let header = self.header.as_deref().unwrap_or_default();
        Ok(Some((line, Cells { header, text, ends: &self.ends[..found] })))
    }

    /// Bytes held beside a record's text.
    pub(super) fn held(&self) -> usize {
        let header = self.header.iter().flatten().map(|name| name.capacity() + size_of::<String>());
        header.sum::<usize>() + self.ends.capacity() * size_of::<usize>()
    }

    /// The header, which is read first.
    fn begin(&mut self, room: usize) -> Result<Option<Vec<String>>, RowError> {
        let tabbed = is_tabbed(self.input.path);
        let first = self.input.fill()?;
        let first = first.split(|&byte| byte == b'\n').next().unwrap_or_default();
        // Where commas part the digits of a number, spreadsheets part cells by semicolons.
        let other = [b';', b'\t'].into_iter().find(|byte| first.contains(byte) && !first.contains(&b','));
        self.delimiter = if tabbed { b'\t' } else { other.unwrap_or(b',') };
        // Between tabs quotes are text: they are so in the files that people publish, where a quote without a second one would
        // swallow lines.
        self.parser = Some(ReaderBuilder::new().delimiter(self.delimiter).quoting(!tabbed).build());
        self.ends = vec![0; MAX_COLUMNS];
        let Some((line, found)) = self.record(room)? else { return Ok(None) };
        let text = self.text(line, found)?;
        let header: Vec<String> =
            cells(text, &self.ends[..found]).map(|name| name.trim().to_owned()).collect();
        let twice = |i: &usize| !header[*i].is_empty() && header[..*i].contains(&header[*i]);
        if let Some(i) = (0..header.len()).find(twice) {
            let found = format!("two columns are called {}", short(&header[i]));
            return Err(self.input.wrong(line, found, "name them apart"));
        }
        Ok(Some(header))
    }

    /// Takes one record into the buffer: the line that it begins in, and the number of its cells.
    fn record(&mut self, room: usize) -> Result<Option<(u64, usize)>, RowError> {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
        self.input.skip(|byte| matches!(byte, b'\r' | b'\n'))?;
        let (line, limit, mut text, mut cells) = (self.input.line, room.min(MAX_LINE), 0, 0);
        loop {
            if self.buffer.len() == text {
                if text > limit {
                    return Err(self.input.too_long(
                        line,
                        room,
                        "close its double quote, or split long records",
                    ));
                }
                // A byte more than is allowed, by which a record that is longer is known.
                let more = (text / 8).max(KEPT).min(limit + 1 - text);
                self.buffer.reserve_exact(more);
                self.buffer.resize(text + more, 0);
            }
            let available = self.input.fill()?;
            // At its end the file gets a line's end of its own: one that stays in the text is within quotes.
            let last = available.is_empty() && !self.ended;
            let from = if last { b"\n" } else { available };
            let (result, read, wrote, more) = self.parser.get_or_insert_with(Reader::new).read_record(
                from,
                &mut self.buffer[text..],
                &mut self.ends[cells..],
            );
            (text, cells) = (text + wrote, cells + more);
            if last {
                self.ended = read > 0;
            } else {
                self.input.take(read);
            }
            match result {
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::InputEmpty if last && text > 0 => {
                    let found = "a double quote of the record that begins here has no second one";
                    return Err(self.input.wrong(
                        line,
                        found,
                        "close it, and write a quote within quotes twice",
                    ));
                }
                ReadRecordResult::OutputEndsFull => {
                    let most = self.header.as_ref().map_or(MAX_COLUMNS, Vec::len);
                    return Err(self.input.wrong(
                        line,
                        format!("found more than {most} columns"),
                        self.parted(),
                    ));
                }
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull => {}
            }
        }
        self.buffer.truncate(text);
        Ok(Some((line, cells)))
    }

    /// The text of the first `found` cells, one behind another.
    fn text(&self, line: u64, found: usize) -> Result<&str, RowError> {
        let mut from = 0;
        for (i, &end) in self.ends[..found].iter().enumerate() {
            if let Err(e) = std::str::from_utf8(&self.buffer[from..end]) {
                let name =
                    self.header.as_ref().map_or_else(|| (i + 1).to_string(), |header| short(&header[i]));
                let found = format!("byte {} of column {name} is not UTF-8", e.valid_up_to() + 1);
                return Err(self.input.wrong(line, found, "save the file as UTF-8"));
            }
            from = end;
        }
        Ok(std::str::from_utf8(&self.buffer).unwrap_or_default())
    }

    /// How cells are parted.
    fn parted(&self) -> String {
        match self.delimiter {
            b'\t' if is_tabbed(self.input.path) => {
                "tabs part cells, no cell has one, and quotes mean nothing".to_owned()
            }
            b'\t' => "tabs part cells; put a text that has one into double quotes".to_owned(),
            by => format!("`{}` parts cells; put a text that has one into double quotes", char::from(by)),
        }
    }
}

/// The cells of a record.
fn cells<'a>(text: &'a str, ends: &'a [usize]) -> impl Iterator<Item = &'a str> {
    let mut from = 0;
    ends.iter().map(move |&end| {
        let cell = text.get(from..end).unwrap_or_default();
        from = end;
        cell
    })
}
