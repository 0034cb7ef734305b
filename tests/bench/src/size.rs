//! The share of each crate in the functions' code, measured by cargo-bloat on binaries with symbols.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::report::{figure, table};

const FUNCTIONS: [&str; 3] = ["fetch", "convert", "import"];

/// Crates with fewer bytes than this in every function are combined in one line.
const SMALL: u64 = 50_000;

/// The result of cargo-bloat for a binary.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Binary {
    /// Size of the machine code, in bytes.
    text_section_size: u64,
    crates: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    /// Size of the machine code that is attributed to the crate, in bytes.
    size: u64,
}

/// Builds a function as it is deployed, but with symbols and in a separate directory, and analyses it.
fn of(function: &str) -> anyhow::Result<Binary> {
    // The directory of this profile.
    let target = harness::binaries()?.with_file_name("size");
    let mut command = Command::new("cargo-bloat");
    command.args(["bloat", "--release", "--locked", "--crates", "-n", "0", "--message-format", "json"]);
    command.args(["--package", function, "--bin", function, "--target-dir"]).arg(target);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_PROFILE_RELEASE_STRIP", "none").output();
    let output = output.context("cargo-bloat, which `make bench` installs, cannot be run")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo-bloat {function}: {}\n{stderr}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("cargo-bloat {function}"))
}

/// Analyses the functions and returns the section's text.
///
/// # Errors
/// A function cannot be built, or the output of cargo-bloat is invalid.
pub fn measure() -> anyhow::Result<String> {
    let mut sizes = Vec::new();
    for function in FUNCTIONS {
        sizes.push(of(function)?);
    }
    Ok(section(&sizes))
}

fn section(binaries: &[Binary]) -> String {
    let mut crates = BTreeMap::<&str, Vec<u64>>::new();
    for (place, binary) in binaries.iter().enumerate() {
        for Crate { name, size } in &binary.crates {
            crates.entry(name).or_insert_with(|| vec![0; binaries.len()])[place] += size;
        }
    }
    let (mut large, small): (Vec<_>, Vec<_>) =
        crates.into_iter().partition(|(_, sizes)| sizes.iter().any(|size| *size >= SMALL));
    large.sort_by_key(|(_, sizes)| std::cmp::Reverse(sizes.iter().sum::<u64>()));
    let row = |name: String, sizes: &[u64]| {
        let kilobytes = |size: &u64| if *size == 0 { String::new() } else { figure(*size as f64 / 1e3) };
        [name].into_iter().chain(sizes.iter().map(kilobytes)).collect()
    };
    let sum = |place: usize| small.iter().map(|(_, sizes)| sizes[place]).sum();
    let together: Vec<u64> = (0..binaries.len()).map(sum).collect();
    let all: Vec<u64> = binaries.iter().map(|binary| binary.text_section_size).collect();
    let mut rows: Vec<_> = large.iter().map(|(name, sizes)| row((*name).to_owned(), sizes)).collect();
    rows.push(row(format!("{} others", small.len()), &together));
    rows.push(row("**all code**".to_owned(), &all));
    table(&["KB of code", "fetch", "convert", "import"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_sorted_by_size_with_small_ones_combined() {
        let binary = |json: &str| serde_json::from_str::<Binary>(json).unwrap();
        let binaries = [
            binary(
                r#"{"file-size":9,"text-section-size":300000,"crates":[{"name":"std","size":60000},{"name":"a","size":10}]}"#,
            ),
            binary(
                r#"{"file-size":9,"text-section-size":200000,"crates":[{"name":"b","size":70000},{"name":"c","size":20}]}"#,
            ),
            binary(r#"{"file-size":9,"text-section-size":400000,"crates":[{"name":"b","size":10000}]}"#),
        ];
        let text = section(&binaries);
        let rows: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| b |  | 70.0 | 10.0 |",
                "| std | 60.0 |  |  |",
                "| 2 others | 0.010 | 0.020 |  |",
                "| **all code** | 300 | 200 | 400 |"
            ]
        );
    }
}
