//! Who may depend on whom: the direction that keeps each crate's subject to itself.

use std::fs;
use std::path::Path;

/// A row of the table of crates in `docs/architecture.md`.
struct Rule {
    name: String,
    folder: String,
    allowed: Vec<String>,
}

/// The rules as the document states them: crate, folder, what it knows, and the crates of this workspace it may use.
fn rules() -> Vec<Rule> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/architecture.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = text.lines().filter(|line| line.starts_with("| `sprig"));
    let rules: Vec<Rule> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            let [name, folder, _, allowed] = cells[..] else { panic!("a row of four cells: {row}") };
            let words =
                |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
            // Short names: `budget` for `sprig-budget`.
            let allowed = words(allowed).into_iter().map(|short| format!("sprig-{short}")).collect();
            Rule { name: words(name).remove(0), folder: words(folder).remove(0), allowed }
        })
        .collect();
    assert!(rules.len() > 8, "the table of crates is not where it was");
    rules
}

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
    for Rule { name, folder, allowed } in rules() {
        let manifest = manifest(&folder);
        assert_eq!(manifest["package"]["name"].as_str(), Some(name.as_str()), "{folder}");
        let used = sprig_dependencies(&manifest);
        for dependency in &used {
            assert!(allowed.contains(dependency), "{name} must not depend on {dependency}");
        }
        // A stale permission would let an arrow in unseen.
        for dependency in &allowed {
            assert!(used.contains(dependency), "{name} may use {dependency}, and does not: shorten its row");
        }
    }
}

#[test]
fn every_member_has_a_rule() {
    let (root, rules) = (manifest("."), rules());
    for member in root["workspace"]["members"].as_array().expect("members") {
        let folder = member.as_str().expect("a path");
        // Tests may use everything.
        assert!(folder == "tests" || rules.iter().any(|rule| rule.folder == folder), "no rule for {folder}");
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
