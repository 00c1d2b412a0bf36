//! What a board is given of its fleet: the folder that `sprig provision` made for it, or an archive of it.

use crate::sys;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Most bytes of a device's folder, which lies on a card's first partition until the board takes it up; models and records, which
/// are larger, go onto the state partition.
const MOST: u64 = 32 << 20;
/// The settings' file, by which a device's folder is known.
const SETTINGS: &str = "device.toml";

/// Copies a device's folder to `to`: `bundle` is that folder, a folder or a tar archive with that folder alone in it.
pub fn unpack(bundle: &Path, work: &Path, to: &Path) -> Result<()> {
    let opened = if bundle.is_dir() {
        bundle.to_owned()
    } else {
        let folder = work.join("bundle");
        fs::create_dir_all(&folder)?;
        let mut tar = Command::new("tar");
        tar.arg("--directory").arg(&folder).args(["--extract", "--no-same-owner", "--file"]);
        sys::output(tar.arg(bundle)).with_context(|| {
            format!("{} is neither a device's folder nor a tar archive of one", bundle.display())
        })?;
        folder
    };
    let device = device(&opened, bundle)?;
    let bytes = copy(&device, to)?;
    ensure!(
        bytes <= MOST,
        "{} has {bytes} bytes, and a device's folder may have {MOST}; leave the model and the records out of it and give them \
         with --model and --data",
        device.display()
    );
    Ok(())
}

/// The one folder with a device's settings.
fn device(opened: &Path, bundle: &Path) -> Result<PathBuf> {
    if opened.join(SETTINGS).is_file() {
        return Ok(opened.to_owned());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(opened).with_context(|| format!("cannot read {}", bundle.display()))? {
        let path = entry?.path();
        if path.join(SETTINGS).is_file() {
            found.push(path);
        }
    }
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => bail!(
            "no {SETTINGS} in {}; give one device's folder of the fleet (devices/NAME)",
            bundle.display()
        ),
        several => bail!(
            "{} has {} devices, and a card is one's; give one device's folder (devices/NAME), or make an image without --fleet \
             and put each device's folder onto its card as `sprig`",
            bundle.display(),
            several.len()
        ),
    }
}

/// Copies files and folders; bytes.
fn copy(from: &Path, to: &Path) -> Result<u64> {
    fs::create_dir_all(to)?;
    let mut bytes = 0;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            bytes += copy(&path, &to.join(entry.file_name()))?;
        } else if kind.is_file() {
            bytes += fs::copy(&path, to.join(entry.file_name()))
                .with_context(|| format!("cannot copy {}", path.display()))?;
        } else {
            bail!(
                "{} is neither a file nor a folder, and a device's folder holds nothing else",
                path.display()
            );
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::create_dir_all(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join(SETTINGS), name).unwrap();
        }
        folder
    }

    fn taken(bundle: &Path) -> Result<String> {
        let work = tempfile::tempdir().unwrap();
        let to = work.path().join("to");
        unpack(bundle, work.path(), &to)?;
        Ok(fs::read_to_string(to.join(SETTINGS))?)
    }

    #[test]
    fn a_devices_folder_is_taken_as_it_is_beside_nothing_or_from_an_archive() {
        let folder = fleet(&["kitchen"]);
        assert_eq!(taken(&folder.path().join("kitchen")).unwrap(), "kitchen");
        assert_eq!(taken(folder.path()).unwrap(), "kitchen");
        let archive = folder.path().join("fleet.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(folder.path()).arg("-cf").arg(&archive).arg("kitchen");
        sys::output(&mut tar).unwrap();
        assert_eq!(taken(&archive).unwrap(), "kitchen");
    }

    #[test]
    fn what_is_no_one_devices_is_refused() {
        let refused = |bundle: &Path| format!("{:#}", taken(bundle).unwrap_err());
        let several = fleet(&["kitchen", "hall"]);
        assert!(refused(several.path()).contains("has 2 devices"));
        let none = fleet(&[]);
        assert!(refused(none.path()).contains("no device.toml"));
        let text = none.path().join("text");
        fs::write(&text, "text").unwrap();
        assert!(refused(&text).contains("neither a device's folder nor a tar archive"));
        let large = fleet(&["kitchen"]);
        fs::File::create(large.path().join("kitchen/model.gguf")).unwrap().set_len(MOST + 1).unwrap();
        assert!(refused(large.path()).contains("--model"));
    }
}
