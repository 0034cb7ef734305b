//! Checks the summaries of doc comments.

use std::{fs, path::Path};

use crate::files::sources;

/// A summary that begins with one of these words describes a question, and not what the item is or does.
const QUESTION_WORDS: [&str; 7] = ["How ", "What ", "Where ", "Whether ", "Which ", "Who ", "Why "];

/// Returns the text of a line that begins a doc comment.
fn summary<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    let text =
        |line: &'a str| line.trim_start().strip_prefix("/// ").or_else(|| line.trim_start().strip_prefix("//! "));
    let is_first = !before.trim_start().starts_with("///") && !before.trim_start().starts_with("//!");
    text(line).filter(|_| is_first)
}

#[test]
fn doc_comment_begins_with_no_question_word() {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for directory in ["functions", "infra", "shared", "tests"] {
        let mut files = Vec::new();
        sources(&root.join(directory), &mut files);
        assert!(!files.is_empty(), "{directory} has no source files");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let lines = std::iter::once("").chain(text.lines()).zip(text.lines()).enumerate();
            let questions = lines.filter(|(_, (before, line))| {
                summary(line, before).is_some_and(|text| QUESTION_WORDS.iter().any(|word| text.starts_with(word)))
            });
            found.extend(questions.map(|(at, (_, line))| format!("{}:{}: {}", file.display(), at + 1, line.trim())));
        }
    }
    assert!(
        found.is_empty(),
        "doc comments must say what the item is (\"Number of …\") or does (\"Returns whether …\"):\n{}",
        found.join("\n")
    );
}
