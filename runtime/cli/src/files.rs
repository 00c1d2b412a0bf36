//! The files of a command: what it writes is never a file that it reads, nor another that it writes; and a model, data
//! or any result of another kind that lies there already is not written over.

use crate::exit::{Exit, Failure};
use serde::de::IgnoredAny;
use sprig_engine::adapter::MERGED_KEY;
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_learn::data::{files as files_at, is_table};
use sprig_protocol::settings::DeviceSettings;
#[cfg(feature = "coordinator")]
use sprig_protocol::settings::FleetSettings;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes from which a file is recognised that is no GGUF: a record of data may be as long as a line of it.
const HEAD: u64 = 1 << 20;

/// The files of one command, as its flags name them.
#[derive(Default)]
pub struct Files {
    reads: Vec<(&'static str, PathBuf)>,
    writes: Vec<(&'static str, PathBuf, Option<Content>)>,
}

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A LoRA adapter (GGUF).
    Adapter,
    /// The record of a run.
    Record,
    /// What a board held at several settings, as `sprig profile` writes it.
    Profile,
    /// A page (HTML).
    Page,
    /// A model with an adapter in its weights, as `sprig export` writes it (GGUF).
    #[cfg_attr(not(feature = "coordinator"), allow(dead_code))] // a board exports nothing
    Merged,
    /// Any other GGUF file: a model, as a rule.
    Model,
    /// Records.
    Data,
    /// A device's own state beside an adapter (GGUF).
    Personal,
    /// Probabilities of items or of candidates for them, as `sprig calibrate` writes them, or answers about them, as `sprig
    /// lookalike` does.
    Dump,
    /// Labels of texts, as `sprig classify` finds them, or what `sprig infer` writes to prompts.
    Answers,
    /// Questions with their errors, as `sprig mcq` makes them.
    Items,
    /// Pairs of answers that `sprig lookalike` mined.
    Pairs,
}

impl Files {
    /// No file yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file that is read, if the flag was given.
    pub fn reads<'a>(mut self, flag: &'static str, path: impl Into<Option<&'a Path>>) -> Self {
        self.reads.extend(path.into().map(|path| (flag, path.to_owned())));
        self
    }

    /// Files that are read.
    pub fn reads_all(mut self, flag: &'static str, paths: &[PathBuf]) -> Self {
        self.reads.extend(paths.iter().map(|path| (flag, path.clone())));
        self
    }

    /// A result that is written, if the flag was given. It may replace an earlier one of its kind.
    pub fn writes<'a>(
        mut self,
        flag: &'static str,
        path: impl Into<Option<&'a Path>>,
        what: Content,
    ) -> Self {
        self.writes.extend(path.into().map(|path| (flag, path.to_owned(), Some(what))));
        self
    }

    /// A file that the command keeps for itself, under a name that it chose.
    pub fn keeps(mut self, what: &'static str, path: &Path) -> Self {
        self.writes.push((what, path.to_owned(), None));
        self
    }

    /// Refuses a file that would be written over.
    ///
    /// # Errors
    /// [`Exit::Usage`], naming both flags and the file, or what lies there.
    pub fn check(&self) -> Result<(), Failure> {
        let same = |path: &Path, at: &Place, others: &[(&str, &Path, Place)]| {
            let (other, named, _) = others.iter().find(|(_, _, other)| at.is(other))?;
            let named = if path == *named { String::new() } else { format!(" {}", named.display()) };
            Some(format!("{other}{named}"))
        };
        let reads: Vec<_> =
            self.reads.iter().map(|(flag, path)| (*flag, path.as_path(), place(path))).collect();
        let mut written = Vec::new();
        for (flag, path, what) in &self.writes {
            let (at, shown) = (place(path), path.display());
            let problem = if let Some(other) = same(path, &at, &reads) {
                format!("{flag} {shown} is the same file as {other}, which this command reads; name another")
            } else if let Some(other) = same(path, &at, &written) {
                format!(
                    "{flag} {shown} is the same file as {other}, which this command writes too; name two files"
                )
            } else {
                if let Some(what) = what {
                    vacant(flag, path, *what)?;
                }
                written.push((*flag, path.as_path(), at));
                continue;
            };
            return Err(Failure::new(Exit::Usage, problem));
        }
        Ok(())
    }

    /// What the settings of a device name, which are in the file `config`.
    pub fn of_device(config: &Path, settings: &DeviceSettings) -> Self {
        Self::new()
            .reads("--config", config)
            .reads("the model", settings.model.path.as_path())
            .reads("the data", settings.data.train.as_path())
            .reads("the outbox", settings.agent.state.join("outbox.redb").as_path())
    }

    /// What the settings of a fleet name, which are in the file `config`.
    #[cfg(feature = "coordinator")]
    pub fn of_fleet(config: &Path, settings: &FleetSettings) -> Self {
        let FleetSettings { model, train, coordinator, .. } = settings;
        Self::new()
            .reads("--config", config)
            .reads("the model", model.path.as_path())
            .reads("init", train.init.as_deref())
            .reads("eval_data", coordinator.eval_data.as_deref())
            .reads("the ledger", coordinator.state.join("ledger.redb").as_path())
    }
}

