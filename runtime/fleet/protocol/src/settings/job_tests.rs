//! Jobs of this program, of earlier and of later ones.

use super::*;
use crate::settings::Mode;

fn job() -> JobSettings {
    let labels = vec!["a".to_owned(), "b".to_owned()];
    let layers = Some("22..30".parse().unwrap());
    let table = TrainTable { labels, layers, mode: Mode::PerEpoch, ..TrainTable::default() };
    JobSettings::new("ab".repeat(32), Train::new(table).unwrap())
}

/// What a program of two formats later would announce, with these lines more: `head` before all, `train` under `[train]`.
fn later(head: &str, train: &str) -> String {
    format!("{head}{}", job().to_text().replacen("[train]\n", &format!("[train]\n{train}"), 1))
}

#[test]
fn a_job_travels_as_text() {
    let job = job();
    assert_eq!(JobSettings::from_text(&job.to_text()).unwrap(), job);
    assert_eq!(JobSettings::announced(&job.to_text()).unwrap(), (job.clone(), Vec::new()));
    // Where the coordinator has its first adapter is not for others to know.
    let warm = TrainTable { init: Some("secret.gguf".into()), ..TrainTable::from(job.train.clone()) };
    let warm = JobSettings { train: Train::new(warm).unwrap(), ..job.clone() };
    assert_eq!(warm.to_text(), job.to_text());
    assert!(JobSettings::from_text("model = 1").unwrap_err().to_string().contains("the fleet's job"));
}

#[test]
fn what_a_later_job_says_beside_the_training_is_left_out_and_named() {
    let text = later("format = 5\n", "colour = \"red\"\n") + "wobble = 1\n[train.dream]\ndepth = 2\n";
    let (found, unknown) = JobSettings::announced(&text).unwrap();
    assert_eq!(found, job());
    assert_eq!(unknown, ["train.colour", "train.dream", "train.server.wobble"]);
    // Without leave, nothing is left out.
    let error = JobSettings::announced(&later("", "colour = \"red\"\n")).unwrap_err().to_string();
    assert!(error.contains("unknown field `colour`") && error.contains("upgraded"), "{error}");
    // A ledger is gone on with by a program that knows all it says.
    let error = JobSettings::from_text(&text).unwrap_err().to_string();
    assert!(error.contains("unknown field `colour`"), "{error}");
}

#[test]
fn what_changes_the_training_is_refused_by_name() {
    let text = later("format = 6\nleast = 5\n", "colour = \"red\"\n");
    let error = JobSettings::announced(&text).unwrap_err().to_string();
    assert!(error.contains("format 5") && error.contains("up to format 4"), "{error}");
    assert!(error.contains("train.colour") && error.contains("upgrade sprig on this device"), "{error}");
    // A reader of the fifth format knows enough; one of the sixth knows it all, and finds that it does not.
    assert_eq!(JobSettings::announced_to(&text, 5).unwrap().1, ["train.colour"]);
    assert!(JobSettings::announced_to(&text, 6).is_err());
    // A new word for an old key cannot be left out.
    let text = later("format = 5\n", "").replace("mode = \"per-epoch\"", "mode = \"per-moon\"");
    let error = JobSettings::announced(&text).unwrap_err().to_string();
    assert!(error.contains("per-moon") && error.contains("upgrade"), "{error}");
    for text in ["", "format = \"x\"", "format = 9\nleast = 1", "["] {
        assert!(JobSettings::announced(text).is_err(), "{text}");
    }
}

#[test]
fn a_job_asks_for_the_formats_of_what_it_says() {
    let later: &[Later] = &[("train.colour", 2, false), ("train.dream.depth", 3, true), ("shape", 5, true)];
    let found = |text: &str| form(&text.parse().unwrap(), later);
    assert_eq!(found("model = \"x\"\n[train]\nlen = 3"), Form { format: 1, least: 1 });
    assert_eq!(found("[train]\ncolour = 1"), Form { format: 2, least: 1 });
    assert_eq!(found("[train]\ncolour = 1\n[train.dream]\ndepth = 1"), Form { format: 3, least: 3 });
    assert_eq!(found("shape = 1\n[train.dream]\nwidth = 1"), Form { format: 5, least: 5 });
    // No key is of a format that this program does not have, and one that no job of format 1 has says since when it is there.
    assert!(LATER.iter().all(|(_, format, _)| *format > 1));
    assert_eq!(LATER.iter().map(|(_, format, _)| *format).max().unwrap_or(1), JOB_FORMAT);
}

/// Every table of a job is one whose keys are known: another would be passed over unread.
#[test]
fn all_tables_are_known() {
    let table: Table = include_str!("golden/all.job.toml").parse().unwrap();
    fn places(table: &Table, at: &str, found: &mut Vec<String>) {
        for (key, value) in table {
            if let Value::Table(inner) = value {
                let place = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                places(inner, &place, found);
                found.push(place);
            }
        }
    }
    let mut found = ["train.readout", "train.noise", "train.flow"].map(str::to_owned).to_vec();
    places(&table, "", &mut found);
    let known = tables();
    for place in found {
        assert!(
            known.iter().any(|(at, keys)| *at == place && !keys.is_empty()),
            "{place} is not in `tables`"
        );
    }
    assert!(known::take_unknown(&mut table.clone(), "", &known).is_empty());
}

/// What a job leaves out means the same to every reader: the defaults and keys of a format never change. A key more, or
/// another default, makes another format: raise [`JOB_FORMAT`], name the key in [`LATER`], leave it unwritten where it has its
/// default, and write the new text (`SPRIG_WRITE_DEFAULTS=1`).
#[test]
fn the_defaults_of_a_format_never_change() {
    let defaults = (TrainTable::default(), ReadOut::default(), Flow::default());
    let found = format!("{defaults:#?}\n");
    let path = format!("{}/src/settings/golden/format-{JOB_FORMAT}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("SPRIG_WRITE_DEFAULTS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, kept, "the defaults are no longer those of format {JOB_FORMAT}");
    // A text that says nothing is read with these.
    let least = "model = \"x\"\n[train]\nlabels = [\"a\", \"b\"]\n";
    let labels = vec!["a".to_owned(), "b".to_owned()];
    let plain = Train::new(TrainTable { labels, ..TrainTable::default() }).unwrap();
    assert_eq!(JobSettings::from_text(least).unwrap().train, plain);
}
