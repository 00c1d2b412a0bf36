//! The exit codes in the documents are those of the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Codes in the first column of the table under `heading`.
fn table(document: &str, heading: &str) -> BTreeSet<u8> {
    let (_, section) = document.split_once(heading).expect("the heading");
    let section = section.split("\n## ").next().unwrap_or(section);
    section.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok()).collect()
}

#[test]
fn documents_list_the_codes_of_the_enum() {
    let source = read("runtime/cli/src/exit.rs");
    let (_, body) = source.split_once("pub enum Exit {").expect("the enum");
    let (body, _) = body.split_once('}').expect("its end");
    let codes: BTreeSet<u8> = body
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split(" = ").nth(1)?.parse().ok())
        .collect();
    assert!(codes.len() >= 7, "{codes:?}");
    let heading = "# Exit codes of `sprig`";
    assert_eq!(table(&read("docs/exit-codes.md"), heading), codes);
    assert_eq!(table(&read("README.md"), heading), codes);
}
