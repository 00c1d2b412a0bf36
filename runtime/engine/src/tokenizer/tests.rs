//! Byte-pair tokenizers on small vocabularies, chats, and hostile ones.

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
    refused(|s| s.kind = "bert", "kind \"bert\" is not supported; supported: \"gpt2\"");
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
        (Some("{{ messages[0].content.zfill(9) }}"), "has no method zfill of these arguments"),
        (Some("{{ messages[0].content.split('') }}"), "use raw prompts"),
        (Some("{{ messages[0].strip() }}"), "use raw prompts"),
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
    // Each of these would take gigabytes: what a value takes is paid for before it is made.
    let long =
        "{% set n = namespace(x='abcdefgh') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}";
    let many = "{% set x = 'a' * 60000 %}{{ x.replace('a', x) }}";
    for template in [long, many] {
        let message = chat(Some(template), &[]).unwrap_err().to_string();
        assert!(message.contains("fuel"), "{message}");
    }
}

/// What becomes of `deeper`, done over and over beside a namespace `n`: on a small stack, with all the steps that a long
/// conversation gives.
fn grown(deeper: &str) -> String {
    let long = "a ".repeat(200_000);
    let messages = [Message { role: "user", content: &long }; 20];
    let template = format!(
        "{{% set n = namespace(x=0, y=0) %}}{{% for i in range(9000) %}}{{% set q = n.x %}}{deeper}{{% endfor %}}\
         {{{{ (n.x == n.y)|string ~ n.x }}}}"
    );
    let rendered = std::thread::scope(|scope| {
        let small = std::thread::Builder::new().stack_size(512 << 10);
        small.spawn_scoped(scope, || chat(Some(&template), &messages)).unwrap().join().unwrap()
    });
    rendered.map_or_else(|refused| refused.to_string(), |text| format!("rendered {text}"))
}

/// Values that would grow deeper by a loop, which the template engine lets go of, compares and writes by recursion.
#[test]
fn a_template_cannot_fill_the_stack() {
    for deeper in [
        "{% set n.x = [n.x] %}",
        "{% set n.x = [n.x], 1 %}",
        "{%- set n.x = [[[[n.x]]]] -%}",
        "{% set  n.x={'a': '%}' ~ '}}', 'b': n.x} %}",
        "{% set n.x = n %}",
        "{% set n.x = [n] %}",
        "{% set a, n.x = 1, n %}",
        "{% set n.x = namespace(x=n.x) %}",
        "{% set n.x = dict(a=n.x) %}",
        "{% set n.x = [n.x] if true else 0 %}",
        "{% set n.x = [1, n.x][::-1] %}{% set n.y = [1, n.y][::-1] %}",
        "{% set n.x = [n.x]|list|reverse %}",
        "{% set n.x = {'a': n.x}|items %}",
        "{% set n.x = [n.x]|map('default', 1) %}",
    ] {
        let message = grown(deeper);
        assert!(message.contains("at most 16 levels of lists"), "{deeper}: {message}");
    }
    assert!(grown("{% set n.x = [n.x]|batch(1) %}").contains("filter"));
    // What does not grow from one turn of a loop to the next: macros that call themselves, and blocks within blocks.
    let macros = "{% macro m(x) %}{{ m([[[[[[[x]]]]]]]) }}{% endmacro %}{{ m(0) }}";
    assert!(grown(macros).contains("recursion limit"));
    let deeper = |of: &str| "{'a': ".repeat(8) + of + &"}|items".repeat(8);
    let blocks = (0..17).fold("{{ ([a, b]|sort == [b, a]|unique)|string ~ a }}".to_owned(), |inner, _| {
        let [a, b] = ["a", "b"].map(deeper);
        format!("{{% with a = {a}, b = {b} %}}{inner}{{% endwith %}}")
    });
    let message = grown(&blocks);
    assert!(message.contains("fuel"), "{message}");
    // Macros hold nothing of where they were made.
    let closures = grown("{% macro m() %}{{ q }}{% endmacro %}{% set n.x = m %}");
    assert!(closures.starts_with("rendered"), "{closures}");
}

#[test]
fn what_a_template_says_and_makes_is_bounded() {
    let brackets = "[".repeat(9) + &"]".repeat(9);
    assert!(grown(&format!("{{{{ {brackets} }}}}")).contains("more than 8 brackets"));
    // Lists that would be written before anybody counts what that makes.
    assert!(grown("{{ messages * 4200000 }}").contains("lists are not multiplied"));
    assert!(grown("{{ 4200000 * messages }}").contains("behind the `*`"));
    assert!(grown("{% set x = [messages[0].content]|list %}").starts_with("rendered"));
    let texts = "{% set x = ['a' * 50000, 'a' * 50000, 'a' * 50000] %}{% set x = [x, x, x, x, x, x, x, x] %}\
                 {% set x = [x, x, x, x, x, x, x, x] %}";
    assert!(grown(texts).contains("65536 values"));
    let block = format!("{{{{ [{}] }}}}", "messages, ".repeat(500));
    assert!(grown(&block).contains("more than 1000 words and signs"));
    let elifs = format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(10_000));
    assert!(grown(&elifs).contains("10000 times `elif`"));
    assert!(grown(&"a".repeat(200_000)).contains("131072 are read"));
}

/// What templates keep in earnest is kept as it is.
#[test]
fn what_is_kept_is_kept() {
    let template = "{%- set a, b = 'x', \"y'\" -%}{% set c = [a, b][::-1]|join('-') -%}\n\
                    {% set n = namespace(last=messages|length - 1) %}{% set rest = messages[1:] -%}{%- set d %}{{ c }}!{% endset -%}\n\
                    {% raw %}{% set e = 1 %}{% endraw %}{% set n.last = n.last if rest else 7 %}{{ d ~ n.last ~ rest[0].content * 2 ~ -n.last * 2.5 ~ range(*[1, 2 * 3])|last }}";
    let messages = [Message { role: "user", content: "é" }, Message { role: "assistant", content: "ü" }];
    assert_eq!(chat(Some(template), &messages).unwrap(), "{% set e = 1 %}y'-x!1üü-2.55");
}

#[test]
fn the_first_and_the_last_tokens_are_those_of_the_whole_text() {
    let mut seed = 7u64;
    let mut random = move |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    const PARTS: [&str; 12] =
        ["ab", "a", " ", "b ", "<|end|>", "<|end|>x", "1", "\n\n", "é", "!?", "   ", "ab ab"];
    for pre in ["smollm", "gpt-2", "llama-bpe", "qwen2"] {
        let tokenizer = Tokenizer::new(TokenizerSource { pre, ..tiny() }).unwrap();
        for _ in 0..300 {
            let text: String = (0..random(60)).map(|_| PARTS[random(PARTS.len())]).collect();
            for specials in [Specials::Parse, Specials::Plain] {
                let whole = tokenizer.encode(&text, specials);
                for limit in [0, 1, 2, random(80), whole.len(), whole.len() + 1] {
                    let n = limit.min(whole.len());
                    let (first, more) = tokenizer.encode_first(&text, specials, limit);
                    assert_eq!((&first[..], more), (&whole[..n], whole.len() > limit), "{text:?}, {limit}");
                    let last = tokenizer.encode_last(&text, specials, limit);
                    assert_eq!(last, whole[whole.len() - n..], "{text:?}, {limit}");
                }
            }
        }
        let long = "ab ".repeat(5000);
        let whole = tokenizer.encode(&long, Specials::Plain);
        assert_eq!(tokenizer.encode_last(&long, Specials::Plain, 9), whole[whole.len() - 9..]);
    }
}
