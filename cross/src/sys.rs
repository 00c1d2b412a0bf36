//! Paths of the workspace, child processes and file digests.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use sprig_ground::{PathError, file, hex};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the checkout this command was started from.
pub fn workspace_root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// Cargo's target directory: `CARGO_TARGET_DIR` when set, else `target` in the workspace.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => workspace_root().join(dir),
        None => workspace_root().join("target"),
    }
}

/// A command in the workspace root, without standard input. With `quiet_stdout` what it prints goes to
/// standard error, so that our own `--json` stays alone on standard output.
pub fn command(program: impl AsRef<OsStr>, quiet_stdout: bool) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    // A program that was built elsewhere has no workspace here.
    let root = workspace_root();
    if root.is_dir() {
        command.current_dir(root);
    }
    if quiet_stdout {
        command.stdout(Stdio::from(io::stderr()));
    }
    command
}

/// Runs `command` and fails, naming it, unless it exits with 0.
pub fn check(command: &mut Command) -> Result<()> {
    let line = describe(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Whether `command` starts and exits with 0; its output is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Standard output of `command`; fails, with all that it printed, unless it exits with 0.
pub fn output(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{line}`"))?;
    if !out.status.success() {
        let said = [&*out.stdout, &*out.stderr].map(String::from_utf8_lossy).concat();
        bail!("`{line}` failed: {}\n{}", out.status, said.trim_end());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The first file called `program` in `PATH`.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Bytes that a file in `folder` could take; `None` where there is no GNU `df` to ask.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let mut df = Command::new("df");
    let printed = output(df.args(["--block-size=1", "--output=avail"]).arg(folder)).ok()?;
    printed.lines().nth(1)?.trim().parse().ok()
}

/// Lower-case hexadecimal SHA-256 of a file.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    Ok(hex::encode(&hasher.finalize()))
}

/// The same of all files below a folder: their names, modes and bytes.
pub fn sha256_of_tree(folder: &Path) -> Result<String> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("cannot read {}", folder.display()))?;
    entries.sort();
    let mut hasher = Sha256::new();
    for path in entries {
        let found = fs::metadata(&path)?;
        let inner = if found.is_dir() { sha256_of_tree(&path)? } else { sha256(&path)? };
        let name = path.file_name().context("an entry of a folder has a name")?.to_string_lossy();
        hasher.update(format!("{name} {:o} {inner}\n", found.permissions().mode() & 0o777));
    }
    Ok(hex::encode(&hasher.finalize()))
}

/// Copies `from` to `to`, for all to read, so that `to` is either absent, its old self or complete.
pub fn install_file(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file needs a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut source = File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
    file::replace_with_mode(to, 0o644, |out| {
        io::copy(&mut source, out).map_err(PathError::at("write", to))?;
        Ok::<_, PathError>(())
    })?;
    Ok(())
}

/// A command as one would type it.
pub fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_matches_the_published_vector() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc");
        fs::write(&file, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256(&file).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn install_file_replaces_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("in/to"));
        fs::write(&from, "new").unwrap();
        install_file(&from, &to).unwrap();
        fs::write(&from, "newer").unwrap();
        install_file(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "newer");
        assert_eq!(fs::read_dir(folder.path().join("in")).unwrap().count(), 1);
    }

    #[test]
    fn a_failing_command_is_named() {
        let error = check(&mut command("false", true)).unwrap_err();
        assert!(error.to_string().contains("`false` failed"), "{error}");
    }
}
