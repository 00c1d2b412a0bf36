use super::*;

/// A vocabulary of single characters, two merges and two special tokens.
fn tiny() -> TokenizerSource<'static> {
    let mut tokens = vec!["<|end|>", "<|end|>x"];
    tokens.extend(bytes::CHARS.iter().map(|c| &*c.to_string().leak()));
    tokens.extend(["ab", "Ġab"]);
    let mut token_types = vec![1; tokens.len()];
    (token_types[0], token_types[1]) = (3, 4);
    TokenizerSource {
        kind: "gpt2",
        pre: "smollm",
        merges: vec!["a b", "Ġ ab"],
        token_types,
        eos: Some(0),
        bos: Some(0),
        tokens,
        ..Default::default()
    }
}

#[test]
fn merges_specials_and_text_round_trip() {
    let tokenizer = Tokenizer::new(tiny()).unwrap();
    assert_eq!(tokenizer.encode(" ab", Specials::Plain), [259]);
    assert_eq!(tokenizer.encode("ab<|end|>ab", Specials::Parse), [258, 0, 258]);
    assert_eq!(tokenizer.encode("<|end|>x<|end|>", Specials::Parse), [1, 0], "the longest match wins");
    let plain = tokenizer.encode("<|end|>", Specials::Plain);
    assert_eq!(plain.len(), 7);
    for text in ["", "naïve 日本 🙂\r\n\0 <|end|> 12", "\u{301}ab"] {
        for specials in [Specials::Parse, Specials::Plain] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text, specials)), text);
        }
    }
    assert_eq!(tokenizer.decode(&[999_999]), "");
    assert_eq!((tokenizer.vocab_size(), tokenizer.id_of("Ġab"), tokenizer.eos()), (260, Some(259), Some(0)));
}

#[test]
fn bos_is_wanted_where_the_file_or_else_the_rules_say_so() {
    let prefix = |pre: &'static str, add_bos| {
        Tokenizer::new(TokenizerSource { pre, add_bos, ..tiny() }).unwrap().prefix()
    };
    assert_eq!(prefix("smollm", None), None);
    assert_eq!(prefix("smollm", Some(true)), Some(0));
    assert_eq!(prefix("llama-bpe", None), Some(0));
    assert_eq!(prefix("llama-bpe", Some(false)), None);
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let refused = |change: fn(&mut TokenizerSource<'_>), say: &str| {
        let mut source = tiny();
        change(&mut source);
        let message = Tokenizer::new(source).unwrap_err().to_string();
        assert!(message.contains(say), "{message:?} should contain {say:?}");
    };
    refused(|s| s.kind = "llama", "kind \"llama\" is not supported; supported: \"gpt2\"");
    refused(|s| s.pre = "", "pre-tokenizer \"\" is not supported");
    refused(|s| s.tokens[3] = s.tokens[4], "tokens 3 and 4 are the same text");
    refused(|s| s.token_types.truncate(259), "259 token types for 260 tokens");
    refused(|s| s.eos = Some(260), "the eos token is 260");
    refused(|s| s.merges.push("<|end|>x <|end|>x"), "merge 2");
    refused(|s| s.merges.push("ab"), "merge 2 \"ab\" is not of two tokens");
    refused(|s| s.merges.push("a zz"), "merge 2");
}

const CHATML: &str = "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + \
                      '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

fn chat(template: Option<&str>, messages: &[Message<'_>]) -> Result<String, TokenizerError> {
    let source = TokenizerSource { chat_template: template, ..tiny() };
    Tokenizer::new(source).unwrap().chat(messages, true)
}

#[test]
fn a_template_renders_or_says_why_not() {
    let hi = [Message { role: "user", content: "a {{ b }} <c>" }];
    let rendered = chat(Some(CHATML), &hi).unwrap();
    assert_eq!(rendered, "<|im_start|>user\na {{ b }} <c><|im_end|>\n<|im_start|>assistant\n");
    assert_eq!(chat(Some("{{ bos_token }}{{ eos_token }}"), &[]).unwrap(), "<|end|><|end|>");

    for (template, say) in [
        (None, "no chat template"),
        (Some("{% for %}"), "cannot be used"),
        (Some("{{ raise_exception('roles must alternate') }}"), "roles must alternate"),
        (Some("{{ messages[0].content.strip() }}"), "--raw"),
    ] {
        let message = chat(template, &hi).unwrap_err().to_string();
        assert!(message.contains(say), "{message}");
    }
}

#[test]
fn a_hostile_template_ends() {
    let spin = "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}";
    let message = chat(Some(spin), &[]).unwrap_err().to_string();
    assert!(message.contains("fuel"), "{message}");
    let deep = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    assert!(chat(Some(deep), &[]).is_err());
}
