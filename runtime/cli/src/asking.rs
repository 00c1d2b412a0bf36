//! Which question a command asks: as its flags say, or as the adapter was trained. A model that learnt to answer one
//! question is not to be judged by its answers to another.

use crate::args::RecordArgs;
use crate::exit::{Exit, Failure};
use crate::files::{scratch, shown};
use crate::output;
use sprig_engine::adapter::Asking;
use sprig_learn::data::{DataSet, Labels, LoadOptions, OPTIONS, Overflow, TEXT, Task};
use sprig_learn::recipe::Len;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// How records become tokens of up to `len`, as the flags say.
///
/// # Errors
/// Flags that make no sense together.
pub fn by_flags(args: &RecordArgs, len: Len) -> Result<LoadOptions, Failure> {
    let wrong = |message: String| Err(Failure::new(Exit::Usage, message));
    if !args.labels.is_empty() {
        if args.task != Task::Label {
            return wrong(format!("--labels belongs to --task label, not to --task {}", args.task));
        }
        let names: BTreeSet<_> = args.labels.iter().map(String::as_str).collect();
        if names.len() < 2 || names.iter().any(|name| name.trim().is_empty()) {
            return wrong(format!("--labels {} has to name two or more labels", args.labels.join(",")));
        }
    }
    let options = args.records(len).load_options();
    let overflow = Some(Overflow::into(scratch()));
    let progress = Some(output::reading as fn(usize));
    Ok(LoadOptions { columns: Some(args.columns()), overflow, progress, ..options })
}

/// The same as the adapter in a file was trained, if that says how; a flag that was given has to agree.
///
/// # Errors
/// A flag that contradicts the adapter, by its name.
pub fn by_adapter(
    args: &RecordArgs,
    len: Len,
    adapter: Option<(&Path, &Asking)>,
) -> Result<LoadOptions, Failure> {
    let flags = by_flags(args, len)?;
    let Some((path, asking)) = adapter else { return Ok(flags) };
    let trained = LoadOptions::asked(asking, len.as_usize())?;
    let differs = |flag: &dyn Display, was: String| {
        let path = path.display();
        let message = format!("{flag} contradicts {path}, which was trained {was}; leave the flag out");
        Err(Failure::new(Exit::Usage, message))
    };
    let named = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    if flags.task != trained.task {
        return differs(&format_args!("--task {}", flags.task), format!("with --task {}", trained.task));
    }
    if flags.raw && !trained.raw {
        return differs(&"--raw", "without it".to_owned());
    }
    if let Some(own) = flags.template.as_deref()
        && trained.task == Task::Label
        && trained.template.as_deref() != Some(own)
    {
        let was = trained.template.unwrap_or_default();
        return differs(&format_args!("--template {own:?}"), format!("with {was:?}"));
    }
    if let Some(style) = args.label_style.filter(|style| *style != trained.label_style) {
        let was = format!("with {}", trained.label_style);
        return differs(&format_args!("--label-style {style}"), was);
    }
    if !flags.label_names.is_empty() && named(&flags.label_names) != named(&trained.label_names) {
        let was = format!("with {}", trained.label_names.join(","));
        return differs(&format_args!("--labels {}", flags.label_names.join(",")), was);
    }
    if let Some((name, word)) = flags.label_words.iter().find(|pair| !trained.label_words.contains(pair)) {
        let was = trained.label_words.iter().find(|(n, _)| n == name);
        let was = was.map_or_else(|| "without that label".to_owned(), |(n, w)| format!("with {n}={w}"));
        return differs(&format_args!("--label-tokens {name}={word}"), was);
    }
    let LoadOptions { columns, overflow, progress, .. } = flags;
    Ok(LoadOptions { columns, overflow, progress, ..trained })
}

/// Whether data are read for their labels before anything else.
pub fn reads_labels(options: &LoadOptions) -> bool {
    options.task == Task::Label && options.label_names.is_empty()
}

