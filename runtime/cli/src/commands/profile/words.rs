//! Texts to measure with where no data are given: common words, drawn from a seed, so that every board learns the same.

use sprig_ground::random::SplitMix64;

/// Each is at least a token of any vocabulary, so that as many of them fill as many tokens.
const WORDS: [&str; 32] = [
    "water", "house", "light", "stone", "paper", "green", "river", "small", "under", "table", "bread",
    "night", "world", "music", "right", "plant", "early", "sound", "north", "every", "glass", "horse",
    "heart", "field", "round", "clear", "while", "young", "story", "point", "money", "order",
];

/// `n` records of `words` words each, no two alike by more than chance, as lines of JSON.
pub fn records(n: usize, words: usize) -> String {
    let mut random = SplitMix64::new(0x5EED);
    let mut word = || WORDS[random.below(WORDS.len())];
    let mut text = String::with_capacity(n * (words * 6 + 12));
    for _ in 0..n {
        text.push_str("{\"text\": \"");
        for i in 0..words {
            if i > 0 {
                text.push(' ');
            }
            text.push_str(word());
        }
        text.push_str("\"}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_json_and_the_same_each_time() {
        let text = records(3, 40);
        assert_eq!(text, records(3, 40));
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().all(|line| line["text"].as_str().unwrap().split(' ').count() == 40));
        assert!(lines[0] != lines[1] && lines.len() == 3);
    }
}
