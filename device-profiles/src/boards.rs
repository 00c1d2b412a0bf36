//! The boards this program knows: one file of facts for each family, embedded, and those of the user's.

use crate::board::Board;
use crate::profile;
use sprig_ground::PathError;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Folder of the user's profiles, below the root.
pub const OVERRIDES: &str = "etc/sprig/boards.d";
/// Bytes of a profile at most.
const MAX_PROFILE: u64 = 64 << 10;
/// Profiles of a folder at most.
const MAX_PROFILES: usize = 64;

macro_rules! embedded {
    ($($name:literal)*) => { [$(($name, include_str!(concat!("../boards/", $name, ".toml")))),*] };
}

const FILES: [(&str, &str); 18] = embedded! {
    "raspberry-pi-zero-2-w" "raspberry-pi-3b" "raspberry-pi-3a-plus" "raspberry-pi-4b" "raspberry-pi-400" "raspberry-pi-cm4"
    "raspberry-pi-5" "raspberry-pi-500" "raspberry-pi-cm5"
    "jetson-nano" "jetson-tx2-nx" "jetson-xavier-nx" "jetson-orin-nano" "jetson-orin-nx" "jetson-agx-orin"
    "generic-aarch64" "generic-x86-64" "generic"
};

static EMBEDDED: LazyLock<Vec<Board>> = LazyLock::new(|| {
    let parse = |(name, text): (&str, &str)| {
        profile::parse(text).unwrap_or_else(|error| panic!("the embedded boards/{name}.toml: {error}"))
    };
    FILES.into_iter().flat_map(parse).collect()
});

/// Why a board cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// No board has the name asked for.
    #[error("unknown board {name:?}; known boards are {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A user's profile is none.
    #[error("{}: {problem}", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A user's profile cannot be read.
    #[error(transparent)]
    File(#[from] PathError),
}

/// All boards: the user's, then those that are embedded and that no user's profile of the same name replaces.
#[derive(Clone, Debug)]
pub struct Boards(Vec<Board>);

