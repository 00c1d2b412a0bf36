//! From a file of records to encoded examples.

#[path = "chat_tests.rs"]
mod chats;
#[path = "label_tests.rs"]
mod labels;

use super::super::{Asker, CHOICES, Examples, LabelStyle, OPTIONS, RECORD_BYTES, Target, answer, prompt};
use super::*;
use sprig_engine::adapter::Asking;
use sprig_engine::tokenizer::{Specials, TokenizerSource};

const CHATML: &str = "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}\
                      {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// One token a byte, special tokens and ChatML.
fn tokenizer(chat_template: Option<&str>) -> Tokenizer {
    tokenizer_that(false, chat_template)
}

/// The same; if it `begins`, raw texts begin with a token of their own.
fn tokenizer_that(begins: bool, chat_template: Option<&str>) -> Tokenizer {
    let mut tokens = vec!["<|im_start|>", "<|im_end|>", "<s>"];
    let printable = |b: &u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let characters = (0..=255u8).filter(printable).map(char::from);
    let characters: Vec<_> = characters.chain((0x100..0x144).filter_map(char::from_u32)).collect();
    let characters: Vec<_> = characters.iter().map(char::to_string).collect();
    tokens.extend(characters.iter().map(String::as_str));
    let mut token_types = vec![1; tokens.len()];
    token_types[..3].fill(3);
    Tokenizer::new(TokenizerSource {
        kind: "gpt2",
        pre: "smollm",
        token_types,
        bos: Some(2),
        add_bos: Some(begins),
        eos: Some(1),
        chat_template,
        tokens,
        ..Default::default()
    })
    .unwrap()
}

fn load_with(t: &Tokenizer, content: &str, options: &LoadOptions) -> Result<DataSet, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.jsonl");
    std::fs::write(&path, content).unwrap();
    DataSet::load(&[path], options, t)
}

fn load(content: &str, options: &LoadOptions) -> Result<DataSet, DataError> {
    load_with(&tokenizer(Some(CHATML)), content, options)
}

fn fails(content: &str, options: &LoadOptions, say: &[&str]) {
    let message = load(content, options).unwrap_err().to_string();
    for part in say {
        assert!(message.contains(part), "{message:?} should contain {part:?}");
    }
}

/// The whole example, what of it is learnt (completion, or the candidates), and the answer.
fn shown(set: &DataSet, i: usize) -> (String, String, usize) {
    let t = tokenizer(None);
    let example = set.example(i);
    let whole = t.decode(example.tokens);
    match example.target {
        Target::Lm { first, .. } => (whole, t.decode(&example.tokens[first..]), 0),
        Target::Label { row, candidates, answer } => {
            assert_eq!(row, example.tokens.len() - 1);
            (whole, t.decode(candidates), answer)
        }
        Target::Pair { first, second } => {
            let [chosen, rejected] = [&example.tokens[first..second], &example.tokens[second..]];
            (whole, format!("{}|{}", t.decode(chosen), t.decode(rejected)), first)
        }
    }
}

/// A folder is its files one after another; an error names the file and its line.
#[test]
fn a_folder_is_read_file_by_file() {
    let t = tokenizer(Some(CHATML));
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let line = |text: &str, label: &str| format!("{{\"text\": {text:?}, \"label\": {label:?}}}\n");
    write("b.jsonl", &line("third", "no"));
    write("a.jsonl", &(line("first", "yes") + &line("second", "no")));
    let options = LoadOptions::new(Task::Label, 200);
    let folder = DataSet::load(&[dir.path()], &options, &t).unwrap();
    let one =
        load(&[line("first", "yes"), line("second", "no"), line("third", "no")].concat(), &options).unwrap();
    assert_eq!((folder.len(), folder.digest()), (3, one.digest()));
    write("c.jsonl", &(line("fourth", "yes") + "{\n"));
    let wrong = DataSet::load(&[dir.path()], &options, &t).unwrap_err().to_string();
    assert!(wrong.contains("c.jsonl:2"), "{wrong}");
}

