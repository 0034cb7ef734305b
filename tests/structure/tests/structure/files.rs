//! Checks the imports between the files of a crate, with the crate's syntax trees.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, ItemMod, ItemUse, UseTree, Visibility,
    visit::{self, Visit},
};

use crate::crates::members;

/// A module by its path within the crate; the crate's root is empty.
type Module = Vec<String>;

/// One source file of a crate.
struct File {
    module: Module,
    imports: BTreeSet<Module>,
}

/// Collects the paths that a file names, outside its own tests.
struct Paths {
    module: Module,
    found: BTreeSet<Module>,
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string().contains("test"))
    })
}

impl Paths {
    /// Converts a path to a module path from the crate's root; `None` for another crate's.
    fn absolute(&self, segments: &[String]) -> Option<Module> {
        let mut from = match segments.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => self.module.clone(),
            "super" => self.module[..self.module.len().checked_sub(1)?].to_vec(),
            // A child module, or another crate: the caller keeps only what is a module.
            first => [self.module.clone(), vec![first.to_owned()]].concat(),
        };
        for segment in &segments[1..] {
            if segment == "super" {
                from.pop()?;
            } else {
                from.push(segment.clone());
            }
        }
        Some(from)
    }

    fn tree(&mut self, before: &[String], tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.tree(&[before, &[path.ident.to_string()]].concat(), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(before, item)),
            UseTree::Name(name) => self.add(&[before, &[name.ident.to_string()]].concat()),
            UseTree::Rename(name) => self.add(&[before, &[name.ident.to_string()]].concat()),
            UseTree::Glob(_) => self.add(before),
        }
    }

    fn add(&mut self, segments: &[String]) {
        self.found.extend(self.absolute(segments));
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // A re-export makes no use of what it names.
        if matches!(item.vis, Visibility::Inherited) {
            self.tree(&[], &item.tree);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.add(&segments);
        }
        visit::visit_path(self, path);
    }
}

/// Collects the source files below a directory.
pub(crate) fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Returns the module of a file in its crate: `graph/mod.rs` and `graph.rs` are `graph`, `lib.rs` and `main.rs` the
/// root.
fn module(file: &Path, source: &Path) -> Module {
    let inside = file.strip_prefix(source).unwrap().with_extension("");
    let mut module: Module = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

fn files(directory: &Path) -> Vec<File> {
    let source = directory.join("src");
    let mut paths = Vec::new();
    sources(&source, &mut paths);
    // A binary beside a library is a crate of its own that imports the library.
    let has_library = source.join("lib.rs").exists();
    let is_binary = |path: &PathBuf| path.starts_with(source.join("bin")) || path.ends_with("src/main.rs");
    paths.retain(|path| !(has_library && is_binary(path)));
    let read: Vec<_> = paths
        .iter()
        .filter(|path| path.file_stem().is_none_or(|stem| stem != "tests"))
        .map(|path| {
            let module = module(path, &source);
            let file = syn::parse_file(&fs::read_to_string(path).unwrap());
            let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut paths = Paths { module: module.clone(), found: BTreeSet::new() };
            paths.visit_file(&file);
            (module, paths.found)
        })
        .collect();
    let modules: BTreeSet<_> = read.iter().map(|(module, _)| module.clone()).collect();
    read.into_iter()
        .map(|(module, found)| {
            // The innermost module that a path names is the file that is used.
            let owner =
                |path: &Module| (0..=path.len()).rev().map(|n| path[..n].to_vec()).find(|m| modules.contains(m));
            let imports = found.iter().filter_map(owner).filter(|import| *import != module).collect();
            File { module, imports }
        })
        .collect()
}

/// Returns the files that can be reached from a file.
fn reached<'a>(from: &'a Module, imports: &BTreeMap<&'a Module, &'a BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = vec![from];
    while let Some(module) = next.pop() {
        for import in imports.get(module).into_iter().copied().flatten() {
            if reached.insert(import) {
                next.push(import);
            }
        }
    }
    reached
}

#[test]
fn files_of_a_crate_form_no_circle() {
    let mut circles = Vec::new();
    let mut examined = 0;
    for member in members() {
        let files = files(&member.directory);
        examined += files.len();
        let imports: BTreeMap<_, _> = files.iter().map(|file| (&file.module, &file.imports)).collect();
        let mut seen = BTreeSet::new();
        for file in &files {
            let mine = reached(&file.module, &imports);
            if mine.contains(&file.module) && seen.insert(&file.module) {
                let circle: BTreeSet<_> =
                    mine.into_iter().filter(|other| reached(other, &imports).contains(&file.module)).collect();
                seen.extend(circle.iter().copied());
                let names: Vec<_> = circle.iter().map(|module| format!("/{}", module.join("/"))).collect();
                circles.push(format!("{}: {}", member.name, names.join(" ")));
            }
        }
    }
    assert!(examined > 100, "only {examined} files were found");
    assert!(circles.is_empty(), "circles between files: {circles:#?}");
}
