//! Trees of files as machines have them.

use sprig_device::{Detected, detect};
use std::fs;
use std::path::Path;

/// A machine's files.
pub(crate) struct Machine(pub(crate) tempfile::TempDir);

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine(tempfile::tempdir().unwrap())
    }

    pub(crate) fn with(self, path: &str, bytes: impl AsRef<[u8]>) -> Machine {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// A word of the vector that the kernel hands each process, after others.
    pub(crate) fn auxv(words: &[(usize, usize)]) -> Vec<u8> {
        // AT_SYSINFO_EHDR first, AT_NULL last.
        let all = [(33, 0x7fff_0000)].iter().chain(words).chain(&[(0, 0)]);
        all.flat_map(|(kind, value)| [kind.to_ne_bytes(), value.to_ne_bytes()].concat()).collect()
    }

    pub(crate) fn detect(&self) -> Detected {
        detect(self.0.path()).unwrap()
    }
}

/// The files of a board as a text in `tests/boards` has them, and the board that it is.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) name: String,
    /// The board that must be found.
    pub(crate) board: String,
    /// Path and bytes of each file.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Fixture {
    /// All there are.
    pub(crate) fn all() -> Vec<Fixture> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/boards");
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
            .iter()
            .filter(|path| path.extension().is_some_and(|e| e == "txt"))
            .map(|path| read(path))
            .collect()
    }

    pub(crate) fn machine(&self) -> Machine {
        self.files.iter().fold(Machine::new(), |machine, (path, bytes)| machine.with(path, bytes))
    }
}

fn read(path: &Path) -> Fixture {
    let text = fs::read_to_string(path).unwrap();
    let mut parts = text.split("\n== ");
    let board =
        parts.next().unwrap().lines().find_map(|line| line.strip_prefix("board: ")).unwrap().to_owned();
    let files = parts.map(|part| {
        let (path, text) = part.split_once('\n').unwrap();
        (path.to_owned(), bytes(path, text.trim_end_matches('\n')))
    });
    let files = files.collect();
    Fixture { name: path.file_stem().unwrap().to_str().unwrap().to_owned(), board, files }
}

/// The bytes of a file that stands as `text`: strings of the device tree one a line, words of the vector as pairs.
fn bytes(path: &str, text: &str) -> Vec<u8> {
    let number = |word: &str| match word.strip_prefix("0x") {
        Some(hex) => usize::from_str_radix(hex, 16).unwrap(),
        None => word.parse().unwrap(),
    };
    match path {
        "proc/self/auxv" => {
            let pair = |line: &str| line.split_once(' ').map(|(kind, value)| (number(kind), number(value)));
            Machine::auxv(&text.lines().map(|line| pair(line).unwrap()).collect::<Vec<_>>())
        }
        path if path.starts_with("proc/device-tree/") => {
            text.lines().flat_map(|line| [line.as_bytes(), b"\0"].concat()).collect()
        }
        _ => [text.as_bytes(), b"\n"].concat(),
    }
}
