//! Splitting a text into the words that byte pairs are merged within.
//!
//! The words are walked one by one rather than collected: the usual pre-tokenizer structures keep 16 bytes of
//! alignment for every byte of text, which a byte budget feels on a long record.
//!
//! The published patterns end in `\s+(?!\S)|\s+`: a run of white space leaves its last character to the word after
//! it. Engines with look-ahead exhaust their stack on runs of some hundred thousand spaces (and the usual wrapper
//! then drops the rest of the text's words), so the patterns here end in `\s+` and [`Splitter::give_back`] does
//! the rest, in linear time.

use super::TokenizerError;
use regex::Regex;
use std::ops::ControlFlow;
use std::sync::OnceLock;

/// The `pre` names [`Splitter::new`] knows, for messages.
pub(super) const SUPPORTED: &str =
    "\"smollm\", \"gpt-2\", \"llama-bpe\" (also called \"llama3\", \"llama-v3\"), \"qwen2\"";

/// GPT-2's pattern: contractions, letters, numbers, other marks, white space.
static GPT2: Pattern = Pattern::new(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+");
/// Llama 3's pattern: numbers in groups of three, line ends kept with the marks before them.
static LLAMA3: Pattern = Pattern::new(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
);
/// Qwen 2's pattern: Llama 3's with every number on its own.
static QWEN2: Pattern = Pattern::new(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
);

/// The splitting rules of one `pre` name.
#[derive(Debug)]
pub(super) struct Splitter {
    /// Every number character is a piece of its own, before the pattern sees the text.
    digits: bool,
    pattern: Regex,
    /// White space up to a line end is a word of the pattern's own, and gives nothing back.
    lines: bool,
    /// A word that is a token stays whole even where merges would not lead to it.
    pub(super) whole_words: bool,
    /// What the rules imply where the file does not say whether texts start with BOS.
    pub(super) add_bos: bool,
}

impl Splitter {
    pub(super) fn new(pre: &str) -> Result<Self, TokenizerError> {
        let (digits, pattern, lines, llama3) = match pre {
            "smollm" => (true, &GPT2, false, false),
            "gpt-2" => (false, &GPT2, false, false),
            "llama-bpe" | "llama3" | "llama-v3" => (false, &LLAMA3, true, true),
            "qwen2" => (false, &QWEN2, true, false),
            other => {
                return Err(TokenizerError::Pre { pre: super::short(other), supported: SUPPORTED });
            }
        };
        let pattern = pattern.compiled().map_err(|e| TokenizerError::Encode { why: e.to_string() })?;
        Ok(Self { digits, pattern, lines, whole_words: llama3, add_bos: llama3 })
    }

    /// Calls `word` with every word of `text` in order, until it breaks off; the words joined are the text.
    pub(super) fn split(&self, text: &str, mut word: impl FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
        if !self.digits {
            return self.pieces(text, &mut word);
        }
        let mut rest = text;
        while let Some((at, digit)) = rest.char_indices().find(|(_, c)| c.is_numeric()) {
            self.pieces(&rest[..at], &mut word)?;
            let end = at + digit.len_utf8();
            word(&rest[at..end])?;
            rest = &rest[end..];
        }
        self.pieces(rest, &mut word)
    }

    fn pieces(&self, text: &str, word: &mut impl FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut done = 0;
        while let Some(found) = self.pattern.find_at(text, done) {
            let end = if found.end() < text.len() {
                found.end() - self.give_back(found.as_str())
            } else {
                text.len()
            };
            if found.start() > done {
                word(&text[done..found.start()])?;
            }
            word(&text[found.start()..end])?;
            done = end;
        }
        if done < text.len() { word(&text[done..]) } else { ControlFlow::Continue(()) }
    }

    /// Bytes at the end of `found`, which more text follows, that belong to the next word.
    fn give_back(&self, found: &str) -> usize {
        match found.chars().next_back() {
            Some('\r' | '\n') if self.lines => 0,
            Some(last) if last.is_whitespace() && found.len() > last.len_utf8() => last.len_utf8(),
            _ => 0,
        }
    }
}

/// A pattern that is compiled once in a process: that takes milliseconds, and clones share what was made.
struct Pattern {
    text: &'static str,
    made: OnceLock<Regex>,
}

impl Pattern {
    const fn new(text: &'static str) -> Self {
        Self { text, made: OnceLock::new() }
    }

    fn compiled(&self) -> Result<Regex, regex::Error> {
        if let Some(known) = self.made.get() {
            return Ok(known.clone());
        }
        let new = Regex::new(self.text)?;
        Ok(self.made.get_or_init(|| new).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pre: &str, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        let done = Splitter::new(pre).unwrap().split(text, |w| {
            out.push(w.to_owned());
            ControlFlow::Continue(())
        });
        assert!(done.is_continue());
        out
    }

    #[test]
    fn smollm_splits_every_digit_before_the_pattern_sees_it() {
        assert_eq!(words("smollm", "it's 1234  5x"), ["it", "'s", " ", "1", "2", "3", "4", "  ", "5", "x"]);
        assert_eq!(words("gpt-2", "it's 1234  5x"), ["it", "'s", " 1234", " ", " 5", "x"]);
        assert_eq!(words("llama-bpe", "it'S 1234!\n\n x"), ["it", "'S", " ", "123", "4", "!\n\n", " x"]);
        assert_eq!(words("qwen2", "it'S 12!\n\n  x"), ["it", "'S", " ", "1", "2", "!\n\n", " ", " x"]);
    }

    #[test]
    fn words_joined_are_the_text_even_for_long_runs() {
        for unit in [" ", "\n", "a", "\u{301}", "é", "!", "1", "\u{0}", " \t"] {
            for tail in ["", "x", " x"] {
                let text = unit.repeat(200_000) + tail;
                for pre in ["smollm", "gpt-2", "llama-bpe", "qwen2"] {
                    assert!(words(pre, &text).concat() == text, "{pre} {unit:?} {tail:?}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let message = Splitter::new("deepseek-llm").unwrap_err().to_string();
        assert!(message.contains("deepseek-llm") && message.contains("smollm"), "{message}");
    }
}
