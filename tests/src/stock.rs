//! Other implementations through the scripts in `compat`: stock llama.cpp and what belongs to it, or `transformers`.

use sprig_testkit::model::workspace;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has the wheels which a script of `compat` names.
pub struct Stock {
    packages: PathBuf,
    /// The script that prints logits, and its flag for an adapter.
    logits: (&'static str, &'static str),
}

impl Stock {
    /// llama.cpp: packages in `SPRIG_STOCK`, else where `cargo xtask test` puts them.
    ///
    /// # Panics
    /// Where they are absent, with the command that fetches them.
    pub fn find() -> Self {
        let packages = packages("SPRIG_STOCK", "judge", ("xllamacpp", "--only llama.cpp"));
        Self { packages, logits: ("llama_logits.py", "--adapter") }
    }

    /// `transformers` with `peft`: packages in `SPRIG_TRANSFORMERS`, likewise.
    ///
    /// # Panics
    /// As [`Self::find`].
    pub fn transformers() -> Self {
        let packages =
            packages("SPRIG_TRANSFORMERS", "transformers", ("transformers", "--long --only transformers"));
        Self { packages, logits: ("transformers_logits.py", "--peft") }
    }

    /// Logits after each of `ids`, tokens × vocabulary, with an adapter if one is given. `out` is a file to pass them in.
    ///
    /// # Panics
    /// Where it refuses one of the files.
    pub fn logits(&self, model: &Path, ids: &[u32], adapter: Option<&Path>, out: &Path) -> Vec<f32> {
        let (name, flag) = self.logits;
        let mut script = self.script(name);
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        script.arg(model).args(["--ids", &ids.join(",")]).arg("--out").arg(out);
        if let Some(adapter) = adapter {
            script.arg(flag).arg(adapter);
        }
        run(&mut script);
        let bytes = fs::read(out).expect("the script left the logits");
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    /// Runs a script of `compat` on files.
    ///
    /// # Panics
    /// Where it fails.
    pub fn run(&self, name: &str, files: &[&Path]) {
        run(self.script(name).args(files));
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", &self.packages).arg(workspace().join("tests/compat").join(name));
        command
    }
}

/// The folder that `variable` names, else `usual` among the tools of the tests.
fn packages(variable: &str, usual: &str, (package, suite): (&str, &str)) -> PathBuf {
    let usual = || workspace().join("target/tools").join(usual);
    let packages = std::env::var_os(variable).map_or_else(usual, PathBuf::from);
    let there = packages.join(package).is_dir();
    assert!(there, "{} has no {package}: run `cargo xtask test {suite}`", packages.display());
    packages
}

/// What the command printed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("python3 starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
