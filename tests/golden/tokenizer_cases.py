"""The texts of the tokenizer's golden file: what splits or merges differently when a rule is wrong."""


def texts():
    plain = []
    add = plain.extend
    # Digits: each is a token of its own, and a space before one too.
    add(["0", "7", "12", "123", "1234", "12345678901234567890", "3.14159", "1,000,000", " 42", "  42", "\t42", "a1b22c333",
         "1 2 3", "2024-11-05T09:30:00Z", "0x7fff", "1e-5", "-273.15°C", "$19.99", "50%", "v2.0.1-rc3", "192.168.0.1",
         "+44 20 7946 0958", "9" * 200, "4" * 64 + " " + "2" * 64, "No. 5\n6", "7th", "x²+y³", "½ cup", "Ⅳ. ⅷ", "①②③", "٣٤٥",
         "१२३", "௧௨௩", "๑๒๓", "一二三四", "〇", "𝟘𝟙𝟚", "৩ টি", "10^10", "5'11\"", "100 000", "1\u00a0000", "№7", "²", "⁷Li"])
    # A run of white space before a digit stays whole only because the digit is split off first.
    add(["a  1", "a   22", "x\n\n3", "x\r\n4", "\t\t5", "= \t6", "a \u00a07", "total:    100", "  ½", "\n  1. one\n  2. two\n", "a\u3000\u30008", "1  2\t\t3\n\n4"])
    # Contractions, upper case among them (GPT-2's pattern knows lower case only), and typographic apostrophes.
    add(["don't", "I'm", "you're we've they'd he'll she's", "DON'T I'M WE'VE HE'LL SHE'S", "'s", "''s", "'tis", "rock 'n' roll",
         "it’s John’s", "o'clock", "'", "'re're", "l'été d'accord", "y'all'd've", "can't.", "'dog", "'very", "'llama"])
    # White space.
    add([" ", "  ", "   ", "\t", "\t\t\tx", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "a\r\nb\r\n", "a \n b", "a  b", "a   b    c",
         " leading", "trailing ", "  both  ", "x\n\n\n\ny", "x \n \n y", " \t \n", "\u00a0", "a\u00a0b", "a\u2003b", "a\u3000b",
         "a\u2028b\u2029c", "\u200b", "a\u200bb", "\ufeffBOM", "\v\f", "\x85", " " * 100, " " * 99 + "x", "\n" * 50, "\t" * 30 + "y",
         "x" + " " * 300 + "y", " 1", "  1", "\n1", "   1   ", "a\u202fb", "\u1680x", " \u00a0 x"])
    # Code.
    add(["fn main() {\n    println!(\"{}\", 1 + 2);\n}\n", "def f(x):\n    return x**2\n", "for (int i = 0; i < 10; ++i) { a[i] <<= 2; }",
         "SELECT * FROM t WHERE id='7' -- c", "<div class=\"a b\">x &amp; y</div>", "{\"k\": [1, 2.5, null, true], \"é\": \"\\u00e9\"}",
         "#!/bin/sh\nset -eu\n", "git commit -m 'x' && cd ../..", "http://example.org/a_b?c=d&e=%20#f", "a_b-c.d/e\\f|g~h`i",
         "x=y==z!=w<=v>=u->t=>s::r", "λx. x + 1", "/* a */ // b", "\\frac{a}{b} $\\alpha^2$", "std::vector<std::pair<int,int>>",
         "if(a&&b||!c)", "camelCaseAndPascalCase snake_case SCREAMING_CASE kebab-case", "...", "?!?!", "----------", "==========",
         "(((((((())))))))", "a.b.c", "user@example.org", "C:\\Users\\x", "<<<<<<< HEAD\n=======\n>>>>>>> b", "\"\"\"doc\"\"\"", "```rust\nx\n```"])
    # Scripts.
    add(["Привет, мир!", "Γειά σου Κόσμε", "こんにちは世界", "日本語テキスト", "中文分词测试。", "繁體中文，標點「」", "안녕하세요 세계", "مرحبا بالعالم",
         "שלום עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก", "வணக்கம் உலகம்", "ਸਤ ਸ੍ਰੀ ਅਕਾਲ", "გამარჯობა", "Բարեւ աշխարհ", "ሰላም ዓለም", "ᠮᠣᠩᠭᠣᠯ",
         "ខ្មែរ", "မြန်မာ", "ລາວ", "Tiếng Việt có dấu", "Čeština žluťoučký kůň", "Türkçe İıŞş", "Straße ẞ", "naïve café résumé", "ÆØÅ æøå", "ĲĳŒœ",
         "Ελλάδα ΠΟΛΎΤΟΝΟΣ ᾦ", "ﬁ ﬂ ﬀ", "ＦＵＬＬ ｗｉｄｔｈ １２３", "ʻOkina ʼ", "ǅ ǈ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𐍈𐌰𐌹", "𒀀𒁀", "𓀀", "अंग्रेज़ी में text mixed 漢字 и русский",
         "ﷺ", "ꦗꦮ", "ᏣᎳᎩ", "ⵜⴰⵎⴰⵣⵉⵖⵜ"])
    # Combining marks: not letters, so they leave the word in GPT-2's pattern.
    add(["e\u0301", "cafe\u0301 x", "a\u0300\u0301\u0302", "Z̷̢̛̗a̵̧l̸g̶o̵", "\u0301", " \u0301x", "क्‍ष", "n\u0303o\u0308", "o\u0308 1\u0308"])
    # Emoji: skin tones, joined families, flags, key caps, variation selectors, tag sequences.
    add(["🙂", "🙂👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇯🇵", "1️⃣2️⃣", "❤️", "☎", "🏳️‍🌈", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "I ❤️ 🦀!", "🙂🙂🙂🙂🙂", "a🙂b", " 🙂", "🫠🪿", "™©®", "→⇒↔", "♠♥♦♣", "½¼¾",
         "…—–‘’“”«»", "€£¥₹₿", "∑∫√∞≈≠≤≥", "▁▂▃ █", "\ufffd", "\ufffc"])
    # Control and unassigned characters; some have no token and vanish.
    add(["\x00", "a\x00b", "\x01\x02\x03", "\x04", "a\x04b\x06c", "\x07\x08", "\x1b[31mred\x1b[0m", "\x13\x14\x16\x1d", "\x7f", "\u0080\u009f",
         "\u00ad", "soft\u00adhyphen", "\u061c\u200e\u200f", "\ue000\uf8ff", "\U000f0000", "\U0010ffff", "\U00040000", "\ud7ff", "\ufffe\uffff", "\u0378"])
    # Long words, prose, near-specials, specials.
    add(["a" * 1000, "ab" * 500, "é" * 300, "日" * 300, "🙂" * 100, "Donaudampfschifffahrtsgesellschaftskapitän", "pneumonoultramicroscopicsilicovolcanoconiosis",
         "supercalifragilisticexpialidocious" * 5, "https://" + "x/" * 200, "AAAAAAAAAAAAAAAA", "hahahahahahaha", "ACGTACGTTTGACA" * 10,
         "The quick brown fox jumps over the lazy dog.", "THE QUICK BROWN FOX", "the the the the", "Hello, world! How are you today?",
         "Which of these is a noble gas?\nA. Oxygen\nB. Neon\nAnswer:", "Dr. Smith's 2nd visit (1999): \"fine\".", "To be, or not to be: that is the question:",
         "<", "<|", "<|im", "<|im_start", "<|im_start |>", "< |im_start|>", "<|IM_END|>", "|>", "<repo_name", "<s>", "[INST]", "</s>", "<unk>", "<pad>",
         "", "a", " a", "A", "Ġ", "Ċ", "Ġthe", "▁the", "Ã©"])
    special = ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|im_start|>user\nAre dogs real?<|im_end|>\n<|im_start|>assistant\n",
               "a<|im_end|>b", " <|im_end|> ", "<|im_end|><|im_end|>", "<|im_end|>\n\n<|im_start|>", "1<|im_end|>2", "<|im_start|><|im_end",
               "<<|im_end|>>", "<repo_name>x<file_sep>y", "<reponame>", "<filename>a.py<gh_stars>5", "<issue_start><issue_comment>z<issue_closed>",
               "<jupyter_start><jupyter_text><jupyter_code><jupyter_output><jupyter_script><empty_output>", "x <|endoftext|>y", "<|im_end|>\r\n",
               "é<|im_end|>日", "   <|im_end|>   x", "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"]
    cases = [(text, False) for text in plain]
    for text in special:
        cases += [(text, True), (text, False)]
    return cases


def chats():
    user = {"role": "user", "content": "Are dogs real?"}
    answer = {"role": "assistant", "content": "Yes."}
    system = {"role": "system", "content": "Answer  briefly.\n"}
    odd = {"role": "user", "content": "  {{ x }} {% raw %} <b>&\"'</b> \\n\r\n\t"}
    return [[user], [user, answer], [system, user], [system, user, answer, user], [odd], [{"role": "user", "content": ""}], [answer], [user, system], []]
