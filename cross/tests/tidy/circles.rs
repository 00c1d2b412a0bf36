//! Circles among arrows from file to file: the strongly connected components of more than one file (Tarjan, 1972).

use std::collections::{BTreeMap, BTreeSet};

type Arrows = BTreeSet<(String, String)>;

/// The circles, each with its files in order.
pub fn circles(arrows: &Arrows) -> Vec<Vec<String>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in arrows {
        next.entry(from).or_default().push(to);
        next.entry(to).or_default();
    }
    let mut walk = Walk { next: &next, seen: BTreeMap::new(), stack: Vec::new(), found: Vec::new() };
    for file in next.keys() {
        if !walk.seen.contains_key(file) {
            walk.visit(file);
        }
    }
    walk.found
}

/// A circle for people: each of its arrows.
pub fn describe(circle: &[String], arrows: &Arrows) -> String {
    let inside = arrows.iter().filter(|(from, to)| circle.contains(from) && circle.contains(to));
    let lines: Vec<String> = inside.map(|(from, to)| format!("{from} -> {to}")).collect();
    lines.join("\n  ") + "\n"
}

struct Walk<'a> {
    next: &'a BTreeMap<&'a str, Vec<&'a str>>,
    /// Order of discovery, and the earliest file on the stack that is reached from it.
    seen: BTreeMap<&'a str, (usize, usize)>,
    stack: Vec<&'a str>,
    found: Vec<Vec<String>>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, file: &'a str) -> usize {
        let order = self.seen.len();
        self.seen.insert(file, (order, order));
        self.stack.push(file);
        let mut low = order;
        for to in &self.next[file] {
            match self.seen.get(to) {
                None => low = low.min(self.visit(to)),
                Some(&(order, _)) if self.stack.contains(to) => low = low.min(order),
                Some(_) => {}
            }
        }
        self.seen.insert(file, (order, low));
        if low == order {
            let from = self.stack.iter().position(|other| *other == file).expect("it was pushed");
            let mut circle: Vec<String> = self.stack.drain(from..).map(str::to_owned).collect();
            circle.sort();
            if circle.len() > 1 {
                self.found.push(circle);
            }
        }
        low
    }
}

#[test]
fn a_circle_is_found_and_a_line_is_not() {
    let arrows =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let line: Arrows = arrows(&[("a", "b"), ("b", "c"), ("a", "c")]);
    assert!(circles(&line).is_empty());
    let circle: Arrows = arrows(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d")]);
    let mut found = circles(&circle);
    found.sort();
    assert_eq!(found, [vec!["a", "b", "c"], vec!["d", "e"]]);
}
