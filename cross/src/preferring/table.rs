//! The table: each way on each set, a mean over its seeds.

use super::arm::Arm;
use super::claims::Claim;
use super::found::{Cell, Found, Key, Verdict};
use super::score::{Difference, Metric, difference};
use serde::Serialize;

/// A way that learnt one set, judged on one. Shares in per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it learnt,
    pub set: String,
    /// and what it was judged on.
    pub on: String,
    /// Its name.
    pub arm: String,
    /// Seeds.
    pub seeds: usize,
    /// Answers that are right.
    pub accuracy: f64,
    /// Calibration error over 15 bins, with the least and the greatest of the seeds.
    pub error: (f64, f64, f64),
    /// What a calibrated model of its confidences would show.
    pub floor: f64,
    /// The error after temperature scaling.
    pub scaled: f64,
    /// Mean confidence less accuracy.
    pub gap: f64,
    /// Area under the receiver's curve, of 1.
    pub auroc: Option<f64>,
    /// Brier score and negative log-likelihood.
    pub losses: (f64, f64),
    /// Its error less DPO's, paired.
    pub less_dpo: Option<(f64, f64, f64)>,
}

/// One row for each way of each cell.
pub fn rows(cells: &[Cell], found: &Found) -> Vec<Row> {
    let mut rows = Vec::new();
    for cell in cells {
        let mut arms: Vec<&String> = cell.ways.keys().collect();
        // The base first, then in the order of the ways.
        let place = |name: &str| {
            let all = <Arm as clap::ValueEnum>::value_variants();
            all.iter().position(|arm| arm.name() == name).map_or(0, |place| place + 1)
        };
        arms.sort_by_key(|arm| place(arm));
        rows.extend(arms.into_iter().filter_map(|arm| row(cell, arm, found)));
    }
    rows
}

fn row(cell: &Cell, arm: &str, found: &Found) -> Option<Row> {
    let ways = cell.ways.get(arm)?;
    let key = |seed: &u64| Key { set: cell.set.clone(), seed: *seed, arm: arm.to_owned() };
    let all: Vec<&Verdict> = ways.keys().filter_map(|seed| found.verdict(&key(seed), &cell.on)).collect();
    let mean =
        |of: &dyn Fn(&Verdict) -> f64| all.iter().map(|verdict| of(verdict)).sum::<f64>() / all.len() as f64;
    let errors = || all.iter().map(|verdict| 100.0 * verdict.scores.ece15);
    let ranked: Vec<f64> = all.iter().filter_map(|verdict| verdict.scores.auroc).collect();
    let dpo = cell.ways.get(Arm::Dpo.name()).filter(|_| arm != Arm::Dpo.name());
    let less = dpo.and_then(|dpo| difference(ways, &[dpo], Metric::Ece, 1));
    Some(Row {
        set: cell.set.clone(),
        on: cell.on.clone(),
        arm: arm.to_owned(),
        seeds: all.len(),
        accuracy: mean(&|v| 100.0 * v.scores.accuracy),
        error: (
            mean(&|v| 100.0 * v.scores.ece15),
            errors().fold(f64::INFINITY, f64::min),
            errors().fold(f64::NEG_INFINITY, f64::max),
        ),
        floor: mean(&|v| 100.0 * v.scores.floor15),
        scaled: mean(&|v| 100.0 * v.scaled),
        gap: mean(&|v| 100.0 * v.scores.gap),
        auroc: (!ranked.is_empty()).then(|| ranked.iter().sum::<f64>() / ranked.len() as f64),
        losses: (mean(&|v| v.scores.brier), mean(&|v| v.scores.nll)),
        less_dpo: less.map(|Difference { value, interval, .. }| {
            (100.0 * value, 100.0 * interval.0, 100.0 * interval.1)
        }),
    })
}

/// The rows for a terminal, as a table that documents can take over.
pub fn text(rows: &[Row]) -> String {
    let mut text = "| learnt | judged on | way | seeds | right, % | error, % (seeds) | floor | scaled | gap | AUROC | Brier | NLL \
                    | error less DPO's (95 %) |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        let (error, low, high) = row.error;
        let error = match row.seeds {
            1 => format!("{error:.1}"),
            _ => format!("{error:.1} ({low:.1} to {high:.1})"),
        };
        let less = row
            .less_dpo
            .map_or_else(String::new, |(value, low, high)| format!("{value:+.1} ({low:+.1} to {high:+.1})"));
        text.push_str(&format!(
            "| {} | {} | {} | {} | {:.1} | {error} | {:.1} | {:.1} | {:+.1} | {} | {:.3} | {:.3} | {less} |\n",
            row.set,
            row.on,
            row.arm,
            row.seeds,
            row.accuracy,
            row.floor,
            row.scaled,
            row.gap,
            row.auroc.map_or_else(String::new, |auroc| format!("{auroc:.3}")),
            row.losses.0,
            row.losses.1
        ));
    }
    text
}

/// What became of the claims.
pub fn claimed(claims: &[Claim]) -> String {
    let line =
        |claim: &Claim| format!("| {} | {} | {} | {} |\n", claim.id, claim.says, said(claim.held), claim.why);
    let head = "| claim | says | | by what |\n|---|---|---|---|\n".to_owned();
    head + &claims.iter().map(line).collect::<String>()
}

/// A verdict in words.
pub fn said(held: Option<bool>) -> &'static str {
    match held {
        Some(true) => "held",
        Some(false) => "not held",
        None => "not measured",
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::tests::measured;
    use super::*;

    #[test]
    fn seeds_become_rows_with_their_differences() {
        let (folder, found) = measured(&[(Arm::Dpo, 0.9), (Arm::Catto, 0.7)]);
        let cells = Cell::all(&found, folder.path()).unwrap();
        let rows = rows(&cells, &found);
        let names: Vec<_> = rows.iter().map(|row| (row.on.as_str(), row.arm.as_str(), row.seeds)).collect();
        assert_eq!(
            names,
            [("<quiz>", "DPO", 2), ("<quiz>", "CATTO", 2), ("other", "DPO", 2), ("other", "CATTO", 2)]
        );
        // Two of three right, with confidences of 90 and 70 %.
        assert!(
            (rows[0].error.0 - 23.333).abs() < 0.01 && (rows[1].error.0 - 3.333).abs() < 0.01,
            "{rows:?}"
        );
        assert_eq!(rows[0].less_dpo, None);
        assert!((rows[1].less_dpo.unwrap().0 + 20.0).abs() < 0.01, "{rows:?}");
        let text = text(&rows);
        assert!(text.contains("| <quiz> | <quiz> | DPO | 2 | 66.7 | 23.3 (23.3 to 23.3) | 5.0 |"), "{text}");
        assert!(text.contains("| <quiz> | other | CATTO | 2 | 66.7 | 3.3 (3.3 to 3.3) |"), "{text}");
        assert!(text.lines().all(|line| line.matches('|').count() == 14), "{text}");
    }

    #[test]
    fn claims_are_told_with_their_grounds() {
        let claim = |held| Claim { id: "C1", says: "less", held, why: "on 1 of 2".to_owned() };
        let text = claimed(&[claim(Some(true)), claim(Some(false)), claim(None)]);
        for said in ["| C1 | less | held | on 1 of 2 |", "| not held |", "| not measured |"] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }
}
