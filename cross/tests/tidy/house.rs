//! The house as its files say it: crates, modules, and which file each path of a file leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::Visit;

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Folders of the workspace's members, as its manifest lists them.
pub fn members() -> Vec<String> {
    let text = read(&root().join("Cargo.toml"));
    let manifest: toml::Table = text.parse().expect("the workspace's manifest is TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members").clone();
    members.iter().map(|member| member.as_str().expect("a path").to_owned()).collect()
}

/// Every `.rs` file below `folder` of the checkout, by its path there. What tests alone write is left out.
pub fn sources(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The text of a file; a panic names it.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The syntax tree of a file of the checkout.
pub fn parse(file: &str) -> syn::File {
    syn::parse_file(&read(&root().join(file))).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Whether something is compiled for tests alone.
pub fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|cfg| cfg.is_ident("test"))
    })
}

type Name = Vec<String>;

/// A module that is not for tests.
struct Module {
    file: String,
    children: BTreeSet<String>,
    /// Names it offers that stand elsewhere: what it is called here, and where it is from.
    offers: BTreeMap<String, Name>,
    /// Modules of which it offers everything.
    globs: Vec<Name>,
}

/// The modules of one crate.
pub struct Crate {
    modules: BTreeMap<Name, Module>,
    uses: Vec<(Name, String, Name)>,
}

impl Crate {
    /// Reads the crate whose root is `file`.
    pub fn read(file: &str) -> Self {
        let mut house = Crate { modules: BTreeMap::new(), uses: Vec::new() };
        house.enter(Vec::new(), file);
        house
    }

    /// Which file takes something from which. A folder's `mod.rs` (or `lib.rs`) is not counted as any other file: that it
    /// offers what the folder holds is a table of contents, and what it defines belongs to all files of its folder.
    pub fn arrows(&self) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        for (module, file, path) in &self.uses {
            let Some(target) = self.resolve(module, path, 0) else { continue };
            if target != *file && !is_above(&target, file) {
                found.insert((file.clone(), target));
            }
        }
        found
    }

    fn enter(&mut self, name: Name, file: &str) {
        let syntax = parse(file);
        self.add(&name, file, &syntax.items);
        let mut paths = Paths { found: Vec::new() };
        for item in syntax.items.iter().filter(|item| !is_test(attributes(item))) {
            paths.visit_item(item);
        }
        for path in paths.found {
            self.uses.push((name.clone(), file.to_owned(), path));
        }
    }

    /// Takes in a module's items; modules in files of their own are entered.
    fn add(&mut self, name: &Name, file: &str, items: &[syn::Item]) {
        let items: Vec<&syn::Item> = items.iter().filter(|item| !is_test(attributes(item))).collect();
        let children = items.iter().filter_map(|item| match item {
            syn::Item::Mod(child) => Some(child.ident.to_string()),
            _ => None,
        });
        let mut module = Module {
            file: file.to_owned(),
            children: children.collect(),
            offers: BTreeMap::new(),
            globs: Vec::new(),
        };
        let is_contents = file.ends_with("/mod.rs") || file.ends_with("/lib.rs");
        let mut below = Vec::new();
        for item in items {
            match item {
                syn::Item::Mod(child) => below.push(child),
                syn::Item::Use(item) => {
                    let mut leaves = Vec::new();
                    flatten(&item.tree, &mut Vec::new(), &mut leaves);
                    for (path, leaf) in leaves {
                        let own = path.first().is_some_and(|first| module.children.contains(first));
                        let offered = !matches!(item.vis, syn::Visibility::Inherited);
                        if !(offered && is_contents && own) {
                            self.uses.push((name.clone(), file.to_owned(), path.clone()));
                        }
                        match leaf {
                            Some(leaf) => drop(module.offers.insert(leaf, path)),
                            None => module.globs.push(path),
                        }
                    }
                }
                _ => {}
            }
        }
        self.modules.insert(name.clone(), module);
        for child in below {
            let mut inner = name.clone();
            inner.push(child.ident.to_string());
            match &child.content {
                Some((_, items)) => self.add(&inner, file, items),
                None => {
                    let file = file_of(file, child);
                    self.enter(inner, &file);
                }
            }
        }
    }

    /// The file in which what `path`, written in module `from`, stands; `None` when it is of another crate.
    fn resolve(&self, from: &Name, path: &[String], depth: usize) -> Option<String> {
        let (mut at, mut rest): (Name, &[String]) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (from.clone(), &path[1..]),
            "super" => (from.split_last()?.1.to_vec(), &path[1..]),
            first if self.modules.get(from)?.children.contains(first) => (from.clone(), path),
            _ => return None,
        };
        loop {
            let module = self.modules.get(&at)?;
            let Some((next, after)) = rest.split_first() else { return Some(module.file.clone()) };
            if next == "super" {
                at.pop()?;
            } else if module.children.contains(next) {
                at.push(next.clone());
            } else if let Some(elsewhere) = module.offers.get(next).filter(|_| depth < 8) {
                return self.resolve(&at, elsewhere, depth + 1);
            } else {
                return Some(module.file.clone());
            }
            rest = after;
        }
    }
}

