//! `sprig data check`: what is in data before anything is learnt from them.

use crate::args::{CheckArgs, DataArgs, DataCommand};
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::files::shown;
use crate::output::line;
use serde_json::{Value, json};
use sprig_engine::gguf::Mapped;
use sprig_learn::data::{LoadOptions, MAX_LABELS, Sample, Survey, Task, Tokens};
use sprig_run::Base;

/// Most labels that are listed, the most frequent first.
const LISTED: usize = 40;
/// Columns of the longest bar.
const BAR: usize = 40;
/// Characters of a part of a sample, more of which is left out in its middle.
const PART: usize = 1200;

pub fn run(args: &DataArgs) -> Result<Exit, Failure> {
    let DataCommand::Check(args) = &args.what;
    check(args)
}

fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let options = |task| asking::by_flags(&args.records(task), args.len);
    let task = match args.task {
        Some(task) => task,
        None => Survey::task(&args.data, &options(Task::Lm)?)?,
    };
    let options = options(task)?;
    let survey = Survey::of(&args.data, &options)?;
    let too_many = survey.labels.len() > MAX_LABELS;
    let tokens = match &args.model {
        Some(path) if survey.records > 0 && !too_many => {
            let map = Mapped::open(path)?;
            let base = Base::open(&map)?;
            base.check_length(options.len)?;
            let names = survey.labels.keys().cloned().collect();
            let options = LoadOptions { rows: base.geometry.vocabulary, label_names: names, ..options };
            Some(Tokens::of(&args.data, &options, &base.tokenizer()?)?)
        }
        _ => None,
    };
    match args.json {
        true => line(described(task, args, &survey, tokens.as_ref()))?,
        false => tell(task, args, &survey, tokens.as_ref())?,
    }
    let wrong = survey.wrong + tokens.as_ref().map_or(0, |tokens| tokens.wrong);
    Ok(if wrong > 0 || survey.records == 0 || too_many { Exit::BadFile } else { Exit::Done })
}

fn described(task: Task, args: &CheckArgs, survey: &Survey, tokens: Option<&Tokens>) -> Value {
    let problems = survey.problems.iter().chain(tokens.into_iter().flat_map(|tokens| &tokens.problems));
    let problems: Vec<String> = problems.map(ToString::to_string).collect();
    let tokens = tokens.map(|tokens| {
        let samples = tokens.samples.iter().map(|sample| {
            let parts = sample.parts.iter().map(|(text, learnt)| json!({ "text": text, "learnt": learnt }));
            parts.collect::<Vec<_>>()
        });
        let words = tokens.labels.as_ref().map(|labels| labels.pairs().into_iter().collect::<Vec<_>>());
        json!({
            "all": tokens.all, "longest": tokens.longest, "len": args.len, "cut": tokens.cut, "wrong": tokens.wrong,
            "len_for_95_percent": tokens.lengths.limit_for(0.95), "len_for_all": tokens.lengths.limit_for(1.0),
            "up_to": tokens.lengths.doubling(), "words": words, "first": samples.collect::<Vec<_>>(),
        })
    });
    json!({
        "task": task.name(), "records": survey.records, "wrong": survey.wrong, "problems": problems,
        "labels": survey.labels, "most_labels": MAX_LABELS, "variants": survey.variants, "duplicates": survey.duplicates,
        "contradictions": survey.contradictions, "empty": survey.empty, "all_compared": survey.compared,
        "tokens": tokens,
    })
}

