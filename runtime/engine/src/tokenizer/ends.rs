//! Tokens behind which a model says nothing more. A file names one, and its chats may end in another that nothing names.

use super::TokenizerSource;
use super::vocabulary::Vocabulary;

/// How models spell the end of a turn.
const TURNS: [&str; 4] = ["<end_of_turn>", "<|eot_id|>", "<|im_end|>", "<|end|>"];
/// How they spell the end of a text, or of a message to a tool.
const TEXTS: [&str; 4] = ["<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "</s>"];
/// ggml's type of a token that is no text.
const CONTROL: i32 = 3;

/// The tokens that end something.
pub(super) struct Ends {
    pub(super) all: Vec<u32>,
    /// The one that ends a turn.
    pub(super) turn: Option<u32>,
}

impl Ends {
    pub(super) fn new(source: &TokenizerSource<'_>, vocabulary: &Vocabulary) -> Self {
        let control = |id: &u32| source.token_types.get(*id as usize) == Some(&CONTROL);
        let spelled = |text: &&str| vocabulary.id_of(text).filter(control);
        let mut all: Vec<u32> = source.eos.into_iter().chain(source.eot).collect();
        all.extend(TURNS.iter().chain(&TEXTS).filter_map(spelled));
        all.sort_unstable();
        all.dedup();
        // Where the file's own end of a text is how a turn ends, it says so by being spelled like one.
        let turns = || TURNS.iter().filter_map(spelled);
        let own = source.eos.filter(|&eos| turns().any(|turn| turn == eos));
        let turn = source.eot.or(own).or_else(|| turns().next()).or(source.eos);
        Self { all, turn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a file whose text ends in token 0 and whose turns end in `eot`: all ends, and that of a turn.
    fn ends(tokens: &[&str], eot: Option<u32>) -> (Vec<u32>, Option<u32>) {
        let vocabulary = Vocabulary::new(tokens).unwrap();
        let token_types = tokens.iter().map(|text| if text.starts_with('<') { CONTROL } else { 1 }).collect();
        let (tokens, eos) = (tokens.to_vec(), Some(0));
        let found =
            Ends::new(&TokenizerSource { tokens, token_types, eos, eot, ..Default::default() }, &vocabulary);
        (found.all, found.turn)
    }

    #[test]
    fn turns_end_as_models_spell_it() {
        assert_eq!(ends(&["<|im_end|>", "<|endoftext|>", "a"], None), (vec![0, 1], Some(0)));
        assert_eq!(ends(&["<eos>", "<bos>", "<end_of_turn>"], None), (vec![0, 2], Some(2)));
        assert_eq!(ends(&["</s>", "a", "<other>"], Some(2)), (vec![0, 2], Some(2)));
        assert_eq!(ends(&["</s>", "a"], None), (vec![0], Some(0)));
        // What is spelled like one and is text is none.
        let (tokens, eos) = (vec!["x", "<|im_end|>"], Some(0));
        let vocabulary = Vocabulary::new(&tokens).unwrap();
        let source = TokenizerSource { tokens, token_types: vec![1, 1], eos, ..Default::default() };
        assert_eq!(Ends::new(&source, &vocabulary).all, [0]);
    }
}
