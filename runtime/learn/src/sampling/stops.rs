//! Words that end an answer: found in a text that comes in pieces, before any of them is shown.

/// Stops of an answer at most.
pub const MOST_STOPS: usize = 16;
/// Bytes of a stop at most: so much of an answer may be held back.
pub const MOST_STOP_BYTES: usize = 256;

/// Looks for words that end a text. What may become one is held back until it is known.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    each: Vec<String>,
    held: String,
}

impl Stops {
    /// Any of these ends a text.
    ///
    /// # Errors
    /// There are too many, or one is empty or too long.
    pub fn new(each: &[String]) -> Result<Self, String> {
        if each.len() > MOST_STOPS {
            return Err(format!("{} stops; {MOST_STOPS} may be given", each.len()));
        }
        if let Some(stop) = each.iter().find(|stop| stop.is_empty() || stop.len() > MOST_STOP_BYTES) {
            return Err(format!("a stop of {} bytes; 1 to {MOST_STOP_BYTES} may be given", stop.len()));
        }
        Ok(Self { each: each.to_vec(), held: String::new() })
    }

    /// Takes the next piece; the text that is certain now, and whether a stop ended it there. The stop itself is no part of it.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let first = self.each.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = first {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let begins = |at: &usize| self.each.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let longest = self.each.iter().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest);
        let places = self.held.char_indices().map(|(at, _)| at).filter(|at| *at >= from);
        let certain = places.into_iter().find(begins).unwrap_or(self.held.len());
        let rest = self.held.split_off(certain);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What is held back, at the end of a text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let (mut stops, mut shown) = (Stops::new(&stops).unwrap(), Vec::new());
        for piece in pieces {
            let (text, ended) = stops.push(piece);
            shown.push(text);
            if ended {
                return (shown, true);
            }
        }
        shown.push(stops.finish());
        (shown, false)
    }

    #[test]
    fn a_stop_over_several_pieces_is_never_shown() {
        let (shown, ended) = written(&["\n\nQ:", "END"], &["one\n", "\nQ", "ed.", " E", "N", "D more"]);
        assert_eq!((shown, ended), (["one", "", "\n\nQed.", " ", "", ""].map(str::to_owned).to_vec(), true));
        assert_eq!(written(&["äö"], &["xä", "y", "ä"]).0.concat(), "xäyä");
        assert!(Stops::new(&[String::new()]).is_err());
        assert!(Stops::new(&["x".repeat(MOST_STOP_BYTES + 1)]).is_err());
        assert!(Stops::new(&vec!["x".to_owned(); MOST_STOPS + 1]).is_err());
    }

    proptest! {
        /// However a text is cut, what is shown is what stands before the first stop in it.
        #[test]
        fn pieces_change_nothing(pieces in proptest::collection::vec("[abä]{0,3}", 0..12), stops in proptest::collection::vec("[abä]{1,4}", 0..3)) {
            let whole = pieces.concat();
            let end = stops.iter().filter_map(|stop| whole.find(stop.as_str())).min();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let cut: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (shown, ended) = written(&stops, &cut);
            prop_assert_eq!(ended, end.is_some());
            let shown = shown.concat();
            // Of overlapping stops another may be whole first.
            prop_assert!(whole.starts_with(&shown));
            prop_assert!(stops.iter().all(|stop| !shown.contains(stop)));
            if end.is_none() {
                prop_assert_eq!(shown, whole);
            }
        }
    }
}
