//! How errors are told: the closed text, which names its code, and three fixed paraphrases (specification 6.7).

use crate::code::Code;
use crate::tellings::{PARAPHRASES, TELLINGS, Telling};

impl Code {
    /// What a student with this error does, in a few words.
    pub fn description(self) -> &'static str {
        self.telling().0
    }

    /// The closed text: the code's number and its description, as in "E05 adds both parts".
    pub fn closed(self) -> String {
        format!("E{:02} {}", self.number(), self.description())
    }

    /// The same in full sentences.
    pub fn paraphrases(self) -> &'static [&'static str; PARAPHRASES] {
        &self.telling().1
    }

    /// The code that `text` tells: by its closed text, its number alone, its description or a paraphrase. Case,
    /// spaces and a last full stop do not count.
    pub fn read(text: &str) -> Option<Self> {
        let text = plain(text);
        Self::ALL.into_iter().find(|code| {
            let (number, description) = (format!("e{:02}", code.number()), code.description());
            let closed = text.strip_prefix(&number).map(str::trim_start);
            closed.is_some_and(|rest| rest.is_empty() || rest == description)
                || text == description
                || code.paraphrases().iter().any(|told| text.eq_ignore_ascii_case(told.trim_end_matches('.')))
        })
    }

    const fn telling(self) -> &'static Telling {
        &TELLINGS[self.number() - 1]
    }
}

/// Longest text that is compared, in characters: twice the longest telling.
const LONGEST: usize = 256;

fn plain(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.trim_end_matches('.').chars().take(LONGEST).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_text_leads_back_to_its_code() {
        for code in Code::ALL {
            for text in code.paraphrases().iter().map(|text| (*text).to_owned()).chain([code.closed()]) {
                assert_eq!(Code::read(&text), Some(code), "{text}");
                assert_eq!(
                    Code::read(&format!("  {}\n", text.trim_end_matches('.').to_uppercase())),
                    Some(code)
                );
                assert!(text.len() < LONGEST / 2, "{text}");
            }
            assert_eq!(Code::read(&format!("E{:02}", code.number())), Some(code));
        }
    }

    #[test]
    fn descriptions_are_in_the_form_that_is_compared() {
        assert!(Code::ALL.iter().all(|code| plain(code.description()) == code.description()));
    }

    #[test]
    fn no_two_errors_are_told_alike() {
        let texts: BTreeSet<&str> = Code::ALL
            .iter()
            .flat_map(|code| code.paraphrases().iter().copied().chain([code.description()]))
            .collect();
        assert_eq!(texts.len(), 4 * Code::ALL.len());
    }

    #[test]
    fn the_table_stands_in_the_order_of_the_codes() {
        assert_eq!(Code::AddBoth.closed(), "E05 adds both parts");
        assert_eq!(Code::ConstMul.closed(), "E39 takes a constant difference for a constant ratio");
        assert_eq!(Code::DropNeg.description(), "loses the minus sign of the coefficient");
    }

    #[test]
    fn other_texts_tell_no_code() {
        for text in
            ["", "E00", "E5", "E05 keeps the numerators", "E40", "E050", "5", "adds", &"E05 ".repeat(1000)]
        {
            assert_eq!(Code::read(text), None, "{text}");
        }
    }
}
