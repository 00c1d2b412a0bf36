//! What became of the examples of each label, for records, scripts and people.

use sprig_learn::confusion::Confusion;
use sprig_learn::data::DataSet;
use sprig_report::by_label::{ByLabel, MOST_MISTAKES, Mistaken, OfLabel, Wrong};
use std::fmt::Write as _;

/// Labels that people are shown; of more, those with the lowest F1.
const SHOWN: usize = 20;
/// Mistakes that people are shown.
const MISTAKES: usize = 5;
/// Columns of a label's name.
const NAME: usize = 24;

/// What `confusion` says of `data`, by the labels' names.
pub fn by_label(confusion: &Confusion, data: &DataSet) -> Option<ByLabel> {
    let names = data.labels()?.names();
    let label = |(name, found): (&String, sprig_learn::confusion::OfLabel)| OfLabel {
        label: name.clone(),
        n: found.n,
        given: found.given,
        right: found.right,
        f1: found.f1(),
    };
    let mistaken = |found: sprig_learn::confusion::Mistaken| Mistaken {
        label: names[found.label].clone(),
        given: names[found.given].clone(),
        n: found.n.into(),
    };
    let wrong = |found: &sprig_learn::confusion::Wrong| Wrong {
        record: found.example as u64 + 1,
        label: names[found.label].clone(),
        given: names[found.given].clone(),
        loss: found.loss,
    };
    Some(ByLabel {
        labels: names.iter().zip(confusion.labels()).map(label).collect(),
        mistakes: confusion.mistakes(MOST_MISTAKES).into_iter().map(mistaken).collect(),
        macro_f1: confusion.macro_f1(),
        dearest: confusion.dearest().iter().map(wrong).collect(),
    })
}

/// A table for people, and what was mistaken most.
pub fn table(found: &ByLabel) -> String {
    let mut shown: Vec<&OfLabel> = found.labels.iter().collect();
    let left = shown.len().saturating_sub(SHOWN);
    if left > 0 {
        shown.sort_by(|a, b| a.f1.total_cmp(&b.f1));
        shown.truncate(SHOWN);
    }
    let share = |of: Option<f64>| of.map_or_else(|| "–".to_owned(), |share| format!("{:.1}", 100.0 * share));
    let mut text =
        format!("{:NAME$} {:>7} {:>8} {:>11} {:>6}", "label", "n", "recall %", "precision %", "F1");
    for label in shown {
        let _ = write!(
            text,
            "\n{:NAME$} {:>7} {:>8} {:>11} {:>6.3}",
            short(&label.label),
            label.n,
            share(label.recall()),
            share(label.precision()),
            label.f1
        );
    }
    if left > 0 {
        let _ = write!(text, "\n({left} labels with a higher F1 are left out; --json has all)");
    }
    let _ = write!(text, "\nmacro F1 {:.3}", found.macro_f1);
    let mistakes = found.mistakes.iter().take(MISTAKES);
    let mistakes: Vec<_> = mistakes.map(|m| format!("{} for {} ({})", m.given, m.label, m.n)).collect();
    if !mistakes.is_empty() {
        let _ = write!(text, "; answered most often in place of another: {}", mistakes.join(", "));
    }
    let dearest = found.dearest.iter().take(MISTAKES);
    let dearest: Vec<_> = dearest.map(|w| format!("{} ({} for {})", w.record, w.given, w.label)).collect();
    if !dearest.is_empty() {
        let _ = write!(text, "\nrecords it was surest of in error: {}", dearest.join(", "));
    }
    text
}

/// A name in at most [`NAME`] characters.
fn short(name: &str) -> String {
    match name.chars().count() > NAME {
        true => name.chars().take(NAME - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(labels: usize) -> ByLabel {
        let label = |i: usize| OfLabel {
            label: format!("label-{i:03}"),
            n: 10,
            given: 10,
            right: 10 - i as u64 % 10,
            f1: 1.0 - (i % 10) as f64 / 10.0,
        };
        let mistakes = vec![Mistaken { label: "label-009".into(), given: "label-001".into(), n: 9 }];
        ByLabel { labels: (0..labels).map(label).collect(), mistakes, macro_f1: 0.55, dearest: Vec::new() }
    }

    #[test]
    fn few_labels_are_shown_in_order_and_of_many_the_worst() {
        let few = table(&found(3));
        let lines: Vec<_> = few.lines().collect();
        assert_eq!(lines.len(), 5, "{few}");
        assert_eq!(lines[2], "label-001                     10     90.0        90.0  0.900");
        assert_eq!(
            lines[4],
            "macro F1 0.550; answered most often in place of another: label-001 for label-009 (9)"
        );
        let many = table(&found(77));
        assert!(
            many.contains("label-009 ") && !many.contains("label-000 ") && many.contains("57 labels"),
            "{many}"
        );
    }

    #[test]
    fn records_that_were_mistaken_are_named_by_their_numbers() {
        let wrong = |record, label: &str| Wrong { record, label: label.into(), given: "b".into(), loss: 4.0 };
        let found = ByLabel { dearest: vec![wrong(17, "a"), wrong(3, "c")], ..found(3) };
        let text = table(&found);
        assert!(text.ends_with("records it was surest of in error: 17 (b for a), 3 (b for c)"), "{text}");
    }

    #[test]
    fn a_label_that_nobody_has_has_no_recall() {
        let mut found = found(1);
        found.labels[0].n = 0;
        assert!(table(&found).lines().nth(1).unwrap().contains(" – "));
    }
}
