//! What an image is given beside its system: the board's identity and networks, which go onto the first partition, and its model
//! and records, which go where its settings look for them.

use super::fleet;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Where the agent's settings are on a board, below the state's folder.
const AGENT: &str = "agent";
/// Where it is put together.
const IDENTITY: &str = "identity";
/// The state's folder on a board.
const STATE: &str = "/var/lib/sprig";

/// What a board is given of its fleet, as whoever makes its system names it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct GivenArgs {
    /// The board's folder of its fleet, or a tar archive of it: taken up at the first start
    #[arg(long, value_name = "BUNDLE")]
    pub fleet: Option<PathBuf>,
    /// Model file (GGUF) that the board gets, where its settings look for it
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Records that the board gets, where its settings look for them
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
}

/// It, in folders.
pub(super) struct Given {
    /// For the first partition.
    pub identity: Option<PathBuf>,
    /// For the state partition.
    pub state: PathBuf,
}

/// What of a device's settings says where its files are.
#[derive(Deserialize)]
struct Settings {
    model: Place,
    data: Records,
}

#[derive(Deserialize)]
struct Place {
    path: PathBuf,
}

#[derive(Deserialize)]
struct Records {
    train: PathBuf,
}

impl Given {
    /// Takes what the command names, in the folder `work`.
    pub(super) fn of(args: &GivenArgs, work: &Path) -> Result<Self> {
        let (identity, state) = (work.join(IDENTITY), work.join("state"));
        let mut settings = Settings {
            model: Place { path: "model.gguf".into() },
            data: Records { train: "train.jsonl".into() },
        };
        if let Some(bundle) = &args.fleet {
            fleet::unpack(bundle, work, &identity)?;
            let path = identity.join("device.toml");
            settings = toml::from_str(&fs::read_to_string(&path)?)
                .with_context(|| format!("device.toml in {}", bundle.display()))?;
        }
        let shared = state.join("shared/sprig");
        fs::create_dir_all(shared.join(AGENT))?;
        for (from, place) in [(&args.model, &settings.model.path), (&args.data, &settings.data.train)] {
            let Some(from) = from else { continue };
            let to = shared.join(below_state(place)?);
            fs::create_dir_all(to.parent().context("a file needs a folder")?)?;
            fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        Ok(Self { identity: identity.is_dir().then_some(identity), state })
    }

    /// Adds the networks that the board may join, and who may log in.
    pub(super) fn let_in(&mut self, wifi: Option<&Path>, ssh: Option<&Path>, work: &Path) -> Result<()> {
        for (from, name) in [(wifi, "wifi.txt"), (ssh, "authorized_keys")] {
            let Some(from) = from else { continue };
            let identity = self.identity.get_or_insert_with(|| work.join(IDENTITY));
            fs::create_dir_all(&*identity)?;
            fs::copy(from, identity.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        wifi.map_or(Ok(()), check_wifi)
    }

    /// Puts the identity onto the first partition.
    pub(super) fn put(&self, selector: &Path) -> Result<()> {
        if let Some(identity) = &self.identity {
            fs::rename(identity, selector.join("sprig"))?;
        }
        Ok(())
    }
}

/// Where on the state partition the settings look for a file.
fn below_state(place: &Path) -> Result<PathBuf> {
    let below = match place.strip_prefix(STATE) {
        Ok(below) => below.to_owned(),
        Err(_) if place.is_relative() => Path::new(AGENT).join(place),
        Err(_) => bail!(
            "the settings look for {}, which is not below {STATE}, where a board keeps files",
            place.display()
        ),
    };
    let plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(plain, "the settings look for {}, which leads out of {STATE}", place.display());
    Ok(below)
}

/// A network has a name, and words that its protocol takes (IEEE 802.11i: 8 to 63).
fn check_wifi(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value = |key: &str| text.lines().find_map(|line| line.trim_end().strip_prefix(key));
    let (shown, ssid, words) = (path.display(), value("ssid="), value("passphrase="));
    ensure!(
        ssid.is_some_and(|name| (1..=32).contains(&name.len())),
        "{shown}: no line ssid=NAME of 1 to 32 bytes"
    );
    ensure!(
        words.is_some_and(|words| (8..=63).contains(&words.len())),
        "{shown}: no line passphrase=WORDS of 8 to 63 characters"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_where_the_settings_look_for_them() {
        let at = |place: &str| below_state(Path::new(place)).map(|path| path.display().to_string());
        assert_eq!(at("model.gguf").unwrap(), "agent/model.gguf");
        assert_eq!(at("/var/lib/sprig/model.gguf").unwrap(), "model.gguf");
        assert!(at("/home/me/model.gguf").unwrap_err().to_string().contains("not below /var/lib/sprig"));
        assert!(at("../../etc/shadow").unwrap_err().to_string().contains("leads out"));
    }

    #[test]
    fn a_network_without_a_name_or_words_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wifi.txt");
        let told = |text: &str| {
            fs::write(&file, text).unwrap();
            check_wifi(&file).map_err(|e| e.to_string())
        };
        assert!(told("ssid=home\npassphrase=correct horse\r\n").is_ok());
        assert!(told("passphrase=correct horse\n").unwrap_err().contains("ssid="));
        assert!(told("ssid=home\npassphrase=short\n").unwrap_err().contains("passphrase="));
    }
}
