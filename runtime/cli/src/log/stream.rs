//! Which line goes where, and how it looks there.

use super::line::{self, Said};
use super::{Format, PROCESS};
use std::fs::File;
use std::io::{IsTerminal, Stderr, Stdout, stderr, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use tracing::{Event, Metadata, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::EitherWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// The two streams of a process.
#[derive(Clone, Copy)]
pub(super) struct Streams {
    /// What lines look like.
    lines: Format,
    /// What the last line looks like, which says why the process ends.
    end: Format,
    /// Lines go to standard error too.
    apart: bool,
}

impl Streams {
    /// In the format that was asked for, or the one that each stream's other end reads; apart from standard output if that is
    /// for something else.
    pub(super) fn new(asked: Option<Format>, apart: bool) -> Self {
        let journal = std::env::var("JOURNAL_STREAM").ok();
        let journal = journal.as_deref();
        let end = asked.unwrap_or_else(|| format_of(&stderr(), journal));
        let lines = if apart { end } else { asked.unwrap_or_else(|| format_of(&stdout(), journal)) };
        Self { lines, end, apart }
    }

    fn is_for_standard_error(&self, metadata: &Metadata<'_>) -> bool {
        self.apart || metadata.target() == PROCESS
    }
}

/// What whoever reads `stream` expects; `journal` is what systemd says of the stream that its journal reads: device and inode.
fn format_of(stream: &(impl AsFd + IsTerminal), journal: Option<&str>) -> Format {
    if stream.is_terminal() {
        return Format::Human;
    }
    let file = stream.as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    match file.ok().map(|file| format!("{}:{}", file.dev(), file.ino())) {
        Some(here) if journal == Some(here.as_str()) => Format::Journal,
        _ => Format::Text,
    }
}

impl<'a> MakeWriter<'a> for Streams {
    type Writer = EitherWriter<Stdout, Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        EitherWriter::B(stderr())
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        match self.is_for_standard_error(metadata) {
            true => EitherWriter::B(stderr()),
            false => EitherWriter::A(stdout()),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Streams
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let of_log = event.normalized_metadata();
        let metadata = of_log.as_ref().unwrap_or_else(|| event.metadata());
        let format = if self.is_for_standard_error(metadata) { self.end } else { self.lines };
        line::write(format, &Said::of(metadata, event), writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_knows_its_stream_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let here = file.metadata().unwrap();
        let name = format!("{}:{}", here.dev(), here.ino());
        assert_eq!(format_of(&file, Some(&name)), Format::Journal);
        // A process further down writes elsewhere, and inherits the name.
        assert_eq!(format_of(&file, Some("1:2")), Format::Text);
        assert_eq!(format_of(&file, None), Format::Text);
    }
}