#[test]
fn pairs_stand_behind_one_prompt() {
    let pair = r#"{"prompt": "one two three", "chosen": " four", "rejected": " five six", "weight": 2}"#;
    let set = load(pair, &raw(Task::Pair, 64)).unwrap();
    let (whole, both, first) = shown(&set, 0);
    assert_eq!((whole.as_str(), both.as_str()), ("one two three four five six", " four| five six"));
    assert!(!set.is_lm() && set.candidates(0) == 0 && set.weight(0) == 2.0 && set.cut() == 0);
    // Too long a prompt loses its beginning, the same for both.
    let len = first + 1;
    let cut = load(pair, &raw(Task::Pair, len)).unwrap();
    let (whole, both, _) = shown(&cut, 0);
    assert!(both == " four| five six" && !whole.starts_with("one") && cut.cut() == 1, "{whole} {both}");
    let wrong = |chosen, rejected, say: &[&str]| {
        let line = format!(r#"{{"prompt": "one", "chosen": "{chosen}", "rejected": "{rejected}"}}"#);
        fails(&line, &raw(Task::Pair, 64), say);
    };
    wrong("two", "two", &["d.jsonl:1", "\"rejected\"", "both completions are the same"]);
    wrong("", "two", &["\"chosen\"", "an empty completion"]);
    wrong("two", "", &["\"rejected\"", "an empty completion"]);
    fails(pair, &raw(Task::Lm, 64), &["pair"]);
    fails(r#"{"prompt": "one", "chosen": "two"}"#, &raw(Task::Pair, 64), &["\"rejected\""]);
}

fn raw(task: Task, len: usize) -> LoadOptions {
    LoadOptions { raw: true, ..LoadOptions::new(task, len) }
}

#[test]
fn only_the_completion_and_the_end_of_its_turn_are_learnt() {
    let line = r#"{"prompt": "Hi?", "completion": "Yo"}"#;
    let set = load(line, &LoadOptions::new(Task::Lm, 200)).unwrap();
    let whole = "<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>";
    assert_eq!(shown(&set, 0), (whole.into(), "Yo<|im_end|>".into(), 0));

    let set = load(line, &raw(Task::Lm, 200)).unwrap();
    assert_eq!(shown(&set, 0), ("Hi?Yo".into(), "Yo".into(), 0));
    let set = load(r#"{"prompt": "", "completion": "Yo"}"#, &raw(Task::Lm, 200)).unwrap();
    assert_eq!(
        set.example(0).target,
        Target::Lm { first: 1, pauses: &[] },
        "nothing predicts the first token of all"
    );
    let set = load(r#"{"text": "abc"}"#, &LoadOptions::new(Task::Lm, 200)).unwrap();
    assert_eq!((set.example(0).target, set.cut()), (Target::Lm { first: 1, pauses: &[] }, 0));
}

#[test]
fn what_is_too_long_is_cut_where_it_hurts_least_and_counted() {
    let set = load(r#"{"text": "abcdefgh"}"#, &raw(Task::Lm, 5)).unwrap();
    assert_eq!((shown(&set, 0).0.as_str(), set.cut(), set.longest()), ("abcde", 1, 5));

    // 41 bytes of template, of which four special tokens take one each.
    let line = r#"{"prompt": "0123456789", "completion": "Yo"}"#;
    let fixed =
        load(r#"{"prompt": "", "completion": ""}"#, &LoadOptions::new(Task::Lm, 200)).unwrap().longest() - 1;
    let set = load(line, &LoadOptions::new(Task::Lm, fixed + 7)).unwrap();
    let whole = "<|im_start|>user\n6789<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>";
    assert_eq!((shown(&set, 0).0.as_str(), set.cut()), (whole, 1));
    let set = load(line, &LoadOptions::new(Task::Lm, fixed + 2)).unwrap();
    assert_eq!((shown(&set, 0).1.as_str(), set.cut(), set.longest()), ("Yo", 1, fixed + 2));
    let need =
        format!("d.jsonl:1: the prompt without the record's text takes {} tokens of {fixed}", fixed + 1);
    fails(line, &LoadOptions::new(Task::Lm, fixed), &[&need, "use `len = "]);

    let lines = "{\"text\": \"0123456789\", \"label\": \"x\"}\n{\"text\": \"0\", \"label\": \"y\"}";
    let set =
        load(lines, &LoadOptions { template: Some("[{text}] {options}?\n".into()), ..raw(Task::Label, 13) })
            .unwrap();
    assert_eq!((shown(&set, 0), set.cut()), (("[0123] x, y?\n".into(), "xy".into(), 0), 1));
}

#[test]
fn a_question_lists_its_choices_and_is_answered_by_letter() {
    let line = r#"{"question": "Which?", "choices": ["one", "two", "six"], "answer": "six"}"#;
    let set = load(line, &LoadOptions::new(Task::Choice, 200)).unwrap();
    let whole = "<|im_start|>user\nWhich?\nA. one\nB. two\nC. six\n\nAnswer with the letter of the right choice.<|im_end|>\n\
                 <|im_start|>assistant\n";
    assert_eq!(shown(&set, 0), (whole.into(), "ABC".into(), 2));
    let set = load(line, &LoadOptions::new(Task::Choice, set.longest() - 3)).unwrap();
    assert!(shown(&set, 0).0.contains("user\nch?\nA. one") && set.cut() == 1, "{}", shown(&set, 0).0);
    fails(
        line,
        &LoadOptions::new(Task::Choice, 30),
        &["d.jsonl:1: the prompt without the record's text takes"],
    );
    // This vocabulary has no token for a space and a letter.
    fails(line, &raw(Task::Choice, 200), &["letter A is not one token", "`task = \"lm\"`"]);
    assert_eq!(CHOICES, 2..=26);
}

#[test]
fn errors_name_the_file_the_line_and_the_remedy() {
    let lm = LoadOptions::new(Task::Lm, 64);
    fails("", &lm, &["d.jsonl: no records"]);
    fails("\u{feff}\r\n \n", &lm, &["no records"]);
    fails("", &LoadOptions::new(Task::Label, 64), &["no records"]);
    fails(
        "{\"text\": \"ok\"}\r\n{\"text\": 1}\r\n",
        &lm,
        &["d.jsonl:2: field \"text\": found a number; write a string"],
    );
    fails(r#"{"text": "a"}"#, &lm, &["d.jsonl:1: field \"text\"", "no token follows another"]);
    fails(
        r#"{"prompt": "a", "completion": ""}"#,
        &raw(Task::Lm, 64),
        &["field \"completion\": found an empty"],
    );
    fails(
        r#"{"prompt": "", "completion": "x"}"#,
        &raw(Task::Lm, 64),
        &["field \"prompt\": found an empty prompt"],
    );
    fails("x", &LoadOptions::new(Task::Lm, 1), &["`len = 1`"]);
    let two = "{\"text\": \"t\", \"label\": \"x\"}\n{\"text\": \"t\", \"label\": \"y\"}";
    for template in ["no place", "{text} and {text}"] {
        fails(
            two,
            &LoadOptions { template: Some(template.into()), ..LoadOptions::new(Task::Label, 64) },
            &["places for {text}", "exactly one"],
        );
    }
    assert!(OPTIONS.contains("options"));
    let error = DataSet::load(&["/nowhere/d.jsonl"], &lm, &tokenizer(None)).unwrap_err();
    assert!(
        matches!(error, DataError::Io { .. })
            && error.to_string().starts_with("cannot open /nowhere/d.jsonl: ")
    );
    let empty = tempfile::tempdir().unwrap();
    let error = DataSet::load(&[empty.path()], &lm, &tokenizer(None)).unwrap_err();
    assert!(matches!(error, DataError::Folder { found: 0, .. }), "{error}");
}

#[test]
fn without_a_chat_template_plain_texts_and_raw_prompts_still_load() {
    let t = tokenizer(None);
    let pair = r#"{"prompt": "p", "completion": "c"}"#;
    assert!(load_with(&t, r#"{"text": "abc"}"#, &LoadOptions::new(Task::Lm, 64)).is_ok());
    assert!(load_with(&t, pair, &raw(Task::Lm, 64)).is_ok());
    let message = load_with(&t, pair, &LoadOptions::new(Task::Lm, 64)).unwrap_err().to_string();
    assert!(message.contains("use raw prompts (`raw`)"), "{message}");
}

#[test]
fn the_byte_limit_holds_and_bytes_are_what_is_held() {
    let lines: String = (0..1000).map(|i| format!("{{\"text\": \"line {i:04}\"}}\n")).collect();
    let set = load(&lines, &LoadOptions::new(Task::Lm, 64)).unwrap();
    assert_eq!((set.len(), set.tokens(), set.bytes()), (1000, 9000, 9000 * 4 + 1000 * 16));
    let enough = LoadOptions { max_bytes: set.bytes() + RECORD_BYTES, ..LoadOptions::new(Task::Lm, 64) };
    assert!(load(&lines, &enough).is_ok());
    let short = LoadOptions { max_bytes: set.bytes(), ..enough };
    fails(&lines, &short, &["d.jsonl:", "the examples up to here", "52000 bytes", "larger `budget`"]);
}

#[test]
fn a_record_without_room_is_refused_before_it_is_read_or_tokenised() {
    let words = "word ".repeat(20_000);
    let line = format!("{{\"text\": \"ab\"}}\n{{\"text\": \"{words}\"}}\n");
    let limited = |max_bytes| LoadOptions { max_bytes, ..LoadOptions::new(Task::Lm, 8) };
    assert_eq!(load(&line, &limited(1 << 20)).unwrap().cut(), 1);
    for limit in [150_000, 300_000] {
        fails(&line, &limited(limit), &["d.jsonl:2: ", &format!("{limit} bytes")]);
    }
    // One word of 100,000 bytes takes more to be merged than as many bytes of words.
    let word = format!("{{\"text\": \"{}\"}}\n", "w".repeat(100_000));
    fails(&word, &limited(1 << 20), &["d.jsonl:1: "]);
    assert!(load(&word, &limited(8 << 20)).is_ok());
}

#[test]
fn a_cut_text_has_the_first_tokens_of_the_whole() {
    let text = |n: usize| {
        (0..n).map(|i| ["ab ", "é", "1", "  ", "<|im_end|>", "\\n"][i * i % 7 % 6]).collect::<String>()
    };
    for n in 3..60 {
        let line = format!("{{\"text\": \"{}\"}}", text(n));
        let whole = load(&line, &LoadOptions::new(Task::Lm, 500)).unwrap();
        let whole = whole.example(0).tokens;
        for len in [2, 3, 17, whole.len() - 1, whole.len(), whole.len() + 1] {
            let set = load(&line, &LoadOptions::new(Task::Lm, len)).unwrap();
            assert_eq!(set.example(0).tokens, &whole[..len.min(whole.len())]);
            assert_eq!(set.cut(), usize::from(len < whole.len()));
        }
    }
}

#[test]
fn who_asks_later_asks_as_it_was_learnt() {
    let lines = "{\"text\": \"t\", \"label\": \"pos\"}\n{\"text\": \"long text\", \"label\": \"neg\"}";
    let words = vec![("neg".to_owned(), "bad".to_owned())];
    let template = Some("[{text}] {options}?\n".to_owned());
    for options in [
        LoadOptions::new(Task::Label, 200),
        LoadOptions { label_words: words, ..raw(Task::Label, 200) },
        LoadOptions { label_style: LabelStyle::Letter, template, ..raw(Task::Label, 200) },
    ] {
        // The raw default ends in a word, so all answers begin with a space that is a token of its own here.
        let options = LoadOptions {
            template: options.template.or_else(|| Some("{text}: {options}\n".into())),
            ..options
        };
        let set = load(lines, &options).unwrap();
        let asking = options.asking(set.labels());
        let (t, asked) = (tokenizer(Some(CHATML)), LoadOptions::asked(&asking, 200).unwrap());
        let mut asker = Asker::new(Path::new("a.gguf"), &asked, &t).unwrap();
        assert_eq!(asker.labels(), set.labels().unwrap());
        for (i, text) in ["t", "long text"].into_iter().enumerate() {
            let found = asker.ask(text).unwrap();
            assert_eq!((&found.tokens[..], found.cut), (set.example(i).tokens, false));
        }
        assert_eq!(asked.asking(Some(asker.labels())), asking);
    }
    let long = LoadOptions {
        template: Some(format!("{{text}}{}", "x".repeat(200_000) + "\n")),
        ..raw(Task::Label, 300_000)
    };
    fails(lines, &long, &["131072 bytes", "shorten them"]);
    let strange = Asking { task: "chess".into(), ..Asking::default() };
    assert!(LoadOptions::asked(&strange, 8).unwrap_err().to_string().contains("chess"));
    let plain = LoadOptions::new(Task::Lm, 64).asking(None);
    assert_eq!((plain.task.as_str(), plain.template, plain.labels.len()), ("lm", None, 0));
}

#[test]
fn the_digest_is_of_what_is_learnt() {
    let digest = |content: &str, options: &LoadOptions| load(content, options).unwrap().digest();
    let lm = LoadOptions::new(Task::Lm, 64);
    let base = digest("{\"text\": \"ab\"}\n{\"text\": \"cd\"}", &lm);
    assert_eq!(base, digest("\n{\"id\": 3, \"text\": \"ab\"}\r\n{\"text\": \"cd\"}\n", &lm));
    assert_ne!(base, digest("{\"text\": \"cd\"}\n{\"text\": \"ab\"}", &lm));
    assert_ne!(base, digest("{\"text\": \"abc\"}\n{\"text\": \"de\"}", &lm));
    assert_ne!(
        digest("{\"prompt\": \"a\", \"completion\": \"bc\"}", &raw(Task::Lm, 9)),
        digest("{\"prompt\": \"ab\", \"completion\": \"c\"}", &raw(Task::Lm, 9))
    );
    let t = tokenizer(None);
    assert_eq!(t.encode("ab", Specials::Plain), load("{\"text\": \"ab\"}", &lm).unwrap().example(0).tokens);
}

/// Who asks uses the tokens that were learnt from; the one that begins a text stands there once.
#[test]
fn a_prompt_of_its_own_is_that_of_a_training() {
    let template = format!("{{{{ bos_token }}}}{CHATML}");
    let t = tokenizer_that(true, Some(&template));
    for (raw, text) in [(false, "who?"), (true, "who?"), (true, "one<|im_end|> who?")] {
        let options = LoadOptions { raw, ..LoadOptions::new(Task::Lm, 200) };
        let line = format!(r#"{{"prompt": "{text}", "completion": "me"}}"#);
        let set = load_with(&t, &line, &options).unwrap();
        let example = set.example(0);
        let Target::Lm { first, .. } = example.target else { panic!("{example:?}") };
        let asked = prompt(&t, raw, text).unwrap();
        assert_eq!(asked, example.tokens[..first], "{text}, raw: {raw}");
        assert_eq!(asked.iter().filter(|&&id| id == 2).count(), 1, "{text}, raw: {raw}");
    }
    assert_eq!(answer(true, "Label:", "up"), " up");
    assert_eq!(answer(true, "Label: ", "up"), "up");
    assert_eq!(answer(false, "Label:", "up"), "up");
}

#[test]
fn what_is_held_back_is_left_out_and_nothing_else() {
    let set = load(&"{\"text\": \"some\"}\n".repeat(9), &LoadOptions::new(Task::Lm, 9)).unwrap();
    for held_back in [&[][..], &[0], &[8], &[0, 1, 2], &[3, 4, 8], &[1, 3, 5, 7], &[0, 1, 2, 3, 4, 5, 6, 7]] {
        let (left, apart) = (Examples::all_but(&set, held_back), Examples::some(&set, held_back));
        let ids = |examples: Examples<'_>| (0..examples.len()).map(|i| examples.id(i)).collect::<Vec<_>>();
        assert!(ids(left).is_sorted(), "{:?}", ids(left));
        let mut all = [ids(left), ids(apart)].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..9), "{held_back:?}");
    }
}

#[test]
fn weights_are_kept_where_there_are_any_and_change_the_digest() {
    let options = LoadOptions::new(Task::Lm, 9);
    let lines = |weights: &[&str]| {
        let line = |weight: &&str| format!("{{\"text\": \"some\"{weight}}}\n");
        load(&weights.iter().map(line).collect::<String>(), &options).unwrap()
    };
    let plain = lines(&["", "", ""]);
    let ones = lines(&["", ", \"weight\": 1", ""]);
    assert!(ones.digest() == plain.digest() && ones.bytes() == plain.bytes());
    let some = lines(&["", ", \"weight\": 2.5", ""]);
    assert_eq!([0, 1, 2].map(|i| some.weight(i)), [1.0, 2.5, 1.0]);
    assert!(some.digest() != plain.digest() && some.bytes() == plain.bytes() + 3 * size_of::<f32>());
    fails(
        "{\"text\": \"some\"}\n{\"text\": \"some\", \"weight\": -1}\n",
        &options,
        &["d.jsonl:2:", "weight"],
    );
}