fn tell(task: Task, args: &CheckArgs, survey: &Survey, tokens: Option<&Tokens>) -> Result<(), Failure> {
    line(format_args!("{}: {} records of task {task}", shown(&args.data), survey.records))?;
    if survey.wrong > 0 {
        line(format_args!("{} rows are wrong; the first:", survey.wrong))?;
        survey.problems.iter().try_for_each(|problem| line(format_args!("  {problem}")))?;
    }
    labels(survey)?;
    let among = if survey.compared { "" } else { ", among the first two million records" };
    for (n, what) in [
        (survey.duplicates, "records are the same as one before"),
        (survey.contradictions, "records have the text of one before and another label"),
    ] {
        if n > 0 {
            line(format_args!("{n} {what}{among}"))?;
        }
    }
    if survey.empty > 0 {
        line(format_args!("{} records have no text", survey.empty))?;
    }
    let Some(tokens) = tokens else {
        return match survey.records {
            0 => Ok(()),
            _ if survey.labels.len() > MAX_LABELS => Ok(()), // a model would show nothing of them
            _ => {
                line("give --model to see tokens, what would be cut, and records as the model will see them")
            }
        };
    };
    told_of_tokens(args, survey, tokens)
}

fn labels(survey: &Survey) -> Result<(), Failure> {
    let mut labels: Vec<_> = survey.labels.iter().collect();
    if labels.is_empty() {
        return Ok(());
    }
    labels.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    line(format_args!("{} labels:", labels.len()))?;
    let width = labels.iter().take(LISTED).map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(40);
    for (name, n) in labels.iter().take(LISTED) {
        line(format_args!("  {name:width$} {n:>7}"))?;
    }
    if labels.len() > LISTED {
        line(format_args!("  and {} others", labels.len() - LISTED))?;
    }
    if labels.len() == 1 {
        line("one label is nothing to choose among: add records of another")?;
    }
    if labels.len() > MAX_LABELS {
        line(format_args!(
            "these are more than {MAX_LABELS} labels, the most there may be: name the field of a class by --label-column, \
             or learn free answers with --task lm"
        ))?;
    }
    for (one, other) in &survey.variants {
        line(format_args!(
            "labels {one:?} and {other:?} differ only in case or white space: write them alike"
        ))?;
    }
    Ok(())
}

fn told_of_tokens(args: &CheckArgs, survey: &Survey, tokens: &Tokens) -> Result<(), Failure> {
    if tokens.wrong > 0 {
        line(format_args!("{} records cannot be used; the first:", tokens.wrong))?;
        tokens.problems.iter().try_for_each(|problem| line(format_args!("  {problem}")))?;
    }
    tokens.labels.as_ref().and_then(asking::renamed).map_or(Ok(()), line)?;
    line(format_args!(
        "{} tokens, {} in the longest example; examples by their tokens:",
        tokens.all, tokens.longest
    ))?;
    let doubling = tokens.lengths.doubling();
    let most = doubling.iter().map(|(_, n)| *n).max().unwrap_or(1).max(1);
    for (power, n) in doubling {
        let bar = "#".repeat((n * BAR).div_ceil(most));
        line(format_args!("  up to {power:>6} {n:>8} {bar}"))?;
    }
    let n = survey.records - tokens.wrong;
    let (len, all) = (args.len, tokens.lengths.limit_for(1.0));
    match tokens.cut {
        0 => line(format_args!("none would be cut at --len {len}; --len {all} would do"))?,
        cut => line(format_args!(
            "{cut} of {n} would be cut at --len {len}; --len {} would keep 95 %, --len {all} all",
            tokens.lengths.limit_for(0.95)
        ))?,
    }
    line("the first as the model will see them, what it learns to write between [[ and ]]:")?;
    tokens.samples.iter().enumerate().try_for_each(|(i, sample)| line(marked(i + 1, sample)))
}

fn marked(number: usize, sample: &Sample) -> String {
    let parts = sample.parts.iter().map(|(text, learnt)| {
        let text = shortened(text);
        if *learnt { format!("[[{text}]]") } else { text }
    });
    format!("--- {number}\n{}", parts.collect::<String>())
}

/// A text without its middle, where it is long.
fn shortened(text: &str) -> String {
    let n = text.chars().count();
    if n <= PART {
        return text.to_owned();
    }
    let begin: String = text.chars().take(PART / 2).collect();
    let end: String = text.chars().skip(n - PART / 2).collect();
    format!("{begin} [... {} characters ...] {end}", n - PART)
}