/// Where a path leads, whatever its spelling.
enum Place {
    /// A file that is there, by device and inode.
    File(u64, u64),
    /// A file to be made: its folder by device and inode, and its name.
    New(u64, u64, OsString),
    /// A folder that is not there.
    Nowhere,
}

impl Place {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(device, inode), Self::File(d, i)) => (device, inode) == (d, i),
            (Self::New(device, inode, name), Self::New(d, i, n)) => (device, inode, name) == (d, i, n),
            _ => false,
        }
    }
}

fn place(path: &Path) -> Place {
    let folder = || fs::metadata(folder(path)).ok().zip(path.file_name());
    match (fs::metadata(path), folder()) {
        (Ok(file), _) => Place::File(file.dev(), file.ino()),
        (_, Some((folder, name))) => Place::New(folder.dev(), folder.ino(), name.to_owned()),
        _ => Place::Nowhere,
    }
}

/// Refuses a place where something else lies than an earlier result of this kind.
fn vacant(flag: &str, path: &Path, what: Content) -> Result<(), Failure> {
    let shown = path.display();
    let problem = match fs::metadata(path) {
        Ok(there) if there.is_dir() => format!("{shown} is a folder; name a file"),
        Ok(there) if !there.is_file() => format!("{flag} {shown} is no ordinary file; name one"),
        Ok(_) => match recognise(path) {
            Some(found) if found != what => format!(
                "{flag} {shown} holds {}, which would be lost; name another file, or remove that one first",
                found.described()
            ),
            _ => return Ok(()),
        },
        // What else is wrong with it, writing will tell.
        Err(_) => return Ok(()),
    };
    Err(Failure::new(Exit::Usage, problem))
}

impl Content {
    const fn described(self) -> &'static str {
        match self {
            Self::Adapter => "an adapter",
            Self::Record => "the record of a run",
            Self::Profile => "a profile",
            Self::Page => "a page",
            Self::Merged => "a model with an adapter in it",
            Self::Model => "a GGUF model",
            Self::Data => "data records",
            Self::Personal => "a personal state",
            Self::Dump => "what a model said of items",
            Self::Answers => "answers about texts",
            Self::Items => "questions with their errors",
            Self::Pairs => "mined pairs",
        }
    }
}

