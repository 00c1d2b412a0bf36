//! The vocabulary of synthetic models that go by scores, as Gemma 3 does: control tokens, some that a user defined, 256 bytes,
//! the commonest letters and what they make, and tokens up to the wanted size that no text has.

use super::Writer;

/// Control tokens by id.
const SPECIAL: [&str; 6] = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"];
/// Tokens that a user defined.
const DEFINED: [&str; 4] = ["\n", "\n\n", "  ", "   "];
/// Letters and what they merge into, most frequent first.
const PIECES: [&str; 34] = [
    "▁", "e", "t", "a", "o", "i", "n", "s", "h", "r", "d", "l", "u", "▁t", "he", "▁a", "in", "▁the", "re",
    "on", "er", "nd", "▁s", "an", "▁and", "ou", "is", "▁o", "es", "or", "ing", "st", "at", "▁in",
];

/// Tokens without which there is none of a smaller size.
pub(super) const LEAST: usize = SPECIAL.len() + DEFINED.len() + 256;

const CHAT_TEMPLATE: &str = "{{ bos_token }}{%- for message in messages -%}{%- if (message['role'] == 'assistant') -%}\
    {%- set role = 'model' -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}\
    {{ '<start_of_turn>' + role + '\n' + (message['content'] | trim) }}{{ '<end_of_turn>\n' }}{%- endfor -%}\
    {%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}";

/// Token types of the format.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// Adds a vocabulary of `size` tokens, at least [`LEAST`].
pub(super) fn metadata<'s>(writer: Writer<'s>, size: usize) -> Writer<'s> {
    let (tokens, types) = tokens(size);
    let scores: Vec<f32> = (0..tokens.len()).map(|id| -(id as f32)).collect();
    writer
        .metadata("tokenizer.ggml.model", "llama")
        .metadata("tokenizer.ggml.pre", "default")
        .metadata("tokenizer.ggml.tokens", &tokens[..])
        .metadata("tokenizer.ggml.scores", &scores[..])
        .metadata("tokenizer.ggml.token_type", &types[..])
        .metadata("tokenizer.ggml.bos_token_id", 2u32)
        .metadata("tokenizer.ggml.eos_token_id", 1u32)
        .metadata("tokenizer.ggml.unknown_token_id", 3u32)
        .metadata("tokenizer.ggml.padding_token_id", 0u32)
        .metadata("tokenizer.ggml.add_bos_token", true)
        .metadata("tokenizer.ggml.add_eos_token", false)
        .metadata("tokenizer.ggml.add_space_prefix", false)
        .metadata("tokenizer.chat_template", CHAT_TEMPLATE)
}

fn tokens(size: usize) -> (Vec<String>, Vec<i32>) {
    let (mut tokens, mut types) = (Vec::new(), Vec::new());
    let mut add = |text: String, kind: i32| {
        tokens.push(text);
        types.push(kind);
    };
    SPECIAL.iter().for_each(|text| add((*text).to_owned(), CONTROL));
    DEFINED.iter().for_each(|text| add((*text).to_owned(), USER_DEFINED));
    (0..=255u8).for_each(|byte| add(format!("<0x{byte:02X}>"), BYTE));
    let pieces = PIECES.iter().take(size.saturating_sub(LEAST));
    pieces.for_each(|text| add((*text).to_owned(), NORMAL));
    // Not of ggml's type "unused", which would take them out of the output head.
    (LEAST + PIECES.len()..size).for_each(|id| add(format!("<unused{id}>"), NORMAL));
    (tokens, types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_wanted_ones_and_tokens_distinct() {
        for size in [LEAST, LEAST + 3, 300, 400] {
            let (tokens, types) = tokens(size);
            let set: std::collections::HashSet<&String> = tokens.iter().collect();
            assert_eq!((tokens.len(), set.len(), types.len()), (size, size, size));
        }
    }
}
