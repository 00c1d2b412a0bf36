//! A word for each label, so that no two of them begin with the same token: what a model answers with is told apart by its
//! first token alone.

use std::collections::{HashMap, HashSet};

/// Words for the labels `names`: `words` as they are where they begin unlike all others or are in `given`. Of the others each
/// gets the first word of its name that no other name has and that begins unlike all, or else a letter or two; where nothing is
/// left a label keeps its word. `token` is what an answer begins with.
pub(super) fn told_apart(
    names: &[String],
    mut words: Vec<String>,
    given: impl Fn(&str) -> bool,
    token: impl Fn(&str) -> Option<u32>,
) -> Vec<String> {
    let first: Vec<Option<u32>> = words.iter().map(|word| token(word)).collect();
    let mut counts = HashMap::<u32, usize>::new();
    first.iter().flatten().for_each(|&token| *counts.entry(token).or_default() += 1);
    let alone = |i: usize| given(&names[i]) || first[i].is_some_and(|token| counts[&token] == 1);
    let clashing: Vec<usize> = (0..names.len()).filter(|&i| !alone(i)).collect();
    let mut taken: HashSet<u32> = (0..names.len()).filter(|&i| alone(i)).filter_map(|i| first[i]).collect();
    let mut rarity = HashMap::<&str, usize>::new();
    for name in names {
        let mut own: Vec<&str> = parts(name).collect();
        own.sort_unstable();
        own.dedup();
        own.into_iter().for_each(|part| *rarity.entry(part).or_default() += 1);
    }
    let mut letters = letters();
    for i in clashing {
        let mut own = parts(&names[i]).filter(|part| rarity[part] == 1);
        let mut free = |word: &str| token(word).filter(|token| taken.insert(*token)).is_some();
        let found = own.find(|part| free(part)).map(str::to_owned);
        if let Some(word) = found.or_else(|| letters.find(|letters| free(letters))) {
            words[i] = word;
        }
    }
    words
}

/// The words of a name: letters and digits that stand together, anew where a large letter follows a small one.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_alphanumeric()).flat_map(|run| {
        let mut begins = vec![0];
        let pairs = run.char_indices().zip(run.chars().skip(1));
        begins.extend(
            pairs
                .filter(|((_, a), b)| a.is_lowercase() && b.is_uppercase())
                .map(|((at, a), _)| at + a.len_utf8()),
        );
        let ends: Vec<usize> = begins.iter().skip(1).copied().chain([run.len()]).collect();
        begins
            .into_iter()
            .zip(ends)
            .map(|(from, to)| &run[from..to])
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
    })
}

/// A to Z, then AA to ZZ.
fn letters() -> impl Iterator<Item = String> {
    let two = ('A'..='Z').flat_map(|a| ('A'..='Z').map(move |b| format!("{a}{b}")));
    ('A'..='Z').map(String::from).chain(two)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first letter, for a token.
    fn token(word: &str) -> Option<u32> {
        word.chars().next().map(u32::from)
    }

    fn told(names: &[&str], given: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        told_apart(&names, names.clone(), |name| given.contains(&name), token)
    }

    #[test]
    fn labels_that_begin_alike_are_told_apart_by_the_rest_of_their_names() {
        assert_eq!(told(&["food", "news"], &[]), ["food", "news"]);
        assert_eq!(told(&["card_arrival", "card_linking", "other"], &[]), ["arrival", "linking", "other"]);
        assert_eq!(told(&["topic_0", "topic_1", "topic_10"], &[]), ["0", "1", "A"]);
        assert_eq!(told(&["getHome", "getWork"], &[]), ["Home", "Work"]);
        // What begins alone, and what was given, stays as it is; nothing else begins so.
        assert_eq!(told(&["arms", "card_arrival", "card_bill"], &[]), ["arms", "A", "bill"]);
        assert_eq!(told(&["card_a", "card_b"], &["card_a"]), ["card_a", "b"]);
    }

    #[test]
    fn names_without_words_get_letters_and_none_twice() {
        assert_eq!(told(&["xa", "xb", "A"], &[]), ["xa", "B", "A"]);
        assert_eq!(told(&["€1", "€2", "€"], &[]), ["1", "2", "A"]);
        let many: Vec<String> = (0..60).map(|i| format!("x{i:02}")).collect();
        let told = told_apart(
            &many,
            many.clone(),
            |_| false,
            |word| Some(word.bytes().fold(7, |h, b| h * 31 + u32::from(b)) % 400),
        );
        let tokens: HashSet<_> =
            told.iter().map(|word| word.bytes().fold(7u32, |h, b| h * 31 + u32::from(b)) % 400).collect();
        assert_eq!(tokens.len(), 60);
        // Where nothing is left they stay as they are, for others to refuse.
        assert_eq!(told_apart(&many[..2], many[..2].to_vec(), |_| false, |_| Some(3)).len(), 2);
    }

    #[test]
    fn parts_of_a_name_are_its_words() {
        let of = |name| parts(name).collect::<Vec<_>>();
        assert_eq!(of("card_payment-fee charged?"), ["card", "payment", "fee", "charged"]);
        assert_eq!(of("getHTTPCode2"), ["get", "HTTPCode2"]);
        assert_eq!(of("über_Straße"), ["über", "Straße"]);
        assert_eq!((of("€"), of("")), (vec![], vec![]));
    }
}