/// What is in a file, where that can be told. A file that cannot be read is none to be lost by this user.
fn recognise(path: &Path) -> Option<Content> {
    let mut head = Vec::new();
    let mut reader = BufReader::new(File::open(path).ok()?.take(HEAD));
    // The first line that is not blank.
    while text(&head).is_empty() && reader.read_until(b'\n', &mut head).ok()? > 0 {}
    if head.starts_with(b"GGUF") {
        let map = Mapped::open(path).ok();
        let gguf = map.as_ref().and_then(|map| Gguf::parse(map.bytes()).ok());
        return Some(match gguf.as_ref().and_then(|gguf| gguf.str("general.type").ok().flatten()) {
            Some("adapter") => Content::Adapter,
            Some("personal") => Content::Personal,
            _ if gguf.as_ref().is_some_and(|gguf| gguf.get(MERGED_KEY).is_some()) => Content::Merged,
            _ => Content::Model,
        });
    }
    let line = text(&head);
    if line.to_ascii_lowercase().starts_with(b"<!doctype html") {
        return Some(Content::Page);
    }
    // What is packed is data, and so are a table and an array.
    if head.starts_with(b"\x1F\x8B") || line.starts_with(b"[") || is_table(path) && !line.is_empty() {
        return Some(Content::Data);
    }
    if !line.starts_with(b"{") {
        return None;
    }
    let whole = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(line);
    let dumped = [["id", "probabilities"], ["id", "candidates"], ["answers", "scores"]];
    let all = |keys: &[&str]| whole.as_ref().is_ok_and(|line| keys.iter().all(|key| line.contains_key(*key)));
    if dumped.iter().any(|keys| all(keys)) {
        return Some(Content::Dump);
    }
    if all(&["row", "label", "share", "text"]) || all(&["row", "prompt", "text", "finish_reason"]) {
        return Some(Content::Answers);
    }
    if all(&["family", "errors"]) {
        return Some(Content::Items);
    }
    if all(&["rejected", "kind", "family", "reference"]) {
        return Some(Content::Pairs);
    }
    let (data, mut next) = (whole.is_ok(), Vec::new());
    reader.take(4096).read_to_end(&mut next).ok()?;
    let marked = |mark: &[u8]| [line, &next].iter().any(|part| part.windows(mark.len()).any(|w| w == mark));
    if marked(b"\"profile_version\"") {
        return Some(Content::Profile);
    }
    if marked(b"\"sprig_version\"") { Some(Content::Record) } else { data.then_some(Content::Data) }
}

/// Without a byte order mark and white space around it.
fn text(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii()
}

/// Finds out now, not after an hour, that a file cannot be written to `path`, or that `bytes` more have no room there.
pub fn check_writable(path: &Path, bytes: u64) -> Result<(), Failure> {
    let folder = folder(path);
    tempfile::tempfile_in(&folder)
        .and_then(|mut file| std::io::copy(&mut std::io::repeat(0).take(bytes), &mut file))
        .map(drop)
        .map_err(|e| Failure::io("write in", &folder, e).about(path))
}

/// The places of data: `-` is standard input.
///
/// # Errors
/// One can be read only once, and has to be read `twice`.
pub fn data(flag: &str, paths: &[PathBuf], twice: bool) -> Result<Vec<PathBuf>, Failure> {
    paths.iter().map(|path| datum(flag, path, twice)).collect()
}

/// The files of data that may be folders.
pub fn all(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(files_at(path)?);
    }
    Ok(all)
}

/// What people call some files.
pub fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn datum(flag: &str, path: &Path, twice: bool) -> Result<PathBuf, Failure> {
    let path = if path.as_os_str() == "-" { Path::new("/dev/stdin") } else { path };
    if twice && fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let shown = path.display();
        let problem = format!(
            "{flag} {shown} can be read only once, and records with labels are read twice, first for their labels; name \
             all labels with --labels, or write the records to a file"
        );
        return Err(Failure::new(Exit::Usage, problem));
    }
    Ok(path.to_owned())
}

/// `a.gguf.ckpt` for `a.gguf` and `ckpt`.
pub fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{extension}"));
    name.into()
}

/// Where large files go that are nobody's: what `TMPDIR` names, or the folder for those that may be too much for memory,
/// which is where `/tmp` lies on many boards.
pub fn scratch() -> PathBuf {
    let disk = PathBuf::from("/var/tmp");
    std::env::var_os("TMPDIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| if disk.is_dir() { disk } else { std::env::temp_dir() })
}

/// The folder that `path` is in.
pub fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    }
}