/// Whether `module` is the `mod.rs` or `lib.rs` of a folder that `file` lies in.
fn is_above(module: &str, file: &str) -> bool {
    let folder = ["mod.rs", "lib.rs", "main.rs"].iter().find_map(|name| module.strip_suffix(name));
    folder.is_some_and(|folder| file.starts_with(folder))
}

/// Paths in code that begin in this crate.
struct Paths {
    found: Vec<Name>,
}

impl Visit<'_> for Paths {
    fn visit_item(&mut self, item: &syn::Item) {
        // A module of its own, and imports, are read elsewhere.
        if !matches!(item, syn::Item::Use(_) | syn::Item::Mod(_)) && !is_test(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.segments.len() > 1 {
            self.found.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }
}

/// The paths of an import; with each what it is called, or `None` for everything in it.
fn flatten(tree: &syn::UseTree, path: &mut Name, out: &mut Vec<(Name, Option<String>)>) {
    match tree {
        syn::UseTree::Path(part) => {
            path.push(part.ident.to_string());
            flatten(&part.tree, path, out);
            path.pop();
        }
        syn::UseTree::Group(group) => group.items.iter().for_each(|item| flatten(item, path, out)),
        syn::UseTree::Glob(_) => out.push((path.clone(), None)),
        syn::UseTree::Name(leaf) if leaf.ident == "self" => out.push((path.clone(), path.last().cloned())),
        syn::UseTree::Name(leaf) => out.push((joined(path, &leaf.ident), Some(leaf.ident.to_string()))),
        syn::UseTree::Rename(leaf) => out.push((joined(path, &leaf.ident), Some(leaf.rename.to_string()))),
    }
}

fn joined(path: &Name, last: &syn::Ident) -> Name {
    path.iter().cloned().chain([last.to_string()]).collect()
}

/// Where a module declared in `file` lies.
fn file_of(file: &str, module: &syn::ItemMod) -> String {
    let folder = Path::new(file).parent().expect("a file lies in a folder");
    let named = module.attrs.iter().find(|attribute| attribute.path().is_ident("path"));
    let given = named.and_then(|attribute| match &attribute.meta {
        syn::Meta::NameValue(value) => match &value.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    if let Some(given) = given {
        return folder.join(given).to_string_lossy().into_owned();
    }
    let stem = Path::new(file).file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let base = match stem.as_str() {
        "mod" | "lib" | "main" => folder.to_owned(),
        _ => folder.join(stem),
    };
    let beside = base.join(format!("{}.rs", module.ident));
    let inside = base.join(module.ident.to_string()).join("mod.rs");
    let found = if root().join(&beside).is_file() { beside } else { inside };
    found.to_string_lossy().into_owned()
}

/// The attributes of an item, whatever it is.
pub fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(i) => &i.attrs,
        syn::Item::Enum(i) => &i.attrs,
        syn::Item::Fn(i) => &i.attrs,
        syn::Item::Impl(i) => &i.attrs,
        syn::Item::Macro(i) => &i.attrs,
        syn::Item::Mod(i) => &i.attrs,
        syn::Item::Static(i) => &i.attrs,
        syn::Item::Struct(i) => &i.attrs,
        syn::Item::Trait(i) => &i.attrs,
        syn::Item::Type(i) => &i.attrs,
        syn::Item::Use(i) => &i.attrs,
        _ => &[],
    }
}
