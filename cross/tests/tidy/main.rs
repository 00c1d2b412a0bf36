//! What keeps the house easy to read, held as tests: small files with a header, short functions that take little, one
//! style of module files, one block of imports, and no file that depends on one which depends on it.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]

mod circles;
mod functions;
mod house;

use house::{Crate, members, parse, read, root, sources};
use std::collections::BTreeSet;

/// Most lines of a file.
const LINES: usize = 400;
/// Most lines of a function.
const FUNCTION_LINES: usize = 70;
/// Most arguments of a function, its receiver not counted.
const ARGUMENTS: usize = 6;

/// Functions that may be longer, and why.
const LONG: &[(&str, &str, &str)] = &[];

/// Functions that may take more, and why.
const WIDE: &[(&str, &str, &str)] = &[];

/// Whether a file is part of what is built and shipped; tests, benches and examples are not.
fn is_product(file: &str) -> bool {
    let within =
        |folder: &str| file.contains(&format!("/{folder}/")) || file.starts_with(&format!("{folder}/"));
    let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".rs");
    let is_test = stem == "tests" || stem.ends_with("_tests") || stem == "testing";
    !is_test && !["tests", "benches", "examples", "fuzz"].iter().any(|folder| within(folder))
}

/// Every source of the workspace's members.
fn all() -> Vec<String> {
    members().iter().flat_map(|member| sources(member)).collect::<BTreeSet<_>>().into_iter().collect()
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> =
        all().into_iter().filter(|file| !read(&root().join(file)).starts_with("//!")).collect();
    none("files that do not begin with `//!` and what they are for", &silent);
}

#[test]
fn files_are_short() {
    let lines = |file: &String| read(&root().join(file)).lines().count();
    let long = all().into_iter().map(|file| (lines(&file), file)).filter(|(lines, _)| *lines > LINES);
    let long: Vec<String> = long.map(|(lines, file)| format!("{file}: {lines} lines")).collect();
    none(&format!("files of more than {LINES} lines: divide them by idea"), &long);
}

#[test]
fn functions_are_short_and_take_little() {
    let mut found = Vec::new();
    for file in all().into_iter().filter(|file| is_product(file)) {
        for f in functions::functions(&parse(&file)) {
            let named =
                |list: &[(&str, &str, &str)]| list.iter().any(|(at, name, _)| *at == file && *name == f.name);
            if f.lines > FUNCTION_LINES && !named(LONG) {
                found.push(format!("{file}: {} has {} lines", f.name, f.lines));
            }
            if f.arguments > ARGUMENTS && !named(WIDE) {
                found.push(format!("{file}: {} takes {} arguments", f.name, f.arguments));
            }
        }
    }
    none(
        &format!(
            "functions of more than {FUNCTION_LINES} lines, or with more than {ARGUMENTS} arguments (a type is missing)"
        ),
        &found,
    );
}

#[test]
fn exceptions_are_still_needed_and_say_why() {
    let mut idle = Vec::new();
    for (list, limit, measure) in [
        (LONG, FUNCTION_LINES, (|f| f.lines) as fn(&functions::Function) -> usize),
        (WIDE, ARGUMENTS, |f| f.arguments),
    ] {
        for (file, name, why) in list {
            let functions = functions::functions(&parse(file));
            let needed = functions.iter().any(|f| f.name == *name && measure(f) > limit);
            if !needed || why.len() < 20 {
                idle.push(format!("{file}: {name}"));
            }
        }
    }
    none("exceptions that nothing needs any more, or without a reason", &idle);
}

#[test]
fn a_folder_of_modules_has_a_mod_file() {
    // `x.rs` beside a folder `x/` would be the other style.
    let beside = all().into_iter().filter(|file| {
        let folder = root().join(file.trim_end_matches(".rs"));
        is_product(file) && folder.is_dir()
    });
    none("files beside a folder of the same name: make them its mod.rs", &beside.collect::<Vec<_>>());
}

#[test]
fn imports_are_one_block() {
    // Within a block rustfmt keeps one order: this crate, then others and the standard library by their names.
    let mut found = Vec::new();
    for file in all() {
        let text = read(&root().join(&file));
        let lines: Vec<&str> = text.lines().collect();
        for pair in parse(&file).items.windows(2) {
            if let [syn::Item::Use(first), syn::Item::Use(second)] = pair
                && [first, second].iter().all(|item| matches!(item.vis, syn::Visibility::Inherited))
            {
                let between = first.semi_token.span.end().line..second.use_token.span.start().line - 1;
                if lines[between].iter().any(|line| line.trim().is_empty()) {
                    found.push(file.clone());
                    break;
                }
            }
        }
    }
    none("files whose imports stand in more than one block", &found);
}

#[test]
fn no_file_depends_on_one_that_depends_on_it() {
    let mut found = Vec::new();
    for member in members() {
        for start in ["src/lib.rs", "src/main.rs"].map(|file| format!("{member}/{file}")) {
            if root().join(&start).is_file() {
                let arrows = Crate::read(&start).arrows();
                found.extend(
                    circles::circles(&arrows).iter().map(|circle| circles::describe(circle, &arrows)),
                );
            }
        }
    }
    none("circles of files: move what both need into a file of its own", &found);
}
