//! Who may depend on whom: the direction that keeps each crate's subject to itself.

use std::fs;
use std::path::Path;

/// Crate, folder, and the crates of this workspace it may use.
const ALLOWED: &[(&str, &str, &[&str])] = &[
    ("sprig-ground", "runtime/ground", &[]),
    ("sprig-budget", "runtime/budget", &["sprig-ground"]),
    ("sprig-engine", "runtime/engine", &["sprig-budget", "sprig-ground"]),
    ("sprig-learn", "runtime/learn", &["sprig-engine", "sprig-budget", "sprig-ground"]),
    ("sprig-report", "runtime/report", &["sprig-budget", "sprig-ground"]),
    ("sprig-device", "device-profiles", &["sprig-ground"]),
    (
        "sprig-run",
        "runtime/run",
        &["sprig-learn", "sprig-engine", "sprig-budget", "sprig-device", "sprig-ground"],
    ),
    ("sprig-transport", "transport", &["sprig-ground"]),
    (
        "sprig-protocol",
        "runtime/fleet/protocol",
        &["sprig-budget", "sprig-engine", "sprig-learn", "sprig-run", "sprig-transport", "sprig-ground"],
    ),
    // Agent and coordinator meet on the wire alone.
    (
        "sprig-agent",
        "runtime/fleet/agent",
        &[
            "sprig-budget",
            "sprig-engine",
            "sprig-learn",
            "sprig-run",
            "sprig-protocol",
            "sprig-transport",
            "sprig-device",
            "sprig-ground",
        ],
    ),
    // The coordinator adds numbers up and opens no model.
    (
        "sprig-coordinator",
        "runtime/fleet/coordinator",
        &["sprig-budget", "sprig-learn", "sprig-protocol", "sprig-transport", "sprig-ground"],
    ),
    (
        "sprig-simulate",
        "runtime/fleet/simulate",
        &[
            "sprig-budget",
            "sprig-engine",
            "sprig-learn",
            "sprig-run",
            "sprig-protocol",
            "sprig-coordinator",
            "sprig-transport",
            "sprig-ground",
        ],
    ),
    (
        "sprig",
        "runtime/cli",
        &[
            "sprig-budget",
            "sprig-engine",
            "sprig-learn",
            "sprig-run",
            "sprig-protocol",
            "sprig-agent",
            "sprig-coordinator",
            "sprig-simulate",
            "sprig-report",
            "sprig-transport",
            "sprig-device",
            "sprig-ground",
        ],
    ),
    // What tests share: in nobody's row, so a dev-dependency and nothing else.
    ("sprig-testkit", "tests/kit", &["sprig-ground"]),
    // Developer commands drive the built binary; their benchmarks are drawn as its reports are.
    ("sprig-cross", "cross", &["sprig-ground", "sprig-report"]),
];

fn manifest(folder: &str) -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Crates of this workspace among `[dependencies]`, `[build-dependencies]` and their per-target forms.
fn sprig_dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut tables = vec![manifest];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    tables.extend(targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table));
    let mut found = Vec::new();
    for table in tables {
        for kind in ["dependencies", "build-dependencies"] {
            let dependencies = table.get(kind).and_then(toml::Value::as_table);
            found.extend(dependencies.into_iter().flat_map(toml::Table::iter).filter_map(|(key, value)| {
                let name = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
                (name == "sprig" || name.starts_with("sprig-")).then(|| name.to_owned())
            }));
        }
    }
    found
}

#[test]
fn crates_depend_only_in_the_allowed_direction() {
    for (name, folder, allowed) in ALLOWED {
        let manifest = manifest(folder);
        assert_eq!(manifest["package"]["name"].as_str(), Some(*name), "{folder}");
        for dependency in sprig_dependencies(&manifest) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn every_member_has_a_rule() {
    let root = manifest(".");
    for member in root["workspace"]["members"].as_array().expect("members") {
        let folder = member.as_str().expect("a path");
        // Tests may use everything.
        assert!(
            folder == "tests" || ALLOWED.iter().any(|(_, known, _)| known == &folder),
            "no rule for {folder}"
        );
    }
}

#[test]
fn a_renamed_or_target_dependency_is_seen() {
    let manifest: toml::Table = r#"
        [dependencies]
        learn = { package = "sprig-learn", path = "../learn" }
        anyhow = "1"
        [target.'cfg(unix)'.dependencies]
        sprig-engine = { workspace = true }
    "#
    .parse()
    .expect("TOML");
    let mut found = sprig_dependencies(&manifest);
    found.sort();
    assert_eq!(found, ["sprig-engine", "sprig-learn"]);
}
