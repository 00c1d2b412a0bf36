//! The texts of all tokens, found by id and by text: sorted tables of 8 bytes a token beside the texts themselves, where
//! hash tables of strings take ten times as much.

use super::TokenizerError;

/// What tokens are called.
pub(super) struct Vocabulary {
    /// The texts of all tokens, one after another.
    text: String,
    /// Where each token's text ends.
    ends: Vec<u32>,
    /// Ids by text.
    by_text: Vec<u32>,
}

impl Vocabulary {
    /// From texts by id.
    pub(super) fn new(tokens: &[&str]) -> Result<Self, TokenizerError> {
        let total: usize = tokens.iter().map(|t| t.len()).sum();
        if u32::try_from(total.max(tokens.len())).is_err() {
            return Err(TokenizerError::damaged("more than 4 GiB of tokens"));
        }
        let (mut text, mut ends) = (String::with_capacity(total), Vec::with_capacity(tokens.len()));
        for token in tokens {
            text.push_str(token);
            ends.push(text.len() as u32);
        }
        let mut by_text: Vec<u32> = (0..tokens.len() as u32).collect();
        by_text.sort_unstable_by_key(|&id| (tokens[id as usize], id));
        for pair in by_text.windows(2) {
            if tokens[pair[0] as usize] == tokens[pair[1] as usize] {
                let what = format!("tokens {} and {} are the same text", pair[0], pair[1]);
                return Err(TokenizerError::damaged(what));
            }
        }
        Ok(Self { text, ends, by_text })
    }

    /// Number of tokens.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a token.
    pub(super) fn token(&self, id: u32) -> Option<&str> {
        let end = *self.ends.get(id as usize)? as usize;
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before as usize] as usize);
        self.text.get(start..end)
    }

    /// The token of a text.
    pub(super) fn id_of(&self, text: &str) -> Option<u32> {
        let found = self.by_text.binary_search_by(|&id| self.token(id).unwrap_or_default().cmp(text));
        found.ok().map(|at| self.by_text[at])
    }

    /// Ids in the order of their texts.
    pub(super) fn by_text(&self) -> &[u32] {
        &self.by_text
    }
}
