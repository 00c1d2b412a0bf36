//! Data sets from the VADER ratings (Hutto and Gilbert 2014, MIT): short texts of four kinds, each with the
//! mean sentiment, −4 to 4, of about twenty people.

use super::Record;
use super::split::{Candidate, Sizes, split};
use crate::{model, packages::Pip, sys};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

const REQUIREMENT: &str = "vaderSentiment==3.3.2";
/// Inside the source distribution.
const ARCHIVE: &str = "hutto_ICWSM_2014.tar.gz";

/// File, its SHA-256, and what kind of text it holds. The words are single tokens of SmolLM2 after a space.
const FILES: &[(&str, &str, &str)] = &[
    ("tweets_GroundTruth.txt", "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f", "tweet"),
    (
        "amazonReviewSnippets_GroundTruth.txt",
        "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2",
        "product",
    ),
    (
        "movieReviewSnippets_GroundTruth.txt",
        "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
        "film",
    ),
    (
        "nytEditorialSnippets_GroundTruth.txt",
        "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e",
        "news",
    ),
];

const SIZES: Sizes = Sizes { train: 1600, held_out: 600 };

/// At most 64 tokens with a short question around them: SmolLM2 has 4 to 5 characters a token here. Below 20 characters there is often nothing to tell a kind or a sentiment by.
const CHARACTERS: std::ops::RangeInclusive<usize> = 20..=200;

/// One rated text.
pub struct Rating {
    text: String,
    mean: f32,
    domain: &'static str,
    document: u64,
}

/// All usable ratings, fetched once and checked.
pub fn ratings() -> Result<Vec<Rating>> {
    let folder = fetch()?;
    let mut ratings = Vec::new();
    for (number, (file, _, domain)) in FILES.iter().enumerate() {
        let path = folder.join(file);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for (line, row) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if !row.is_empty() {
                let rating = parse(row, domain, number as u64)
                    .with_context(|| format!("{}, line {}", path.display(), line + 1))?;
                ratings.extend(rating);
            }
        }
    }
    Ok(ratings)
}

/// Which of the four kinds a text is.
pub fn origin(ratings: &[Rating], seed: u64) -> (Vec<Record>, Vec<Record>) {
    records(ratings, seed, |rating| Some(rating.domain))
}

/// The sign of the mean, without the texts on which raters hardly agree.
pub fn sentiment(ratings: &[Rating], seed: u64) -> (Vec<Record>, Vec<Record>) {
    records(ratings, seed, |rating| match rating.mean {
        mean if mean > 0.5 => Some("positive"),
        mean if mean < -0.5 => Some("negative"),
        _ => None,
    })
}

/// Five steps of the mean; texts within 0.1 of a boundary are left out.
pub fn strength(ratings: &[Rating], seed: u64) -> (Vec<Record>, Vec<Record>) {
    records(ratings, seed, |rating| match rating.mean {
        mean if mean < -1.9 => Some("terrible"),
        mean if mean > -1.7 && mean < -0.7 => Some("bad"),
        mean if mean.abs() < 0.5 => Some("neutral"),
        mean if mean > 0.7 && mean < 1.7 => Some("good"),
        mean if mean > 1.9 => Some("great"),
        _ => None,
    })
}

/// Sentences of film reviews alone.
pub fn films(ratings: &[Rating], seed: u64) -> (Vec<Record>, Vec<Record>) {
    records(ratings, seed, |rating| (rating.domain == "film").then_some("film"))
}

fn records(
    ratings: &[Rating],
    seed: u64,
    label: impl Fn(&Rating) -> Option<&'static str>,
) -> (Vec<Record>, Vec<Record>) {
    let candidates = ratings.iter().filter_map(|rating| {
        let record = Record { text: rating.text.clone(), label: label(rating)?, domain: rating.domain };
        Some(Candidate { record, document: rating.document })
    });
    split(candidates.collect(), &SIZES, seed)
}

