//! SentencePiece's merging against what its rule says, word by word; and what a file may have wrong.

use super::*;

/// Letters, pairs and triples of them, spaces in places where words are cut and where they must not be, and bytes.
fn small(scores: impl Fn(usize) -> f32) -> TokenizerSource<'static> {
    let mut tokens = vec!["<unk>", "<s>", "</s>", "\n", "\n\n", "  ", "<b>"];
    let mut token_types = vec![2, 3, 3, 4, 4, 4, 4];
    for byte in 0..=255u8 {
        tokens.push(format!("<0x{byte:02X}>").leak());
        token_types.push(6);
    }
    let made =
        ["▁", "a", "b", "é", "▁a", "▁b", "ab", "ba", "aa", "▁ab", "aba", "b▁", "bb", "▁▁", "a▁a", "\ta"];
    tokens.extend(made);
    token_types.extend([1; 16]);
    let scores = (0..tokens.len()).map(scores).collect();
    TokenizerSource {
        kind: "llama",
        scores,
        token_types,
        tokens,
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        add_space_prefix: Some(false),
        ..Default::default()
    }
}

fn random(seed: &mut u64, n: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize % n
}

/// The text without two spaces together, which are a token that a user defined.
fn single(text: &str) -> String {
    let mut before = 'x';
    text.chars().filter(|&c| std::mem::replace(&mut before, c) != ' ' || c != ' ').collect()
}

/// The rule as it is said, over the whole text at once: of all neighbours that make a token the one of the best score, and
/// of equals the leftmost.
fn by_the_rule(source: &TokenizerSource<'_>, text: &str) -> Vec<u32> {
    let normal = |s: &str| {
        let id = source.tokens.iter().position(|t| *t == s)?;
        matches!(source.token_types[id], 1 | 4).then_some(id)
    };
    let mut parts: Vec<String> = text.chars().map(|c| if c == ' ' { '▁' } else { c }.to_string()).collect();
    loop {
        let pairs = (1..parts.len()).filter_map(|i| {
            let id = normal(&format!("{}{}", parts[i - 1], parts[i]))?;
            Some((source.scores[id], i))
        });
        let best = pairs.fold(None, |best: Option<(f32, usize)>, next| match best {
            Some(best) if best.0 >= next.0 => Some(best),
            _ => Some(next),
        });
        let Some((_, i)) = best else { break };
        let right = parts.remove(i);
        parts[i - 1].push_str(&right);
    }
    let ids = |part: String| match normal(&part) {
        Some(id) => vec![id as u32],
        None => part.bytes().map(|b| 7 + u32::from(b)).collect(),
    };
    parts.into_iter().flat_map(ids).collect()
}

#[test]
fn merges_are_those_of_the_rule_wherever_words_are_cut() {
    let mut seed = 5;
    for round in 0..60 {
        // Many ties, and none.
        let distinct = round % 2 == 0;
        let source = small(|i| if distinct { -((i * 7919 % 281) as f32) } else { -((i % 3) as f32) });
        let tokenizer = Tokenizer::new(source.clone()).unwrap();
        for _ in 0..40 {
            const PARTS: [&str; 10] = ["a", "b", "ab", " ", "é", "\t", "x", "日", "b a", "▁"];
            let text: String = (0..random(&mut seed, 30)).map(|_| PARTS[random(&mut seed, 10)]).collect();
            let text = single(&text);
            let found = tokenizer.encode(&text, Specials::Plain);
            assert_eq!(found, by_the_rule(&source, &text), "{text:?}");
            assert_eq!(tokenizer.decode(&found), text.replace('▁', " "));
            let long = single(&text.repeat(50));
            let whole = tokenizer.encode(&long, Specials::Parse);
            let limit = random(&mut seed, whole.len() + 2);
            let (first, more) = tokenizer.encode_first(&long, Specials::Parse, limit);
            assert_eq!((&first[..], more), (&whole[..limit.min(whole.len())], limit < whole.len()));
            assert_eq!(tokenizer.count(&long, Specials::Parse), whole.len());
        }
    }
}

#[test]
fn what_a_user_defined_is_taken_whole_everywhere_and_control_tokens_only_in_prompts() {
    let source = small(|i| -(i as f32));
    let tokenizer = Tokenizer::new(source.clone()).unwrap();
    assert_eq!(tokenizer.encode("\n\n\na", Specials::Plain), [4, 3, 264]);
    assert_eq!(tokenizer.encode("a<b></s>", Specials::Parse), [264, 6, 2]);
    let plain = tokenizer.encode("a<b></s>", Specials::Plain);
    assert_eq!((&plain[..2], plain.len()), (&[264, 6][..], 6));
    assert_eq!(tokenizer.decode(&plain), "a<b></s>");
    assert_eq!((tokenizer.prefix(), tokenizer.token_bytes(7 + 0xE6)), (Some(1), vec![0xE6]));
    let mut stream = TextStream::new();
    let bytes = |id: u32| tokenizer.token_bytes(id);
    let said: Vec<String> =
        tokenizer.encode(" 日", Specials::Plain).into_iter().map(|id| stream.push(&bytes(id))).collect();
    assert_eq!(said, [" ", "", "", "日"]);

    let llama2 = Tokenizer::new(TokenizerSource { add_space_prefix: None, ..source }).unwrap();
    assert_eq!(
        llama2.encode("a<s>a", Specials::Parse),
        [267, 1, 267],
        "a space comes first, and after a control token"
    );
    assert!(llama2.encode("", Specials::Parse).is_empty());
    assert_eq!(llama2.decode(&[267, 264]), " aa");
}

