//! An update bundle: a system and its boot partition, signed for one fleet's boards.

use super::firmware::Firmware;
use crate::{packages, sys};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Days for which an update's signer may sign: bundles are judged by the board's clock when they are installed.
const DAYS: &str = "3650";

/// Who signs for a fleet: a certificate for signing code, made by the fleet's authority, and its key.
pub struct Signer {
    certificate: PathBuf,
    key: PathBuf,
}

impl Signer {
    /// That of the fleet in this folder, as `sprig provision` wrote it; made the first time.
    pub fn of(fleet: &Path) -> Result<Self> {
        let (authority, folder) = (fleet.join("ca"), fleet.join("updates"));
        let (ca, ca_key) = (authority.join("ca.crt"), authority.join("ca.key"));
        for path in [&ca, &ca_key] {
            ensure!(path.is_file(), "no {}; name the folder that `sprig provision` wrote", path.display());
        }
        let signer = Self { certificate: folder.join("updates.crt"), key: folder.join("updates.key") };
        if signer.certificate.is_file() && signer.key.is_file() {
            return Ok(signer);
        }
        packages::find_or_install("openssl", "openssl")?;
        fs::create_dir_all(&folder)?;
        let request = folder.join("updates.csr");
        let uses = folder.join("updates.cnf");
        // No device's certificate has this use, so none of their keys signs an update.
        fs::write(
            &uses,
            "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n",
        )?;
        let mut ask =
            openssl(&["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        ask.args(["-subj", "/CN=updates", "-keyout"]).arg(&signer.key).arg("-out").arg(&request);
        sys::output(&mut ask)?;
        let mut sign = openssl(&["x509", "-req", "-days", DAYS, "-CAcreateserial", "-in"]);
        sign.arg(&request).arg("-CA").arg(&ca).arg("-CAkey").arg(&ca_key).arg("-extfile").arg(&uses);
        sign.arg("-CAserial").arg(folder.join("updates.srl")).arg("-out").arg(&signer.certificate);
        sys::output(&mut sign)?;
        fs::remove_file(request)?;
        fs::remove_file(uses)?;
        Ok(signer)
    }

    /// Makes the bundle `out`.
    pub fn sign(&self, update: &Update<'_>, out: &Path) -> Result<()> {
        let rauc = packages::find_or_install("rauc", "rauc")?;
        packages::find_or_install("mksquashfs", "squashfs-tools")?;
        let content = update.work.join("update");
        fs::create_dir_all(&content)?;
        for (from, name) in [(update.system, "system.img"), (update.boot, "boot.img")] {
            fs::hard_link(from, content.join(name)).with_context(|| format!("no {}", from.display()))?;
        }
        let manifest = format!(
            "[update]\ncompatible={}\nversion={}\n[bundle]\nformat=verity\n[image.boot]\nfilename=boot.img\n\
             [image.system]\nfilename=system.img\n",
            update.firmware.compatible(),
            update.version
        );
        fs::write(content.join("manifest.raucm"), manifest)?;
        let made = update.work.join("update.raucb");
        let mut bundle = sys::command(rauc, true);
        bundle.arg("--cert").arg(&self.certificate).arg("--key").arg(&self.key);
        sys::check(bundle.arg("bundle").arg(&content).arg(&made))?;
        sys::install_file(&made, out)
    }
}

/// What is bundled.
pub struct Update<'a> {
    pub firmware: Firmware,
    pub system: &'a Path,
    pub boot: &'a Path,
    pub version: &'a str,
    /// Where to work.
    pub work: &'a Path,
}

fn openssl(words: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(words);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_without_its_authority_signs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Signer::of(folder.path()).map(drop).unwrap_err().to_string();
        assert!(refused.contains("ca.crt") && refused.contains("sprig provision"), "{refused}");
    }
}
