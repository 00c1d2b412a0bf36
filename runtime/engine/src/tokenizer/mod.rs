//! Text to token ids and back, from the metadata of a GGUF file.
//!
//! Byte-level BPE (GPT-2's scheme, as SmolLM2, Llama 3 and Qwen use it) and SentencePiece's BPE by scores (Llama 2, Gemma).
//! Training drops the tokenizer before its first step.

mod bpe;
mod bytes;
mod chat;
mod ends;
mod error;
mod methods;
mod pieces;
mod pre;
mod shallow;
mod source;
mod specials;
mod stream;
mod vocabulary;
mod words;

use crate::gguf::Gguf;
use chat::ChatTemplate;
pub use chat::Message;
use ends::Ends;
pub use error::TokenizerError;
pub use source::TokenizerSource;
use specials::SpecialTokens;
use sprig_budget::Bytes;
use std::ops::ControlFlow;
pub use stream::TextStream;
use vocabulary::Vocabulary;
use words::Words;

/// The algorithms that are read, as `tokenizer.ggml.model` names them: byte-level BPE, and SentencePiece's.
const BYTES: &str = "gpt2";
const PIECES: &str = "llama";

/// Bytes of one word that are merged together; a longer word, which no honest text has, is cut into parts of this
/// size.
const MAX_WORD: usize = 64 << 10;

/// Most heap bytes that merging takes for each byte of a word: a symbol of 12, two pairs of 8 in a heap that doubles, and
/// the ids; or as many symbols, two pairs of 12 and the 3 bytes of a space's sign.
const WORD_BYTES: usize = 72;

/// Heap of the splitting rules and the chat template. SmolLM2's take 180 KiB.
const REST: u64 = 256 << 10;

/// Whether the text of a special token, such as `<|im_end|>`, becomes that token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// Yes: for prompts made by a template.
    Parse,
    /// No, its characters are encoded like any others: for text from elsewhere. Only tokens that a user defined, which control
    /// nothing (Gemma has line ends and HTML tags among them), are taken whole here too.
    Plain,
}

/// Memory that a tokenizer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenizerBytes {
    /// While it is built: heap, and the pages of the header it is read from.
    pub building: Bytes,
    /// From then on: heap.
    pub kept: Bytes,
}

/// A tokenizer; encoding needs no memory beyond the ids and one word.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    words: Words,
    specials: SpecialTokens,
    bos: Option<u32>,
    eos: Option<u32>,
    ends: Ends,
    add_bos: bool,
    chat: Option<ChatTemplate>,
}

impl Tokenizer {
    /// Most bytes of memory that building one from `gguf` brings, and what of them it keeps.
    pub fn bytes(gguf: &Gguf<'_>) -> TokenizerBytes {
        let strings = |key| {
            gguf.require_array_str(key).map_or((0, 0), |array| {
                array.fold((0, 0), |(count, bytes), text| (count + 1, bytes + text.len() as u64))
            })
        };
        let (tokens, text) = strings("tokenizer.ggml.tokens");
        let (merges, _) = strings("tokenizer.ggml.merges");
        let scores =
            gguf.array_f32("tokenizer.ggml.scores").ok().flatten().map_or(0, |scores| scores.len() as u64);
        // Where the texts lie, the kind of each token and its score; then the tables of `Vocabulary` and `SpecialTokens`, of
        // `Bpe`, of `Pieces`.
        let source = 16 * (tokens + merges) + 4 * tokens + 4 * scores;
        let kept = text + 16 * tokens + 16 * merges + 4 * scores + REST;
        TokenizerBytes { building: Bytes(kept + source + gguf.data_start()), kept: Bytes(kept) }
    }

    /// Builds the tokenizer that a model file describes.
    ///
    /// # Errors
    /// As [`new`](Self::new), and where the metadata is absent or has other types.
    pub fn from_gguf(gguf: &Gguf<'_>) -> Result<Self, TokenizerError> {
        Self::new(TokenizerSource::from_gguf(gguf)?)
    }

    /// Builds a tokenizer from its parts.
    ///
    /// # Errors
    /// The kind or the splitting rules are not supported, or the parts contradict each other: a token given
    /// twice, a merge of or into something that is no token, an id out of range. A chat template that cannot
    /// be used is an error of [`chat`](Self::chat), not of this.
    pub fn new(source: TokenizerSource<'_>) -> Result<Self, TokenizerError> {
        let TokenizerSource { ref tokens, ref token_types, bos, eos, eot, unknown, .. } = source;
        let vocab_size = tokens.len();
        if !token_types.is_empty() && token_types.len() != vocab_size {
            let what = format!("{} token types for {vocab_size} tokens", token_types.len());
            return Err(TokenizerError::damaged(what));
        }
        for (name, id) in [("bos", bos), ("eos", eos), ("eot", eot), ("unknown", unknown)] {
            if let Some(id) = id.filter(|&id| id as usize >= vocab_size) {
                let what = format!("the {name} token is {id}, but there are {vocab_size} tokens");
                return Err(TokenizerError::damaged(what));
            }
        }
        let text_of = |id: Option<u32>| id.map(|id| tokens[id as usize].to_owned()).unwrap_or_default();
        let chat = source.chat_template.map(|t| ChatTemplate::new(t.to_owned(), text_of(bos), text_of(eos)));
        let vocabulary = Vocabulary::new(tokens)?;
        let specials = SpecialTokens::new(&vocabulary, token_types)?;
        let words = Words::new(&source, &vocabulary)?;
        let ends = Ends::new(&source, &vocabulary);
        let add_bos = source.add_bos.unwrap_or(words.add_bos());
        Ok(Self { vocabulary, words, specials, bos, eos, ends, add_bos, chat })
    }

