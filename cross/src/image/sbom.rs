//! What an image is made of, as CycloneDX 1.5 tells it.

use super::firmware::RELEASE;
use super::system::System;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes it beside the image; its path.
pub(super) fn write(image: &Path, system: &System) -> Result<PathBuf> {
    let path = image.with_extension("cdx.json");
    let components: Option<Vec<Value>> = system.packages.lines().map(component).collect();
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "operating-system", "name": "sprig", "version": system.version } },
        "components": components.context("dpkg tells of packages in words that are not known here")?,
    });
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, serde_json::to_string_pretty(&bom)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// A package, from dpkg's line of it.
fn component(line: &str) -> Option<Value> {
    let mut words = line.split(' ');
    let (name, version, architecture, source) = (words.next()?, words.next()?, words.next()?, words.next()?);
    // Debian's sign for an epoch and those of versions are escaped in a package URL.
    let escaped = version.replace('%', "%25").replace('+', "%2B").replace(':', "%3A");
    let purl =
        format!("pkg:deb/debian/{name}@{escaped}?arch={architecture}&distro={RELEASE}&upstream={source}");
    Some(json!({ "type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_told_by_its_url() {
        let told = component("libc6 2:2.41-12+deb13u1 arm64 glibc").unwrap();
        assert_eq!(
            told["purl"],
            "pkg:deb/debian/libc6@2%3A2.41-12%2Bdeb13u1?arch=arm64&distro=trixie&upstream=glibc"
        );
        assert_eq!(component("libc6 2.41"), None);
    }
}