/// A row is `id TAB mean TAB text`; None when the text is not usable.
fn parse(row: &[u8], domain: &'static str, file: u64) -> Result<Option<Rating>> {
    let row = row.strip_suffix(b"\r").unwrap_or(row);
    let mut fields = row.splitn(3, |&byte| byte == b'\t');
    let (Some(id), Some(mean), Some(text)) = (fields.next(), fields.next(), fields.next()) else {
        bail!("a row needs three fields");
    };
    let mean: f32 = std::str::from_utf8(mean)?.trim().parse().context("the mean is no number")?;
    // Ids are `document_sentence`, or the number of a text that is a document of its own.
    let id = std::str::from_utf8(id)?;
    let document: u64 = id.split('_').next().unwrap_or(id).parse().context("the id is no number")?;
    // The files mix encodings; a text whose bytes are not plain would give its file away.
    let Ok(text) = std::str::from_utf8(text) else { return Ok(None) };
    let text = clean(text);
    let usable = text.is_ascii() && CHARACTERS.contains(&text.len());
    Ok(usable.then_some(Rating { text, mean, domain, document: file << 32 | document }))
}

/// Undoes what collection did to the texts and would tell the files apart without reading them: entities
/// (tweets), doubled single quotes (film, news), runs of spaces.
fn clean(text: &str) -> String {
    let text = text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    let text = text.replace("''", "\"");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The folder with the four files, beside the models so that one cache serves both.
fn fetch() -> Result<PathBuf> {
    let folder = model::folder().join("vader-ratings");
    if FILES.iter().all(|(file, sha256, _)| is(&folder.join(file), sha256)) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let pip = Pip::find()?;
    let work = tempfile::tempdir_in(&folder)?;
    let sdist = pip.sdist(REQUIREMENT, work.path())?;
    let unpacked = work.path().join("unpacked");
    pip.untar(&sdist, &unpacked)?;
    sys::install_file(&model::find_file(&unpacked, "LICENSE.txt")?, &folder.join("LICENSE.txt"))?;
    pip.untar(&model::find_file(&unpacked, ARCHIVE)?, &unpacked)?;
    for (file, sha256, _) in FILES {
        let found = model::find_file(&unpacked, file)?;
        if !is(&found, sha256) {
            bail!("{file} of {REQUIREMENT} is not the file this data set was made for");
        }
        sys::install_file(&found, &folder.join(file))?;
    }
    Ok(folder)
}

fn is(path: &Path, sha256: &str) -> bool {
    path.is_file() && sys::sha256(path).is_ok_and(|found| found == sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_cleaned_and_keeps_its_document() {
        let row = b"17_4\t-1.25\tthe  ''remote''  &amp; the manual are junk.\r";
        let rating = parse(row, "product", 1).unwrap().unwrap();
        assert_eq!(rating.text, "the \"remote\" & the manual are junk.");
        assert_eq!((rating.mean, rating.document), (-1.25, (1 << 32) | 17));
    }

    #[test]
    fn short_long_and_undecodable_texts_are_left_out() {
        let long = format!("1\t1.0\t{}", "long ".repeat(60));
        for row in
            [b"1\t1.0\tshort".as_slice(), b"1\t1.0\tthe weather is caf\xe9-like today", long.as_bytes()]
        {
            assert!(parse(row, "tweet", 0).unwrap().is_none());
        }
    }

    #[test]
    fn a_broken_row_is_an_error() {
        for row in [b"1\t1.0".as_slice(), b"1\thigh\ttext", b"x\t1.0\ttext"] {
            assert!(parse(row, "tweet", 0).is_err());
        }
    }

    #[test]
    fn labels_follow_the_mean() {
        let rating = |n: u64| Rating {
            text: format!("text number {n}"),
            mean: n as f32 / 100.0 - 4.0,
            domain: "film",
            document: n,
        };
        let ratings: Vec<_> = (0..800).map(rating).collect();
        let (train, _) = strength(&ratings, 1);
        assert!(train.iter().any(|record| record.label == "terrible"));
        for record in train {
            let number: String = record.text.chars().filter(char::is_ascii_digit).collect();
            let mean = number.parse::<f32>().unwrap() / 100.0 - 4.0;
            let range = match record.label {
                "terrible" => -4.0..=-1.9,
                "bad" => -1.7..=-0.7,
                "neutral" => -0.5..=0.5,
                "good" => 0.7..=1.7,
                _ => 1.9..=4.0,
            };
            assert!(range.contains(&mean), "{} {mean}", record.label);
        }
    }
}
