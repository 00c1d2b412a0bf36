//! The byte-level BPE vocabulary of synthetic models: three special tokens, 256 bytes, a few merges, and
//! tokens up to the wanted size that no text has.

use super::Writer;

/// Control tokens 0, 1 and 2: end of text, beginning and end of a chat turn, as in SmolLM2.
pub(super) const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// Pairs that merge, most frequent first; `Ġ` is the byte-level form of a space.
const MERGES: [(&str, &str); 32] = [
    ("Ġ", "t"),
    ("Ġ", "a"),
    ("h", "e"),
    ("i", "n"),
    ("r", "e"),
    ("o", "n"),
    ("Ġt", "he"),
    ("e", "r"),
    ("Ġ", "s"),
    ("a", "t"),
    ("Ġ", "w"),
    ("o", "u"),
    ("Ġ", "o"),
    ("e", "n"),
    ("i", "t"),
    ("i", "s"),
    ("Ġ", "c"),
    ("n", "d"),
    ("o", "r"),
    ("Ġ", "p"),
    ("e", "s"),
    ("Ġ", "f"),
    ("in", "g"),
    ("a", "l"),
    ("e", "d"),
    ("a", "n"),
    ("Ġa", "nd"),
    ("a", "r"),
    ("Ġo", "f"),
    ("Ġ", "in"),
    ("Ġt", "o"),
    ("Ġ", "m"),
];

const CHAT_TEMPLATE: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + \
    message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}\
    {{ '<|im_start|>assistant\n' }}{% endif %}";

/// Token types of the format.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

pub(super) struct Vocabulary {
    tokens: Vec<String>,
    types: Vec<i32>,
    merges: Vec<String>,
    pre: &'static str,
}

impl Vocabulary {
    /// `size` tokens, at least the special ones and the bytes whatever `size` says; texts are split by the rules `pre`.
    pub(super) fn new(size: usize, pre: &'static str) -> Self {
        let mut tokens: Vec<String> = SPECIAL.map(String::from).to_vec();
        tokens.extend(byte_letters().map(String::from));
        let merged = &MERGES[..MERGES.len().min(size.saturating_sub(tokens.len()))];
        tokens.extend(merged.iter().map(|(a, b)| format!("{a}{b}")));
        tokens.extend((tokens.len()..size).map(|i| format!("<|unused_{i}|>")));
        // Not of ggml's type "unused", which would take them out of the output head.
        let mut types = vec![NORMAL; tokens.len()];
        types[..SPECIAL.len()].fill(CONTROL);
        Self { tokens, types, pre, merges: merged.iter().map(|(a, b)| format!("{a} {b}")).collect() }
    }

    pub(super) fn metadata<'s>(&self, writer: Writer<'s>) -> Writer<'s> {
        writer
            .metadata("tokenizer.ggml.add_space_prefix", false)
            .metadata("tokenizer.ggml.add_bos_token", false)
            .metadata("tokenizer.ggml.model", "gpt2")
            .metadata("tokenizer.ggml.pre", self.pre)
            .metadata("tokenizer.ggml.tokens", self.tokens.as_slice())
            .metadata("tokenizer.ggml.token_type", self.types.as_slice())
            .metadata("tokenizer.ggml.merges", self.merges.as_slice())
            .metadata("tokenizer.ggml.bos_token_id", 1u32)
            .metadata("tokenizer.ggml.eos_token_id", 2u32)
            .metadata("tokenizer.ggml.unknown_token_id", 0u32)
            .metadata("tokenizer.ggml.padding_token_id", 2u32)
            .metadata("tokenizer.chat_template", CHAT_TEMPLATE)
    }
}

/// The printable letter that stands for each byte in byte-level BPE: itself where Latin-1 has a visible one,
/// else the next letter from U+0100 on.
fn byte_letters() -> impl Iterator<Item = char> {
    let mut next = 0x100;
    (0..=255u8).map(move |byte| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => byte as char,
        _ => {
            let letter = char::from_u32(next).unwrap_or(char::REPLACEMENT_CHARACTER);
            next += 1;
            letter
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn tokens_are_distinct_and_every_merge_makes_one() {
        let v = Vocabulary::new(300, "smollm");
        let set: HashSet<&str> = v.tokens.iter().map(String::as_str).collect();
        assert_eq!((v.tokens.len(), set.len(), v.types.len(), v.merges.len()), (300, 300, 300, 32));
        assert_eq!(v.tokens[SPECIAL.len() + usize::from(b' ')], "Ġ");
        assert_eq!(v.tokens[SPECIAL.len() + usize::from(b'\n')], "Ċ");
        for (a, b) in MERGES {
            assert!(
                set.contains(a) && set.contains(b) && set.contains(format!("{a}{b}").as_str()),
                "{a} {b}"
            );
        }
        assert_eq!(Vocabulary::new(261, "smollm").merges.len(), 2);
    }
}
