//! Packages of any release of Debian and any architecture, from the mirror that this machine's apt uses, unpacked into a folder.
//! Nothing is installed.

use crate::sys;
use anyhow::{Context, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What a release has for an architecture.
pub struct Release {
    debs: PathBuf,
    options: Vec<String>,
}

impl Release {
    /// Asks the mirror what `release` has for `architecture`, as Debian calls them; the lists are kept in the folder `work`.
    pub fn ask(release: &str, architecture: &str, work: &Path) -> Result<Self> {
        let (state, debs) = (work.join("apt"), work.join("debs"));
        for folder in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(state.join(folder))?;
        }
        fs::create_dir_all(&debs)?;
        fs::write(state.join("status"), "")?;
        let mirror = mirror().context("no mirror of Debian in /etc/apt")?;
        let source = format!("deb [signed-by={KEYRING}] {mirror} {release} main\n");
        fs::write(state.join("sources.list"), source)?;
        let at = |key: &str, file: &str| format!("{key}={}", state.join(file).display());
        let options = vec![
            at("Dir::State", ""),
            at("Dir::State::lists", "lists"),
            at("Dir::State::status", "status"),
            at("Dir::Cache", ""),
            at("Dir::Cache::archives", "archives"),
            at("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures::={architecture}"),
            "APT::Sandbox::User=".to_owned(),
        ];
        let release = Self { debs, options };
        release.get("update", &[])?;
        Ok(release)
    }

    /// Unpacks `packages`, without what they need, into the folder `root`.
    pub fn unpack(&self, packages: &[&str], root: &Path) -> Result<()> {
        self.get("download", packages)?;
        for entry in fs::read_dir(&self.debs)? {
            let deb = entry?.path();
            sys::check(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(root))?;
            fs::remove_file(deb)?;
        }
        Ok(())
    }

    /// The first package that `package` needs: what stands for the newest of a kind needs that one.
    pub fn needed_by(&self, package: &str) -> Result<String> {
        let said = sys::output(self.apt("apt-cache").args(["depends", package]))?;
        let needed = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(needed.with_context(|| format!("{package} needs no other package"))?.to_owned())
    }

    fn get(&self, command: &str, packages: &[&str]) -> Result<()> {
        sys::check(self.apt("apt-get").stdout(io::stderr()).arg(command).args(packages))
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = sys::command(program, false);
        apt.current_dir(&self.debs).arg("--quiet=2");
        for option in &self.options {
            apt.args(["--option", option]);
        }
        apt
    }
}

/// The mirror of Debian that apt is told of: the first archive whose address ends in `/debian`.
pub fn mirror() -> Option<String> {
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().filter_map(Result::ok);
    let files = std::iter::once(PathBuf::from("/etc/apt/sources.list")).chain(parts.map(|part| part.path()));
    let texts = files.filter_map(|file| fs::read_to_string(file).ok());
    texts.flat_map(|text| addresses(&text)).next()
}

/// Addresses of Debian's archive in a list of sources, of either form.
fn addresses(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"));
    let words = lines.flat_map(str::split_whitespace).map(|word| word.trim_end_matches('/'));
    words.filter(|word| word.contains("://") && word.ends_with("/debian")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_found_in_lists_of_either_form() {
        let old = "# deb http://commented.example/debian x\ndeb [arch=amd64] http://one.example/debian/ bookworm main\n";
        assert_eq!(addresses(old), ["http://one.example/debian"]);
        let new = "Types: deb\nURIs: http://two.example/debian-security http://two.example/debian\nSuites: bookworm\n";
        assert_eq!(addresses(new), ["http://two.example/debian"]);
        assert!(addresses("URIs: https://other.example/apt\n").is_empty());
    }
}
