//! Stock llama.cpp through the scripts in `compat`.

use sprig_testkit::model::workspace;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has the wheels which `compat/stock.py` names.
pub struct Stock {
    packages: PathBuf,
}

impl Stock {
    /// Packages in `SPRIG_STOCK`, else where `cargo xtask test` puts them.
    ///
    /// # Panics
    /// Where they are absent, with the command that fetches them.
    pub fn find() -> Self {
        let usual = || workspace().join("target/tools/judge");
        let packages = std::env::var_os("SPRIG_STOCK").map_or_else(usual, PathBuf::from);
        let there = packages.join("xllamacpp").is_dir();
        assert!(there, "{} has no xllamacpp: run `cargo xtask test --only llama.cpp`", packages.display());
        Self { packages }
    }

    /// Logits after each of `ids`, tokens × vocabulary, with an adapter if one is given. `out` is a file to pass them in.
    ///
    /// # Panics
    /// Where llama.cpp refuses one of the files.
    pub fn logits(&self, model: &Path, ids: &[u32], adapter: Option<&Path>, out: &Path) -> Vec<f32> {
        let mut script = self.script("llama_logits.py");
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        script.arg(model).args(["--ids", &ids.join(",")]).arg("--out").arg(out);
        if let Some(adapter) = adapter {
            script.arg("--adapter").arg(adapter);
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

/// What the command printed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("python3 starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
