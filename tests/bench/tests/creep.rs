//! Regression check: memory and instructions per item match `baseline.json`. Neither
//! depends on how busy the machine is.

#[cfg(target_arch = "x86_64")]
use std::path::Path;
use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, ensure};
#[cfg(target_arch = "x86_64")]
use bench::cold_start;
use bench::corpus;
use serde::{Deserialize, Serialize};

/// The watched work, and its repetitions under the instruction counter. Pictures are not counted: almost all of their
/// instructions are those of libraries.
const WATCHED: [(&str, &str, u32); 6] = [
    ("convert", "text", 20),
    ("convert", "picture", 0),
    ("convert", "video", 0),
    ("import", "text", 20),
    ("import", "picture", 0),
    ("import", "video", 0),
];

/// Maximum deviation of a figure from the baseline. Memory only changes with a new version of a dependency;
/// instructions also change a little with the compiler and the features of the processor.
const MEMORY_TOLERANCE: f64 = 0.02;
#[cfg(target_arch = "x86_64")]
const INSTRUCTION_TOLERANCE: f64 = 0.1;

/// The costs of one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cost {
    /// Number of allocations.
    allocations: f64,
    /// Total of allocated bytes.
    allocated: f64,
    /// Peak of allocated bytes.
    peak: f64,
    /// On x86-64, unoptimized, as `make test` builds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instructions: Option<f64>,
}

fn baseline() -> anyhow::Result<BTreeMap<String, Cost>> {
    serde_json::from_str(include_str!("../baseline.json")).context("baseline.json")
}

fn counted(work: &str, lot: &str) -> anyhow::Result<Cost> {
    let output = Command::new(env!("CARGO_BIN_EXE_counted")).args([work, lot]).output()?;
    ensure!(output.status.success(), "counted failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("what counted says")
}

/// Counts the instructions of a program, which may fail.
#[cfg(target_arch = "x86_64")]
fn counted_instructions(program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied())
        .output()
        .context("valgrind does not start: tests/install-tools installs it")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let total = stderr.lines().find_map(|line| line.split_once("I   refs:").or_else(|| line.split_once("I refs:")));
    let (_, total) = total.with_context(|| format!("valgrind counted nothing: {stderr}"))?;
    Ok(total.trim().replace(',', "").parse()?)
}

/// The instructions of one item: the difference between a run with `times` more repetitions and one without. Most
/// instructions of both are those of the start, which reads the world's numbering plans.
#[cfg(target_arch = "x86_64")]
fn instructions(work: &str, lot: &str, times: u32) -> anyhow::Result<f64> {
    let run = |times: u32| {
        counted_instructions(Path::new(env!("CARGO_BIN_EXE_counted")), &[work, lot, &times.to_string()], &[])
    };
    std::thread::scope(|scope| {
        let start = scope.spawn(|| run(0));
        let whole = run(times)?;
        let start = start.join().map_err(|_| anyhow::anyhow!("counting the start panicked"))??;
        Ok((whole - start) / f64::from(times))
    })
}

/// A sentence for each figure that deviates too much from the baseline.
fn creep(name: &str, before: &Cost, now: &Cost) -> Vec<String> {
    let mut figures = vec![
        ("allocations", before.allocations, now.allocations, MEMORY_TOLERANCE),
        ("allocated", before.allocated, now.allocated, MEMORY_TOLERANCE),
        ("peak", before.peak, now.peak, MEMORY_TOLERANCE),
    ];
    #[cfg(target_arch = "x86_64")]
    figures.extend(
        before
            .instructions
            .zip(now.instructions)
            .map(|(before, now)| ("instructions", before, now, INSTRUCTION_TOLERANCE)),
    );
    let far = figures.into_iter().filter(|(_, before, now, most)| (now / before - 1.0).abs() > *most);
    far.map(|(figure, before, now, _)| format!("{name}: {figure} {before:.0} -> {now:.0}")).collect()
}