/// What people should know of the data in the files `paths` before they are used: where the labels come from if they are
/// its own, and that texts are cut to `len` tokens.
pub fn told_of(paths: &[PathBuf], data: &DataSet, own_labels: bool, len: u32) -> Vec<String> {
    let (path, mut told) = (shown(paths), Vec::new());
    if let Some(labels) = data.labels().filter(|_| own_labels) {
        let names = labels.told();
        told.push(format!(
            "the labels are those of {path}: {names}; name all with --labels where it may lack some"
        ));
    }
    told.extend(cut(data, len).map(|cut| format!("{path}: {cut}")));
    told
}

/// That labels are answered by other words than their names, if any are.
pub fn renamed(labels: &Labels) -> Option<String> {
    const SHOWN: usize = 6;
    let n = labels.renamed().count();
    let mut told: Vec<_> =
        labels.renamed().take(SHOWN).map(|(name, word)| format!("{name}={word}")).collect();
    told.extend((n > SHOWN).then(|| "...".to_owned()));
    (n > 0).then(|| format!("{n} labels are answered by words of their own: {}", told.join(", ")))
}

/// That texts are cut to `len` tokens, if any are, and which length would keep most.
pub fn cut(data: &DataSet, len: u32) -> Option<String> {
    let (cut, n) = (data.cut(), data.len());
    let (most, share) = match data.len_for(0.95) {
        most if most > len as usize => (most, "95 %"),
        _ => (data.len_for(1.0), "all"),
    };
    (cut > 0).then(|| format!("{cut} of {n} texts are cut to {len} tokens; --len {most} would keep {share}"))
}

/// How texts are asked about that the adapter in the file `path` is to label.
///
/// # Errors
/// It says nothing of labels.
pub fn labelling(path: Option<&Path>, asking: Option<&Asking>, len: usize) -> Result<LoadOptions, Failure> {
    trained_labels("--label", path, asking, len)
}

/// The same for `what` needs such an adapter.
pub fn trained_labels(
    what: &str,
    path: Option<&Path>,
    asking: Option<&Asking>,
    len: usize,
) -> Result<LoadOptions, Failure> {
    let wrong = |message: String| Err(Failure::new(Exit::Usage, message));
    let needs = format!("{what} needs an adapter that was trained with --task label");
    let Some(path) = path else { return wrong(format!("{needs}; name it with --adapter")) };
    let path = path.display();
    match asking {
        None => wrong(format!(
            "{needs}, and {path} does not say how it was trained; ask it with --prompt and --choices"
        )),
        Some(asking) if asking.labels.is_empty() => wrong(format!(
            "{needs}, and {path} was trained with --task {}; ask it with --prompt",
            asking.task
        )),
        Some(asking) => Ok(LoadOptions::asked(asking, len)?),
    }
}

/// What to say before a prompt is asked as it is, with these choices, of an adapter that learnt to answer something else.
pub fn warning(path: &Path, asking: &Asking, prompt: &str, raw: bool, choices: &[String]) -> Option<String> {
    let path = path.display();
    if asking.labels.is_empty() {
        // What was trained with choices has their letters for answers.
        let letters = asking.task == Task::Choice.name() && choices.iter().any(|c| c.chars().count() > 1);
        return letters.then(|| {
            format!(
                "{path} was trained to answer with the letter of a choice, and is asked for another answer"
            )
        });
    }
    let template = asking.template.as_deref()?;
    let words: BTreeSet<_> = asking.labels.iter().map(|(_, word)| word).collect();
    let same = words == choices.iter().collect() && raw == asking.raw && around(template, prompt);
    (!same).then(|| {
        let (way, names) = (if asking.raw { "raw" } else { "as a chat message" }, asking.labels.iter());
        let names: Vec<_> = names.map(|(name, _)| name.as_str()).collect();
        format!(
            "{path} was trained to answer {template:?}, {way}, with one of {}, and is asked another question; give the \
             text alone with --label",
            names.join(", ")
        )
    })
}

/// Whether `prompt` is a text with the words of `template` around it.
fn around(template: &str, prompt: &str) -> bool {
    let Some((lead, trail)) = template.split_once(TEXT) else { return false };
    // What stands for the options is known by what is around them.
    let begins = |part: &str| part.split(OPTIONS).next().is_some_and(|start| prompt.contains(start));
    let ends = trail.rsplit(OPTIONS).next().is_some_and(|end| prompt.ends_with(end));
    begins(lead) && begins(trail) && ends
}