impl Boards {
    /// Those of the machine whose files are below `root`.
    ///
    /// # Errors
    /// A file of the user's cannot be read, or is no profile.
    pub fn of(root: &Path) -> Result<Self, BoardError> {
        let mut all = own(&root.join(OVERRIDES))?;
        let replaced = |board: &Board| all.iter().any(|own| own.family == board.family);
        let rest: Vec<Board> = EMBEDDED.iter().filter(|board| !replaced(board)).cloned().collect();
        all.extend(rest);
        Ok(Self(all))
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Board> {
        self.0.iter()
    }

    /// The last one, which stands for any machine without a profile.
    pub(crate) fn last(&self) -> &Board {
        &self.0[self.0.len() - 1] // `generic` is embedded, unless the user's replaces it
    }

    /// The board of this name.
    ///
    /// # Errors
    /// There is none; the error lists those there are.
    pub fn by_name(&self, name: &str) -> Result<&Board, BoardError> {
        self.iter().find(|board| board.name == name).ok_or_else(|| BoardError::Unknown {
            name: name.to_owned(),
            known: self.iter().map(|board| board.name.clone()).collect(),
        })
    }
}

/// The profiles in `folder`, by the names of their files; none where there is no folder.
fn own(folder: &Path) -> Result<Vec<Board>, BoardError> {
    let entries = match fs::read_dir(folder) {
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        other => other.map_err(PathError::at("read", folder))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(PathError::at("read", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    if paths.len() > MAX_PROFILES {
        let problem = format!("{} profiles; keep {MAX_PROFILES} at most", paths.len());
        return Err(BoardError::Profile { path: folder.to_owned(), problem });
    }
    paths.sort();
    let boards: Result<Vec<_>, _> = paths.iter().map(|path| read(path)).collect();
    Ok(boards?.into_iter().flatten().collect())
}

fn read(path: &Path) -> Result<Vec<Board>, BoardError> {
    let refuse = |problem: String| BoardError::Profile { path: path.to_owned(), problem };
    let mut text = Vec::new();
    let file = File::open(path).map_err(PathError::at("read", path))?;
    file.take(MAX_PROFILE + 1).read_to_end(&mut text).map_err(PathError::at("read", path))?;
    if text.len() as u64 > MAX_PROFILE {
        return Err(refuse(format!("is longer than the {MAX_PROFILE} bytes that a profile may have")));
    }
    let text = String::from_utf8(text).map_err(|_| refuse("is not text in UTF-8".to_owned()))?;
    profile::parse(&text).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Feature;
    use std::collections::BTreeSet;

    fn here(root: &Path) -> Boards {
        Boards::of(root).unwrap()
    }

    #[test]
    fn every_file_is_embedded_and_has_sane_facts() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/boards");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".toml"))
            .collect();
        let embedded: BTreeSet<String> = FILES.iter().map(|(name, _)| format!("{name}.toml")).collect();
        assert_eq!(files, embedded);
        let none = tempfile::tempdir().unwrap();
        let mut names = BTreeSet::new();
        for board in here(none.path()).iter() {
            let name = &board.name;
            assert!(names.insert(name.clone()) && name.starts_with(&board.family), "{name}");
            assert!((0.2..=0.8).contains(&board.budget_share), "{name}");
            assert!(board.ram_mib.is_power_of_two() && (512..=65536).contains(&board.ram_mib), "{name}");
            // The least that a run of the smallest model takes resident, and a system's own.
            let budget = board.budget(board.managed()) >> 20;
            assert!(budget >= 150 && board.reserve_mib >= 150, "{name}: {budget}");
            if !name.starts_with("generic") {
                let signs = &board.signs;
                assert!(!signs.compatible.is_empty() && !signs.chip.is_empty() && !signs.model.is_empty());
                assert!(!board.pages.is_empty() && board.features.contains(&Feature::Neon), "{name}");
                assert!(!board.storage.is_empty(), "{name}");
                assert!(!board.sources.is_empty() && board.bandwidth.is_some(), "{name}");
                let peak = board.peak_flop().unwrap() / 1e9;
                assert!((32.0..=430.0).contains(&peak), "{name}: {peak} GFLOP/s");
            }
        }
        assert!(names.len() > 25, "{names:?}");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let none = tempfile::tempdir().unwrap();
        let boards = here(none.path());
        assert_eq!(boards.by_name("raspberry-pi-5-8gb").unwrap().ram(), 8 << 30);
        let error = boards.by_name("raspberry-pi-6").unwrap_err().to_string();
        assert!(error.starts_with("unknown board \"raspberry-pi-6\"; known boards are "), "{error}");
        assert!(error.contains("jetson-agx-orin-64gb, generic-aarch64"), "{error}");
    }

    #[test]
    fn a_users_profile_comes_first_and_replaces_ours() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(OVERRIDES);
        fs::create_dir_all(&folder).unwrap();
        let text = "name = \"raspberry-pi-5\"\ntitle = \"Ours, with a fan\"\npages = [4096]\nfeatures = []\n\
                    cores = [{ kind = \"cortex-a76\", count = 4 }]\nmodel = [\"Raspberry Pi 5\"]\n\
                    [[memory]]\nmib = 8192\nmanaged_mib = 8000\nreserve_mib = 1024\nbudget_share = 0.8\n";
        fs::write(folder.join("pi.toml"), text).unwrap();
        fs::write(folder.join("notes.txt"), "not a profile").unwrap();
        let boards = here(root.path());
        assert_eq!(boards.iter().next().unwrap().title, "Ours, with a fan");
        assert!(boards.by_name("raspberry-pi-5-8gb").is_err() && boards.by_name("raspberry-pi-5").is_ok());
        assert!(boards.by_name("raspberry-pi-4b-2gb").is_ok());
        let bad = folder.join("zz.toml");
        for (bytes, words) in [
            (&b"name = 3"[..], "zz.toml: "),
            (b"\xff\xfe", "UTF-8"),
            (&[b'#'; MAX_PROFILE as usize + 1], "65536 bytes"),
        ] {
            fs::write(&bad, bytes).unwrap();
            let error = Boards::of(root.path()).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("zz.toml"), "{error}");
        }
        fs::remove_file(&bad).unwrap();
        fs::create_dir(&bad).unwrap();
        assert!(matches!(Boards::of(root.path()), Err(BoardError::File(_))));
    }
}
