//! Checks doc comments (their summaries, and that none has code, which no test would run) and the length of names.

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

/// Returns the lines of all source files that match, each with its place. The first argument of `matches` is the line before.
fn found(mut matches: impl FnMut(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for directory in ["functions", "infra", "shared", "tests"] {
        let mut files = Vec::new();
        sources(&root.join(directory), &mut files);
        assert!(!files.is_empty(), "{directory} has no source files");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let lines = std::iter::once("").chain(text.lines()).zip(text.lines()).enumerate();
            let matching = lines.filter(|(_, (before, line))| matches(before, line));
            found.extend(matching.map(|(at, (_, line))| format!("{}:{}: {}", file.display(), at + 1, line.trim())));
        }
    }
    found
}

#[test]
fn doc_comment_begins_with_no_question_word() {
    let found = found(|before, line| {
        summary(line, before).is_some_and(|text| QUESTION_WORDS.iter().any(|word| text.starts_with(word)))
    });
    assert!(
        found.is_empty(),
        "doc comments must say what the item is (\"Number of …\") or does (\"Returns whether …\"):\n{}",
        found.join("\n")
    );
}

/// `make test` runs no doc tests: to look for them in every crate takes as long as many tests.
#[test]
fn doc_comment_has_no_code_that_no_test_runs() {
    // A block ends with a bare fence, so every second fence of a file begins one. rustdoc compiles a block without a language.
    let mut is_open = false;
    let found = found(|before, line| {
        let text = |line: &str| {
            let line = line.trim_start();
            line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(|text| text.trim().to_owned())
        };
        let Some(doc) = text(line) else {
            is_open = false;
            return false;
        };
        if text(before).is_none() {
            is_open = false;
        }
        let Some(language) = doc.strip_prefix("```") else { return false };
        is_open = !is_open;
        is_open && !["text", "sh"].contains(&language)
    });
    assert!(found.is_empty(), "show the code in a test, or name the language text or sh:\n{}", found.join("\n"));
}

/// Maximum length of the name of a function. The longest ones are tests.
const MAX_NAME_CHARS: usize = 60;

#[test]
fn name_of_a_function_has_at_most_60_characters() {
    let found = found(|_, line| {
        let name = line.split_once("fn ").map(|(_, rest)| rest.split(['(', '<']).next().unwrap_or_default());
        let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        name.filter(is_name).is_some_and(|name| name.len() > MAX_NAME_CHARS)
    });
    assert!(found.is_empty(), "shorten the names:\n{}", found.join("\n"));
}

/// Minimum length of a gap in a text: a line that was continued with its indentation.
const GAP: &str = "      ";

/// A line break in a text that lacks its backslash is printed with the indentation of the next line.
#[test]
fn text_of_a_function_has_no_gaps() {
    let found = found(|_, line| {
        let is_code = !line.trim_start().starts_with("//");
        let text = line.split_once('"').map(|(_, text)| text.trim_end_matches(['"', '\\', ')', ',', ';']));
        is_code && text.is_some_and(|text| text.trim().contains(GAP))
    });
    // Help of the command contains tables, and tests contain input.
    let is_printed = |place: &String| {
        let path = place.split_once("/../../").map_or(place.as_str(), |(_, path)| path);
        (path.starts_with("functions/") || path.starts_with("shared/")) && !path.contains("/tests")
    };
    let printed: Vec<_> = found.into_iter().filter(is_printed).collect();
    assert!(printed.is_empty(), "end the line before with a backslash:\n{}", printed.join("\n"));
}