#[test]
fn item_cost_matches_the_baseline() -> anyhow::Result<()> {
    let before = baseline()?;
    let mut now = BTreeMap::new();
    for (work, lot, times) in WATCHED {
        #[cfg_attr(
            not(target_arch = "x86_64"),
            expect(unused_mut, unused_variables, reason = "only the memory is watched")
        )]
        let (mut cost, times) = (counted(work, lot)?, times);
        #[cfg(target_arch = "x86_64")]
        if times > 0 {
            cost.instructions = Some(instructions(work, lot, times)?.round());
        }
        now.insert(format!("{work} {lot}"), cost);
    }
    let crept: Vec<_> = now
        .iter()
        .flat_map(|(name, cost)| match before.get(name) {
            Some(before) => creep(name, before, cost),
            None => vec![format!("{name}: not in the baseline")],
        })
        .collect();
    assert!(
        crept.is_empty(),
        "an item's cost has changed:\n{}\nWhere that is meant, this is the new tests/bench/baseline.json:\n{}",
        crept.join("\n"),
        serde_json::to_string_pretty(&now)?
    );
    Ok(())
}

#[test]
fn baseline_check_detects_regressions() -> anyhow::Result<()> {
    let before = baseline()?;
    let (text, picture) = before.get("convert text").zip(before.get("convert picture")).context("the baseline")?;
    let copied =
        Cost { allocated: picture.allocated + 300_000.0, allocations: picture.allocations + 1.0, ..picture.clone() };
    assert_eq!(creep("convert picture", picture, &copied).len(), 1);
    let slower = Cost { instructions: text.instructions.map(|count| count * 1.2), ..text.clone() };
    assert_eq!(creep("convert text", text, &slower).len(), usize::from(cfg!(target_arch = "x86_64")));
    assert_eq!(creep("convert text", text, text).len(), 0);
    Ok(())
}

/// A function's memory is configured by this figure: it holds ten items of this size at the same time.
#[test]
fn largest_item_uses_at_most_two_and_a_half_times_its_size() -> anyhow::Result<()> {
    let video = corpus::lot("video")?;
    let sample = video.samples.first().context("no video")?;
    let size = video.bytes() as f64;
    // What import holds it makes itself, in the benchmark.
    let held = [("convert", sample.files.iter().map(Vec::len).sum::<usize>()), ("import", 0)];
    for (work, held) in held {
        let times = (held as f64 + counted(work, "video")?.peak) / size;
        assert!(times <= 2.5, "{work}: what it holds and what it makes of it is {times:.2} times the item");
    }
    Ok(())
}

/// Maximum number of instructions by which a function's start exceeds that of [`hello`](../src/bin/hello.rs), unoptimized.
/// fetch takes 1.4, convert 2.7 and import 2.2 million more. Reading the certificates once more takes 16 million, and reading
/// the numbering plans 600 million.
#[cfg(target_arch = "x86_64")]
const MAX_START_INSTRUCTIONS: f64 = 5_000_000.0;

/// Number of root certificates that the functions read: about as many as a system has, and the same on each machine.
#[cfg(target_arch = "x86_64")]
const CERTIFICATES: usize = 140;

/// A function's start reads, compiles and connects nothing that can wait for the first request. The Runtime API is not
/// available in this test, so a function ends with its first request for an event.
#[cfg(target_arch = "x86_64")]
#[test]
fn function_start_costs_little_more_than_an_empty_one() -> anyhow::Result<()> {
    let certificates = tempfile::NamedTempFile::new()?;
    let certificate = include_str!("../../../shared/mailbox/tests/graph/certificate.pem");
    std::fs::write(&certificates, certificate.repeat(CERTIFICATES))?;
    let no_services = [
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1"),
        ("AWS_LAMBDA_FUNCTION_NAME", "function"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "group"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
        ("AWS_REGION", "us-east-1"),
        ("SSL_CERT_FILE", certificates.path().to_str().context("a path that is not UTF-8")?),
    ];
    let variables = [cold_start::VARIABLES.as_slice(), &no_services].concat();
    let hello = counted_instructions(Path::new(env!("CARGO_BIN_EXE_hello")), &[], &variables)?;
    let binaries = harness::binaries()?;
    for name in ["fetch", "convert", "import"] {
        let more = counted_instructions(&binaries.join(name), &[], &variables)? - hello;
        // A function that stopped at a missing variable would be below hello.
        assert!(
            (0.0..MAX_START_INSTRUCTIONS).contains(&more),
            "{name} takes {more} instructions more than hello until its first request for an event"
        );
    }
    Ok(())
}
