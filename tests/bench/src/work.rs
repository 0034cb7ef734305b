//! The work of convert and import without requests, compared with Python and with the floor.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::{
    corpus::{self, Lot},
    floor::Floor,
    measure::{Implementation, Series, Spread, Work, interleave},
    ours::Ours,
    peer::Python,
    plot::{Bar, bars},
    report::{figure, table},
};

/// The measured lots, by their names in [`corpus::NAMES`].
const LOTS: [&str; 4] = ["text", "picture", "video", "day"];

/// The output of `counted` for one lot.
#[derive(Deserialize)]
struct Memory {
    allocations: f64,
    peak: f64,
}

/// One line of the table.
struct Line {
    lot: Lot,
    series: Vec<Series>,
    memory: Memory,
    python_peak: u64,
}

/// Measures one kind of work, draws the picture, and returns the section's text.
///
/// # Errors
/// An implementation fails.
pub fn measure(
    work: Work,
    interpreter: &Path,
    (rounds, turn): (usize, Duration),
    picture: &Path,
) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    for name in LOTS {
        let lot = corpus::lot(name)?;
        let mut implementations: Vec<Box<dyn Implementation>> =
            vec![Box::new(Ours), Box::new(Python::start(interpreter)?), Box::new(Floor::OneHash)];
        if work == Work::Convert {
            implementations.push(Box::new(Floor::TwoHashes));
        }
        let series = interleave(&mut implementations, (work, &lot), rounds, turn)?;
        let python_peak = Python::start(interpreter)?.memory(work, &lot)?;
        lines.push(Line { memory: memory(work, name)?, series, lot, python_peak });
    }
    let bar = |line: &Line| Bar { label: line.lot.name.to_owned(), value: line.series[1].over(&line.series[0]).median };
    let title = format!("{}: Python's CPU time relative to this function's", work.name());
    bars(picture, &title, &lines.iter().map(bar).collect::<Vec<_>>())?;
    Ok(rows(work, &lines))
}

fn rows(work: Work, lines: &[Line]) -> String {
    let mut head = vec!["", "items/s", "MB/s", "Python takes", "above the floor"];
    if work == Work::Convert {
        head.push("above two hashes");
    }
    head.extend(["allocations/item", "memory", "Python's memory"]);
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            let seconds = line.series[0].spread().median;
            let items = line.lot.samples.len() as f64;
            let mut row = vec![
                line.lot.title.to_owned(),
                figure(items / seconds),
                figure(line.lot.bytes() as f64 / 1e6 / seconds),
                times(line.series[1].over(&line.series[0])),
            ];
            row.extend(line.series[2..].iter().map(|floor| times(line.series[0].over(floor))));
            row.push(figure(line.memory.allocations / items));
            row.push(size(line.memory.peak));
            row.push(size(line.python_peak as f64));
            row
        })
        .collect();
    table(&head, &rows)
}

/// A ratio: the median and the quartiles.
fn times(ratio: Spread) -> String {
    format!("{} × ({}–{})", figure(ratio.median), figure(ratio.low), figure(ratio.high))
}

fn size(bytes: f64) -> String {
    if bytes < 1e6 { format!("{} KB", figure(bytes / 1e3)) } else { format!("{} MB", figure(bytes / 1e6)) }
}

/// A separate program counts memory, so that the timed program has the allocator of the functions.
fn memory(work: Work, lot: &str) -> anyhow::Result<Memory> {
    let own = std::env::current_exe()?;
    let counted = own.parent().context("the program lies nowhere")?.join("counted");
    let output = Command::new(&counted).args([work.name(), lot]).output();
    let output = output.with_context(|| format!("{}: make bench builds it", counted.display()))?;
    ensure!(output.status.success(), "counted failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("what counted says")
}
