//! The product's code, without the code of its tests.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::document::{list_folders, read_text, root};

/// The attribute of an item that is compiled only for tests, as rustfmt writes it.
const FOR_TESTS: &str = "#[cfg(test)]";

/// Returns every file of the functions and the shared crates, as its path and its code without white space and comments.
/// Files and items that are compiled only for tests are left out.
pub(crate) fn read_product_code() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for parent in ["functions", "shared"] {
        for name in list_folders(parent) {
            let folder = PathBuf::from(parent).join(name).join("src");
            for crate_root in ["lib.rs", "main.rs"].map(|name| folder.join(name)) {
                if root().join(&crate_root).exists() {
                    read_file(&crate_root, &folder, &mut found);
                }
            }
        }
    }
    found
}

/// Reads a file and the files of its modules, which are in the folder `children`.
fn read_file(file: &Path, children: &Path, found: &mut BTreeMap<String, String>) {
    let path = file.to_string_lossy().into_owned();
    let lines = read_text(&path);
    let lines = without_tests(&lines);
    for name in lines.iter().filter_map(|line| declared_module(line)) {
        let children = children.join(name);
        let files = [children.with_extension("rs"), children.join("mod.rs")];
        let file = files.iter().find(|file| root().join(file).exists());
        read_file(file.unwrap_or_else(|| panic!("{path}: the module {name} has no file")), &children, found);
    }
    found.insert(path, lines.iter().flat_map(|line| line.split_whitespace()).collect());
}

/// Returns the name in the declaration of a module that has its own file.
fn declared_module(line: &str) -> Option<&str> {
    let declaration = line.strip_suffix(';')?;
    let name = declaration.strip_prefix("mod ").or_else(|| Some(declaration.split_once(" mod ")?.1))?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
}

/// Returns the lines without comments and items that are compiled only for tests. rustfmt has indented the code: an item
/// ends with the first line that has its indentation and ends with `}` or `;`.
fn without_tests(text: &str) -> Vec<&str> {
    let mut kept = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if code == FOR_TESTS {
            let indentation = &line[..line.len() - code.len()];
            let ends = |line: &str| {
                let rest = line.strip_prefix(indentation).unwrap_or_default();
                !rest.starts_with(char::is_whitespace) && rest.ends_with(['}', ';'])
            };
            assert!(lines.any(ends), "an item for tests has no end");
        } else if !code.starts_with("//") {
            kept.push(line);
        }
    }
    kept
}

#[test]
fn test_code_is_left_out_of_the_product_code() {
    let code = "fn a() {\n    metrics::add(\n        Metric::Listed,\n        1,\n    );\n}\n\n#[cfg(test)]\nmod in_memory;\npub(crate) \
                mod b;\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    fn c() {\n        metrics::add(Metric::Queued, 1);\n    \
                }\n}\n\nimpl D {\n    #[cfg(test)]\n    fn e(&self) {\n        metrics::add(Metric::Queued, 1);\n    }\n\n    // \
                metrics::add(Metric::Queued, 1);\n    fn f() {}\n}\n";
    let lines = without_tests(code);
    let compact: String = lines.iter().flat_map(|line| line.split_whitespace()).collect();
    assert_eq!(compact, "fna(){metrics::add(Metric::Listed,1,);}pub(crate)modb;implD{fnf(){}}");
    assert_eq!(lines.iter().filter_map(|line| declared_module(line)).collect::<Vec<_>>(), ["b"]);
    let files = read_product_code();
    for path in ["functions/import/src/import.rs", "shared/mailbox/src/graph/filing.rs", "shared/aws/src/sqs.rs"] {
        assert!(files.contains_key(path), "{path} is not among the files");
    }
    assert!(!files.keys().any(|path| path.ends_with("tests.rs") || path.ends_with("in_memory.rs")));
}
