//! Updates RESULTS.md: writes tables between markers, and does not change the other text.

use std::{fs, path::Path};

use anyhow::Context;
use jiff::Timestamp;

/// Puts a section's text between its markers, `<!-- name -->` and `<!-- /name -->`.
///
/// # Errors
/// The document has no such section.
pub fn replace(document: &str, name: &str, text: &str) -> anyhow::Result<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let missing = || format!("the document has no section between {} and {end}", begin.trim());
    let (before, rest) = document.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", text.trim()))
}

/// Writes a section of a file, with the time and the machine of the measurement.
///
/// # Errors
/// The file cannot be read or written, or lacks the section.
pub fn write(path: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let document = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let document = replace(&document, name, &format!("{text}\n\n{}", measured()))?;
    fs::write(path, document).with_context(|| path.display().to_string())
}

/// The time and the machine of the measurement.
fn measured() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    let profile = if cfg!(debug_assertions) { ", NOT OPTIMISED" } else { "" };
    format!(
        "*{} UTC, {} with {cores} cores, load {load}{profile}*",
        Timestamp::now().strftime("%Y-%m-%d %H:%M"),
        model.unwrap_or("an unknown processor")
    )
}

/// A table in Markdown.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &mut dyn Iterator<Item = &str>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let mut table = line(&mut head.iter().copied());
    table.push_str(&line(&mut head.iter().enumerate().map(|(place, _)| if place == 0 { "---" } else { "---:" })));
    for row in rows {
        table.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    table
}

/// A number with three significant digits.
pub fn figure(number: f64) -> String {
    match number.abs() {
        100.0.. => {
            let whole = format!("{number:.0}");
            let digits = whole.len();
            let grouped = whole.chars().enumerate().flat_map(|(place, digit)| {
                let comma = (place > 0 && (digits - place).is_multiple_of(3)).then_some(',');
                comma.into_iter().chain([digit])
            });
            grouped.collect()
        }
        10.0.. => format!("{number:.1}"),
        1.0.. => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_update_keeps_the_prose() {
        let document = "# Title\n<!-- a -->\nold\n<!-- /a -->\nprose\n<!-- b -->\n<!-- /b -->\n";
        let after = replace(document, "a", "new").unwrap();
        assert_eq!(after, "# Title\n<!-- a -->\n\nnew\n\n<!-- /a -->\nprose\n<!-- b -->\n<!-- /b -->\n");
        assert_eq!(replace(&after, "a", "new").unwrap(), after);
        assert!(replace(document, "c", "new").is_err());
    }

    #[test]
    fn figures_have_three_digits() {
        let figures = [1_234_567.0, 123.4, 12.34, 1.234, 0.1234].map(figure);
        assert_eq!(figures, ["1,234,567", "123", "12.3", "1.23", "0.123"]);
    }
}