#[test]
fn a_long_word_takes_a_bounded_time_and_comes_back() {
    let tokenizer = Tokenizer::new(small(|i| -(i as f32))).unwrap();
    for unit in ["a", "ab", " ", "日", "<", "\u{301}"] {
        let text = unit.repeat(300_000);
        assert!(tokenizer.decode(&tokenizer.encode(&text, Specials::Plain)) == text, "{unit:?}");
    }
}

#[test]
fn scores_that_are_none_and_parts_that_do_not_fit_are_refused() {
    let refused = |change: fn(&mut TokenizerSource<'_>), say: &str| {
        let mut source = small(|_| 0.0);
        change(&mut source);
        let message = Tokenizer::new(source).unwrap_err().to_string();
        assert!(message.contains(say), "{message:?} should contain {say:?}");
    };
    refused(|s| s.scores.truncate(3), "3 scores for 279 tokens");
    refused(|s| s.scores[7] = f32::NAN, "the score of token 7 is not a number");
    refused(|s| s.unknown = Some(279), "the unknown token is 279");
    refused(|s| s.tokens[4] = "\n", "tokens 3 and 4 are the same text");
    refused(|s| s.tokens[6] = "x".repeat(1025).leak(), "the special token 6 has 1025 bytes; at most 1024");
}

#[test]
fn without_tokens_of_bytes_a_character_is_unknown_or_nothing() {
    let bytes_are_text = |s: TokenizerSource<'static>| {
        let token_types = s.token_types.iter().map(|&kind| if kind == 6 { 1 } else { kind }).collect();
        TokenizerSource { token_types, ..s }
    };
    let source = bytes_are_text(small(|i| -(i as f32)));
    let nothing = TokenizerSource { unknown: None, ..source.clone() };
    assert_eq!(Tokenizer::new(source).unwrap().encode("a日", Specials::Plain), [264, 0]);
    assert_eq!(Tokenizer::new(nothing).unwrap().encode("a日", Specials::Plain), [264]);
}

/// Whatever the metadata say, there is a tokenizer or an error, and a tokenizer encodes and decodes anything.
#[test]
fn metadata_at_random_neither_panic_nor_stall() {
    let mut seed = 3;
    let mut built = 0;
    for _ in 0..3000 {
        const TEXTS: [&str; 14] = [
            "", "▁", "a", "ab", "▁a", "<0x41>", "<0xe6>", "<0x4>", "<0xzz>", "\n", "日", "日a", "Ġ",
            "\u{301}",
        ];
        let (n, from) = (random(&mut seed, 12), random(&mut seed, 14));
        // Now and then a text twice.
        let twice = random(&mut seed, 20);
        let tokens: Vec<&str> =
            (0..n).map(|i| TEXTS[(14 + from + i - usize::from(i == twice)) % 14]).collect();
        let floats = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1.0];
        let scores = (0..n)
            .map(|_| match random(&mut seed, 99) {
                0 => f32::NAN,
                i => floats[i % 6],
            })
            .collect();
        let token_types = (0..random(&mut seed, 2) * n).map(|_| random(&mut seed, 9) as i32 - 1).collect();
        let merges = (0..random(&mut seed, 3)).map(|_| ["a b", "a", "日 a"][random(&mut seed, 3)]).collect();
        let mut id = || Some(random(&mut seed, n + 3) as u32).filter(|id| *id as usize <= n);
        let (bos, eos, unknown) = (id(), id(), id());
        let kind = ["llama", "gpt2"][random(&mut seed, 2)];
        let pre = ["smollm", "qwen2"][random(&mut seed, 2)];
        let source = TokenizerSource {
            kind,
            pre,
            tokens,
            scores,
            token_types,
            merges,
            bos,
            eos,
            unknown,
            ..Default::default()
        };
        let Ok(tokenizer) = Tokenizer::new(source) else { continue };
        built += 1;
        for specials in [Specials::Parse, Specials::Plain] {
            let ids = tokenizer.encode("ab 日a<0x41>\n\u{301}▁ab", specials);
            assert!(ids.iter().all(|&id| (id as usize) < n));
            tokenizer.decode(&ids);
        }
        tokenizer.decode(&[0, 5, 99]);
    }
    assert!(built > 300, "{built} of 3000");
}
