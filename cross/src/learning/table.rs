//! Runs put together over their seeds.

use super::Run;
use crate::bench::row::number;

/// One way on one task, over its seeds.
#[derive(Clone, Debug)]
pub struct Row {
    /// The task.
    pub task: String,
    /// The way.
    pub arm: String,
    /// Records learnt from.
    pub examples: usize,
    /// Seeds.
    pub runs: usize,
    /// Mean accuracy in per cent where answers are judged; otherwise not a number.
    pub accuracy: f64,
    /// Least and greatest of the seeds.
    pub range: (f64, f64),
    /// Held-out loss in nats, a mean; none for what gives none.
    pub loss: Option<f64>,
    /// Mean accuracy of the untouched model.
    pub before: Option<f64>,
    /// Mean seconds of learning.
    pub seconds: Option<f64>,
    /// Mean passes.
    pub passes: Option<f64>,
}

/// One row for each task, number of records and way, in the order of the runs.
pub fn rows(runs: &[Run]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for run in runs {
        let same = |row: &Row| (&row.task, row.examples, &row.arm) == (&run.task, run.examples, &run.arm);
        if !rows.iter().any(same) {
            let of: Vec<&Run> = runs
                .iter()
                .filter(|r| (&r.task, r.examples, &r.arm) == (&run.task, run.examples, &run.arm))
                .collect();
            rows.push(row(&of));
        }
    }
    // By task and number of records; ways stay in their order.
    let place = |row: &Row| (runs.iter().position(|run| run.task == row.task), row.examples);
    rows.sort_by_key(place);
    rows
}

fn row(runs: &[&Run]) -> Row {
    let mean = |figure: &dyn Fn(&Run) -> Option<f64>| {
        let values: Vec<f64> = runs.iter().filter_map(|run| figure(run)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let accuracies: Vec<f64> = runs.iter().filter_map(|run| run.after.accuracy).map(|a| 100.0 * a).collect();
    let end = |pick: fn(f64, f64) -> f64| accuracies.iter().copied().reduce(pick).unwrap_or(f64::NAN);
    Row {
        task: runs[0].task.clone(),
        arm: runs[0].arm.clone(),
        examples: runs[0].examples,
        runs: runs.len(),
        accuracy: mean(&|run| run.after.accuracy).map_or(f64::NAN, |a| 100.0 * a),
        range: (end(f64::min), end(f64::max)),
        loss: mean(&|run| run.after.loss),
        before: mean(&|run| run.before.as_ref()?.accuracy).map(|a| 100.0 * a),
        seconds: mean(&|run| run.seconds),
        passes: mean(&|run| run.passes),
    }
}

/// The rows for a terminal, as a table that documents can take over.
pub fn text(rows: &[Row]) -> String {
    let mut text =
        "| task | records | way | accuracy, % (least to greatest seed) | loss | seconds | passes |\n\
                    |---|---|---|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        let figure = |value: Option<f64>| value.map_or_else(String::new, number);
        let (low, high) = row.range;
        let accuracy = match row.accuracy.is_nan() {
            true => String::new(),
            false if row.runs > 1 => format!("{:.1} ({low:.1} to {high:.1})", row.accuracy),
            false => format!("{:.1}", row.accuracy),
        };
        text.push_str(&format!(
            "| {} | {} | {} | {accuracy} | {} | {} | {} |\n",
            row.task,
            row.examples,
            row.arm,
            row.loss.map_or_else(String::new, |loss| format!("{loss:.3}")),
            figure(row.seconds),
            figure(row.passes)
        ));
    }
    text
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::sprig::Evaluation;

    pub fn run(task: &str, arm: &str, examples: usize, seed: u64, accuracy: f64) -> Run {
        let judged = |accuracy| Evaluation {
            n: 100,
            loss: Some(0.5),
            accuracy: Some(accuracy),
            interval: None,
            answered: None,
        };
        Run {
            task: task.to_owned(),
            arm: arm.to_owned(),
            examples,
            seed,
            after: judged(accuracy),
            before: Some(judged(0.25)),
            seconds: Some(10.0 * seed as f64),
            passes: Some(800.0),
            peak_bytes: Some(1),
            course: vec![(400.0, 50.0 * accuracy), (800.0, 100.0 * accuracy)],
        }
    }

    #[test]
    fn seeds_become_means_and_ranges() {
        let runs = [
            run("b", "read-out", 100, 1, 0.5),
            run("b", "read-out", 25, 1, 0.25),
            run("a", "read-out", 100, 1, 0.75),
            run("b", "read-out", 100, 2, 0.75),
        ];
        let rows = rows(&runs);
        let names: Vec<_> = rows.iter().map(|row| (row.task.as_str(), row.examples)).collect();
        assert_eq!(names, [("b", 25), ("b", 100), ("a", 100)]);
        assert_eq!((rows[1].accuracy, rows[1].range, rows[1].runs), (62.5, (50.0, 75.0), 2));
        assert_eq!((rows[1].seconds, rows[1].before, rows[1].loss), (Some(15.0), Some(25.0), Some(0.5)));
        let text = text(&rows);
        assert!(text.contains("| b | 100 | read-out | 62.5 (50.0 to 75.0) | 0.500 | 15.0 | 800 |"), "{text}");
        assert!(text.contains("| a | 100 | read-out | 75.0 | 0.500 |"), "{text}");
    }
}
