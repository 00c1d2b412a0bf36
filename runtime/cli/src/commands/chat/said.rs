//! What somebody says: a message, or a command.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;

/// Bytes of a line at most.
pub const MOST_LINE: usize = 64 << 10;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// To the model.
    Message(String),
    /// `/adapter FILE`, or without a file the model as it is.
    Adapter(Option<PathBuf>),
    /// `/reset`.
    Reset,
    /// `/help`.
    Help,
    /// `/bye`.
    Bye,
    /// What cannot be taken, and why.
    Wrong(String),
}

impl Said {
    /// What a line says; nothing where it is empty.
    pub fn of(line: &str) -> Option<Self> {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            return (!line.is_empty()).then(|| Self::Message(line.to_owned()));
        };
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        Some(match (name, rest) {
            ("adapter", "") => Self::Adapter(None),
            ("adapter", file) => Self::Adapter(Some(file.into())),
            ("reset", "") => Self::Reset,
            ("help", "") => Self::Help,
            ("bye" | "exit" | "quit", "") => Self::Bye,
            // A message may begin with the sign: it is doubled.
            _ if name.starts_with('/') => Self::Message(command.to_owned()),
            _ => Self::Wrong(format!("no command /{line:.40}; /help lists them", line = command)),
        })
    }

    /// The next line of `from` that says something; none at its end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        loop {
            let mut line = Vec::new();
            let most = MOST_LINE as u64 + 1;
            if from.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            if line.len() > MOST_LINE && line.last() != Some(&b'\n') {
                skip(from)?;
                let wrong = format!("a line of more than {MOST_LINE} bytes; say it in several");
                return Ok(Some(Self::Wrong(wrong)));
            }
            match std::str::from_utf8(&line) {
                Ok(text) => {
                    if let Some(said) = Self::of(text) {
                        return Ok(Some(said));
                    }
                }
                Err(_) => return Ok(Some(Self::Wrong("a line that is no UTF-8 text".to_owned()))),
            }
        }
    }
}

/// Leaves out the rest of a line, which is not kept.
fn skip(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let there = from.fill_buf()?;
        let (used, ended) = match there.iter().position(|&b| b == b'\n') {
            Some(at) => (at + 1, true),
            None => (there.len(), there.is_empty()),
        };
        from.consume(used);
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        let message = |text: &str| Some(Said::Message(text.to_owned()));
        assert_eq!(Said::of("  Who?\r\n"), message("Who?"));
        assert_eq!(Said::of("//etc"), message("/etc"));
        assert_eq!(Said::of(" \n"), None);
        assert_eq!(Said::of("/adapter my file.gguf "), Some(Said::Adapter(Some("my file.gguf".into()))));
        assert_eq!(Said::of("/adapter"), Some(Said::Adapter(None)));
        assert_eq!((Said::of("/reset"), Said::of("/bye")), (Some(Said::Reset), Some(Said::Bye)));
        assert!(matches!(Said::of("/rest"), Some(Said::Wrong(why)) if why.contains("/rest")));
    }

    #[test]
    fn a_line_that_is_too_long_costs_only_itself() {
        let text = [&vec![b'x'; MOST_LINE + 10][..], b"\n\n\xff\nnext"].concat();
        let mut from = &text[..];
        let mut next = || Said::read(&mut from).unwrap();
        assert!(matches!(next(), Some(Said::Wrong(why)) if why.contains("65536")));
        assert!(matches!(next(), Some(Said::Wrong(why)) if why.contains("UTF-8")));
        assert_eq!((next(), next()), (Some(Said::Message("next".to_owned())), None));
    }
}
