//! Texts for tokenizers, the same for a seed: scripts, code, white space, emoji, numbers, what looks like a special token
//! and what is one.

use sprig_testkit::random::Random;

const WORDS: [&str; 24] = [
    "the",
    "tokenizer",
    "Straße",
    "naïve",
    "don't",
    "WE'VE",
    "Привет",
    "мир",
    "Γειά",
    "日本語",
    "中文分词",
    "안녕하세요",
    "مرحبا",
    "שלום",
    "नमस्ते",
    "สวัสดี",
    "வணக்கம்",
    "ᏣᎳᎩ",
    "𝔘𝔫𝔦",
    "Tiếng",
    "hahahaha",
    "o'clock",
    "ﬁne",
    "ＦＵＬＬ",
];
const MARKS: [&str; 22] = [
    ".", ", ", "!?", "...", "—", "’s", "'ll", "(", ")", "[x]", "{", "};", "=>", "::", "/*", "\\n", "#!",
    "&amp;", "€", "▁", "\"", "🙂",
];
const CODE: [&str; 10] = [
    "fn main() {\n    println!(\"{}\", 1 + 2);\n}\n",
    "def f(x):\n\treturn x**2\n",
    "for (int i = 0; i < 10; ++i) { a[i] <<= 2; }",
    "SELECT * FROM t WHERE id='7' -- c",
    "<div class=\"a b\"><b>x</b> &amp; <table><tr><td> y</td></tr></table></div>",
    "{\"k\": [1, 2.5, null, true], \"é\": \"\\u00e9\"}",
    "http://example.org/a_b?c=d&e=%20#f",
    "camelCase snake_case SCREAMING_CASE",
    "\\frac{a}{b} $\\alpha^2$",
    "if(a&&b||!c) { /* … */ }\r\n",
];
const NUMBERS: [&str; 12] = [
    "0",
    "7",
    "1234",
    "3.14159",
    "1,000,000",
    "2024-11-05T09:30:00Z",
    "0x7fff",
    "٣٤٥",
    "१२३",
    "½",
    "Ⅳ",
    "𝟘𝟙",
];
const EMOJI: [&str; 8] = ["👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "1️⃣", "❤️", "🏳️‍🌈", "🦀🦀", "e\u{301}"];
const SPACES: [&str; 12] =
    [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\t\t", "\u{a0}", "\u{3000}"];
const ALMOST: [&str; 8] = ["<", "<|", "<|im_start", "[INST]", "<0x0A>", "<unused", "</", "<start_of_"];

/// `count` texts, with the `specials` among them.
pub fn strings(seed: u64, count: usize, specials: &[&str]) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut texts = vec![String::new(), " ".to_owned(), "x".repeat(3000), "\n".repeat(70), " ".repeat(70)];
    texts.extend(specials.iter().map(|&special| special.to_owned()));
    texts.truncate(count);
    while texts.len() < count {
        let parts = random.between(1, 24);
        texts.push((0..parts).map(|_| part(&mut random, specials)).collect());
    }
    texts
}

fn part(random: &mut Random, specials: &[&str]) -> String {
    match random.between(0, 99) {
        0..40 => random.pick(&WORDS).to_owned() + random.pick(&SPACES),
        40..52 => random.pick(&MARKS).to_owned(),
        52..58 => random.pick(&CODE).to_owned(),
        58..68 => random.pick(&NUMBERS).to_owned(),
        68..74 => random.pick(&EMOJI).to_owned(),
        74..84 => random.pick(&SPACES).repeat(random.between(1, 5) as usize),
        84..88 => random.pick(&ALMOST).to_owned(),
        88..92 if !specials.is_empty() => random.pick(specials).to_owned(),
        92..95 => random.pick(&WORDS).repeat(random.between(2, 6) as usize),
        _ => (0..random.between(1, 4)).map(|_| character(random)).collect(),
    }
}

/// Any character but NUL, which C ends a text with, mostly of the planes in use.
fn character(random: &mut Random) -> char {
    let most = if random.chance(0.5) { 0x2fff } else { 0x1_ffff };
    loop {
        if let Some(c) = char::from_u32(random.between(1, most) as u32) {
            return c;
        }
    }
}
