//! What became of the examples of each label: the confusion matrix where it can be read, and a row a label.

use crate::by_label::{ByLabel, OfLabel};
use crate::words;
use maud::{Markup, html};

/// Labels up to which the whole matrix is drawn: so many a record tells every pair of.
const DRAWN: usize = 16;
/// Mistakes that are listed where it is not.
const LISTED: usize = 20;

/// The body of the card.
pub(super) fn card(found: &ByLabel) -> Markup {
    html! {
        @if found.labels.len() <= DRAWN { (matrix(found)) }
        (rows(found))
        @if found.labels.len() > DRAWN { (mistakes(found)) }
        (dearest(found))
        p.note {
            "After training, on the held-out examples; macro F1 " (format!("{:.3}", found.macro_f1))
            " is the mean over labels. Recall is the share of a label's examples that were given it, precision the share of \
             those given it that have it."
        }
    }
}

/// Labels down, answers across, a cell as dark as its share of the row.
fn matrix(found: &ByLabel) -> Markup {
    let given = |row: &OfLabel, column: &OfLabel| {
        if row.label == column.label {
            return row.right;
        }
        let cell = found.mistakes.iter().find(|m| m.label == row.label && m.given == column.label);
        cell.map_or(0, |m| m.n)
    };
    let shade = |n: u64, of: u64| (100.0 * n as f64 / of.max(1) as f64).round() as u64;
    html! {
        div.wide { table.numbers.matrix {
            caption { "A row is what an example is, a column what it was taken for" }
            thead { tr {
                th scope="col" { "is" }
                @for column in &found.labels { th.num scope="col" { (column.label) } }
            } }
            tbody { @for row in &found.labels { tr {
                th scope="row" { (row.label) }
                @for column in &found.labels {
                    @let n = given(row, column);
                    td.num.hit[n > 0 && row.label == column.label].miss[n > 0 && row.label != column.label]
                        style=(format!("--share: {}%", shade(n, row.n))) { (words::count(n)) }
                }
            } } }
        } }
    }
}

fn rows(found: &ByLabel) -> Markup {
    let share = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), words::percent);
    html! {
        div.wide { table.numbers {
            thead { tr {
                th scope="col" { "label" } th.num scope="col" { "examples" } th.num scope="col" { "recall" }
                th.num scope="col" { "precision" } th.num scope="col" { "F1" }
            } }
            tbody { @for label in &found.labels { tr {
                th scope="row" { (label.label) }
                td.num { (words::count(label.n)) }
                td.num { (share(label.recall())) }
                td.num { (share(label.precision())) }
                td.num { (format!("{:.3}", label.f1)) }
            } } }
        } }
    }
}

fn mistakes(found: &ByLabel) -> Markup {
    html! {
        @if !found.mistakes.is_empty() {
            p { "Most often mistaken:" }
            div.wide { table.numbers {
                thead { tr { th scope="col" { "is" } th scope="col" { "taken for" } th.num scope="col" { "examples" } } }
                tbody { @for mistaken in found.mistakes.iter().take(LISTED) { tr {
                    th scope="row" { (mistaken.label) }
                    td { (mistaken.given) }
                    td.num { (words::count(mistaken.n)) }
                } } }
            } }
        }
    }
}

fn dearest(found: &ByLabel) -> Markup {
    html! {
        @if !found.dearest.is_empty() {
            p { "Records that it was surest of in error, by their numbers in the held-out data:" }
            div.wide { table.numbers {
                thead { tr {
                    th.num scope="col" { "record" } th scope="col" { "is" } th scope="col" { "taken for" }
                    th.num scope="col" { "loss" }
                } }
                tbody { @for wrong in &found.dearest { tr {
                    th.num scope="row" { (wrong.record) }
                    td { (wrong.label) }
                    td { (wrong.given) }
                    td.num { (format!("{:.2}", wrong.loss)) }
                } } }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::by_label::Mistaken;

    #[test]
    fn few_labels_make_a_matrix_and_many_a_list() {
        let few = card(&sample::by_label()).into_string();
        assert!(few.contains("class=\"num hit\" style=\"--share: 90%\">270<"), "{few}");
        assert!(
            few.contains("class=\"num miss\" style=\"--share: 10%\">30<") && !few.contains("Most often"),
            "{few}"
        );
        assert!(few.contains("surest of in error") && few.contains(">17<") && few.contains("4.25"), "{few}");
        let label = |i: usize| OfLabel { label: format!("l{i}"), n: 4, given: 4, right: 3, f1: 0.75 };
        let mistakes = vec![Mistaken { label: "l3".into(), given: "l4".into(), n: 1 }];
        let many =
            ByLabel { labels: (0..77).map(label).collect(), mistakes, macro_f1: 0.75, dearest: Vec::new() };
        let many = card(&many).into_string();
        assert!(many.contains("Most often") && !many.contains("--share"), "{many}");
        assert!(!many.contains("surest of in error"), "{many}");
    }

    #[test]
    fn a_label_without_examples_has_no_shares() {
        let mut found = sample::by_label();
        (found.labels[0].n, found.labels[0].given) = (0, 0);
        assert!(card(&found).into_string().contains("–"));
    }
}
