//! A difference as a table for a terminal.

use super::{Diff, Pair, Seen};
use crate::words;
use sprig_budget::Bytes;
use std::fmt::{self, Display, Formatter};

impl Display for Diff {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.facts.is_empty() {
            writeln!(f, "same program, machine, model and budget")?;
        }
        let name = self.facts.iter().map(|fact| fact.name.chars().count()).max().unwrap_or(0);
        let first = self.facts.iter().map(|fact| fact.a.chars().count()).max().unwrap_or(0);
        for fact in &self.facts {
            writeln!(f, "{:name$}  {:first$}  {}", fact.name, fact.a, fact.b)?;
        }
        let wide = self.settings.iter().map(|pair| pair.setting.chars().count()).max().unwrap_or(0).max(7);
        writeln!(
            f,
            "\n{:wide$}  {:>9} {:>9} {:>6}  {:>9} {:>9} {:>6}  {:>9} {:>9} {:>6}",
            "setting", "planned", "planned", "b/a", "peak", "peak", "b/a", "s/step", "s/step", "b/a"
        )?;
        for pair in &self.settings {
            writeln!(f, "{:wide$}  {}", pair.setting, figures(pair))?;
        }
        let losses = self.settings.iter().filter(|pair| quality(pair, |seen| seen.loss).is_some());
        for pair in losses {
            let text = |of: fn(&Seen) -> Option<f64>| quality(pair, of);
            writeln!(f, "\nheld-out loss  {}", text(|seen| seen.loss).unwrap_or_default())?;
            if let Some(accuracy) = text(|seen| seen.accuracy) {
                writeln!(f, "accuracy       {accuracy}")?;
            }
        }
        for pair in self.disputed() {
            write!(f, "\nonly {} holds {}", pair.fits, pair.setting)?;
            let refused =
                [&pair.a, &pair.b].into_iter().flatten().find_map(|seen| seen.smallest_budget_bytes);
            if let Some(smallest) = refused {
                write!(f, "; the other would need {smallest}")?;
            }
        }
        if let Some(ratio) = self.mean_step_ratio() {
            write!(f, "\nsteps of b take {ratio:.2} times those of a")?;
        }
        Ok(())
    }
}

/// The columns of a setting.
fn figures(pair: &Pair) -> String {
    let sizes = |of: fn(&Seen) -> Option<Bytes>| {
        let text = |seen: &Option<Seen>| match seen {
            None => "not tried".to_owned(),
            Some(seen) => of(seen).map_or_else(|| seen.outcome.to_owned(), |bytes| bytes.to_string()),
        };
        format!("{:>9} {:>9}", text(&pair.a), text(&pair.b))
    };
    let seconds = |seen: &Option<Seen>| {
        seen.as_ref().and_then(|seen| seen.step_seconds).map_or_else(|| "–".to_owned(), words::number)
    };
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    format!(
        "{} {:>6}  {} {:>6}  {:>9} {:>9} {:>6}",
        sizes(|seen| seen.planned_bytes),
        ratio(pair.ratio.planned),
        sizes(|seen| seen.peak_bytes),
        ratio(pair.ratio.peak),
        seconds(&pair.a),
        seconds(&pair.b),
        ratio(pair.ratio.step)
    )
}

/// A figure of both, if either has it.
fn quality(pair: &Pair, of: fn(&Seen) -> Option<f64>) -> Option<String> {
    let (a, b) = (pair.a.as_ref().and_then(of), pair.b.as_ref().and_then(of));
    let text = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), words::number);
    a.or(b).map(|_| format!("{}  {}", text(a), text(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{profiled, sample};
    use crate::profile::Outcome;

    #[test]
    fn a_table_says_what_differs_and_who_holds_what() {
        let (a, mut b) = (profiled::profile(), profiled::profile());
        b.board.title = "Another board".into();
        b.points[0].outcome = Outcome::Refused { smallest_budget: Bytes::mib(400) };
        b.points.remove(1);
        let text = Diff::profiles(&a, &b).to_string();
        for words in
            ["Another board", "refused", "not tried", "only a holds 4 × 128, forward", "would need 400.0 MiB"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        let text = Diff::profiles(&a, &a).to_string();
        assert!(text.contains("same program") && text.contains("1.00 times"), "{text}");
    }

    #[test]
    fn runs_show_what_they_learnt() {
        let text = Diff::runs(&sample::record(), &sample::record()).to_string();
        assert!(text.contains("accuracy") && text.contains("held-out loss"), "{text}");
    }
}
