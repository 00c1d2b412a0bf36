//! What the documents name is there: tests, and files of the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files of the checkout below `folder` whose name ends in `ending`.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let skipped = name.starts_with('.') || name == "target" || name == "models";
        if path.is_dir() && !skipped {
            found.append(&mut files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// Names of all functions of the sources.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in files(&root(), ".rs") {
        let text = read(&source);
        names.extend(
            text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next()).map(str::to_owned),
        );
    }
    names
}

#[test]
fn tests_that_the_documents_name_exist() {
    let functions = functions();
    let mut missing = Vec::new();
    for document in files(&root(), ".md") {
        let text = read(&document);
        // Code blocks aside, every other piece between backticks is quoted; a test's name is a sentence.
        let quoted = text
            .lines()
            .filter(|line| !line.starts_with("```"))
            .flat_map(|line| line.split('`').skip(1).step_by(2));
        for word in quoted {
            let is_name = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if is_name && word.matches('_').count() >= 3 && !functions.contains(word) {
                missing.push(format!("{}: {word}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no test of this name:\n  {}", missing.join("\n  "));
}

#[test]
fn files_that_the_documents_link_to_exist() {
    let mut missing = Vec::new();
    for document in files(&root(), ".md") {
        let text = read(&document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or(target);
            let beside = document.parent().expect("a file lies in a folder").join(file);
            if !target.contains("://") && !file.is_empty() && !beside.exists() {
                missing.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "links that lead nowhere:\n  {}", missing.join("\n  "));
}
