//! Text out of tokens that may end in the middle of a character.

/// Turns a stream of token bytes into text: a character whose bytes arrive in several tokens is held back until
/// it is whole.
#[derive(Clone, Debug, Default)]
pub struct TextStream {
    /// The first bytes of a character that is not whole yet: at most three.
    pending: Vec<u8>,
}

impl TextStream {
    /// An empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes of the next token and returns the text that is whole now. Bytes that can be no part of a
    /// character become U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let held = incomplete_tail(&self.pending);
        let whole = self.pending.len() - held;
        let text = String::from_utf8_lossy(&self.pending[..whole]).into_owned();
        self.pending.drain(..whole);
        text
    }

    /// Ends the stream: what is left of an unfinished character, as U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Length of the unfinished character at the end of `bytes`.
fn incomplete_tail(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    for (back, &b) in bytes[from..].iter().rev().enumerate() {
        let need = match b {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => return 0,
        };
        let tail = back + 1;
        // Three bytes such as E0 80 are no beginning of any character: `from_utf8` tells them from short ones.
        let short = std::str::from_utf8(&bytes[bytes.len() - tail..]).is_err_and(|e| e.error_len().is_none());
        return if tail < need && short { tail } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_one_by_one_give_the_same_text_as_all_at_once() {
        for text in ["naïve 日本 🙂👍🏽 x", "", "é"] {
            let mut stream = TextStream::new();
            let mut out: String = text.bytes().map(|b| stream.push(&[b])).collect();
            out += &stream.finish();
            assert_eq!(out, text);
        }
    }

    #[test]
    fn a_character_is_held_back_until_whole_and_broken_bytes_are_not() {
        let mut stream = TextStream::new();
        assert_eq!(stream.push(&[b'a', 0xF0, 0x9F]), "a");
        assert_eq!(stream.push(&[0x99, 0x82, b'b']), "🙂b");
        assert_eq!(stream.push(&[0xE0, 0x80]), "\u{FFFD}\u{FFFD}");
        assert_eq!(stream.push(&[0xE6]), "");
        assert_eq!(stream.finish(), "\u{FFFD}");
    }
}