    /// Number of tokens; ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The token that ends a turn of a chat: [`eos`](Self::eos) unless the model has another.
    pub fn end_of_turn(&self) -> Option<u32> {
        self.ends.turn
    }

    /// Whether nothing follows `token`: it ends a text, a turn or a message.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.all.contains(&token)
    }

    /// The token to put before a raw text, where the model expects one. [`encode`](Self::encode) never adds it.
    pub fn prefix(&self) -> Option<u32> {
        self.bos.filter(|_| self.add_bos)
    }

    /// The id of a token as the model file spells it (`Ġthe`, `▁the`, `<|im_end|>`).
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.vocabulary.id_of(token)
    }

    /// Encodes `text`, without adding BOS or EOS. Bytes for which the vocabulary has no token (SmolLM2 lacks six
    /// control characters and two rare lead bytes) vanish, as in the reference implementations. Where the file says that a
    /// space comes before texts (Llama 2), it comes before this one.
    pub fn encode(&self, text: &str, specials: Specials) -> Vec<u32> {
        self.encode_until(text, specials, |_| ControlFlow::Continue(()))
    }

    /// The first `limit` tokens of [`encode`](Self::encode), and whether there are more. What lies beyond them is neither
    /// tokenised nor held.
    pub fn encode_first(&self, text: &str, specials: Specials, limit: usize) -> (Vec<u32>, bool) {
        let full = |ids: &mut Vec<u32>| match ids.len() > limit {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let mut ids = self.encode_until(text, specials, full);
        let more = ids.len() > limit;
        ids.truncate(limit);
        (ids, more)
    }

    /// The last `limit` tokens of [`encode`](Self::encode). Little more than these is ever held.
    pub fn encode_last(&self, text: &str, specials: Specials, limit: usize) -> Vec<u32> {
        let keep = |ids: &mut Vec<u32>| drop(ids.drain(..ids.len().saturating_sub(limit)));
        let mut ids = self.encode_until(text, specials, |ids| {
            if ids.len() > 2 * limit + 1024 {
                keep(ids);
            }
            ControlFlow::Continue(())
        });
        keep(&mut ids);
        ids
    }

    /// The number of tokens of [`encode`](Self::encode), of which few are ever held.
    pub fn count(&self, text: &str, specials: Specials) -> usize {
        let mut counted = 0;
        let rest = self.encode_until(text, specials, |ids| {
            if ids.len() > 1024 {
                counted += ids.len();
                ids.clear();
            }
            ControlFlow::Continue(())
        });
        counted + rest.len()
    }

    /// Most heap bytes that encoding `text` takes beside the ids: for its longest word.
    pub fn encoding_bytes(text: &str) -> usize {
        let (mut longest, mut run, mut space) = (0, 0, false);
        for c in text.chars() {
            if c.is_whitespace() != space {
                (run, space) = (0, !space);
            }
            run += c.len_utf8();
            longest = longest.max(run);
        }
        // White space and what it stands beside may be one word.
        WORD_BYTES * (2 * longest).min(MAX_WORD)
    }

    /// The text of `ids`, with the space that [`encode`](Self::encode) put before it; special tokens appear as their text, broken UTF-8 as U+FFFD, ids out of range as nothing.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut out = Vec::new();
        for &id in ids {
            self.append_bytes(id, &mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The bytes of one token, possibly part of a character: feed them to a [`TextStream`].
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let mut out = Vec::new();
        self.append_bytes(id, &mut out);
        out
    }

    /// Renders `messages` by the model's own chat template; with `add_generation_prompt`, up to where the
    /// assistant's answer begins. Encode the result with [`Specials::Parse`].
    ///
    /// # Errors
    /// The model has no template, or it cannot be rendered.
    pub fn chat(
        &self,
        messages: &[Message<'_>],
        add_generation_prompt: bool,
    ) -> Result<String, TokenizerError> {
        self.chat.as_ref().ok_or(TokenizerError::NoChatTemplate)?.render(messages, add_generation_prompt)
    }

    /// Encodes `text` until `after`, which is called after each word (or part of a very long one) and special token, breaks
    /// off.
    fn encode_until(
        &self,
        text: &str,
        specials: Specials,
        mut after: impl FnMut(&mut Vec<u32>) -> ControlFlow<()>,
    ) -> Vec<u32> {
        let (mut ids, mut done) = (Vec::new(), 0);
        while let Some((id, found)) = self.specials.find(&self.vocabulary, text, done, specials) {
            let part = &text[done..found.start];
            if self.words.encode(&self.vocabulary, part, &mut ids, &mut after).is_break() {
                return ids;
            }
            ids.push(id);
            done = found.end;
            if after(&mut ids).is_break() {
                return ids;
            }
        }
        // Broken off or not, this is the end.
        let _ = self.words.encode(&self.vocabulary, &text[done..], &mut ids, &mut after);
        ids
    }

    fn append_bytes(&self, id: u32, out: &mut Vec<u8>) {
        let Some(token) = self.vocabulary.token(id) else { return };
        match self.specials.contains(&self.vocabulary, id) {
            true => out.extend_from_slice(token.as_bytes()),
            false => self.words.decode(id, token, out),
        }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

/// The beginning of a text from a file, for a message.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod pieces_tests;
