//! The benchmark suite: `make bench`.

use std::{path::PathBuf, time::Duration};

use bench::{cold_start, measure::Work, money, peer, pipeline, report, size, webhooks, work};
use clap::{Parser, ValueEnum};

/// Measures the costs of the system and writes them into tests/bench/RESULTS.md.
#[derive(Parser)]
struct Options {
    /// The parts to measure; all if none is given.
    parts: Vec<Part>,
    /// Number of rounds in which the implementations take turns.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Length of a turn in milliseconds.
    #[arg(long, default_value_t = 200)]
    turn: u64,
    /// Number of items in the pipeline, one run for each.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
    items: Vec<usize>,
    /// Number of webhooks in a burst.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    webhooks: Vec<u32>,
    /// Number of starts of each function.
    #[arg(long, default_value_t = 30)]
    starts: usize,
    /// The document.
    #[arg(long, default_value = "tests/bench/RESULTS.md")]
    report: PathBuf,
    /// The directory of the pictures.
    #[arg(long, default_value = "infra/pictures")]
    pictures: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// convert's work beside Python and the floor.
    Convert,
    /// import's work beside Python and the floor.
    Import,
    /// The functions' starts beside a function that does nothing.
    ColdStart,
    /// The share of each crate in the functions' binaries.
    Size,
    /// Bursts of webhooks: how fast they are confirmed.
    Webhooks,
    /// The whole pipeline: its speed, and its costs in money.
    Pipeline,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let parts = if options.parts.is_empty() { Part::value_variants() } else { &options.parts };
    for part in parts {
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let picture = options.pictures.join(format!("bench-{name}.svg"));
        let pace = (options.rounds, Duration::from_millis(options.turn));
        match part {
            Part::Convert | Part::Import => {
                let what = if *part == Part::Convert { Work::Convert } else { Work::Import };
                report::write(&options.report, &name, &work::measure(what, &peer::interpreter(), pace, &picture)?)?;
            }
            Part::ColdStart => report::write(&options.report, &name, &cold_start::measure(options.starts).await?)?,
            Part::Size => report::write(&options.report, &name, &size::measure()?)?,
            Part::Webhooks => {
                report::write(&options.report, &name, &webhooks::measure(&options.webhooks).await?)?;
            }
            Part::Pipeline => {
                let mut runs = Vec::new();
                for items in &options.items {
                    runs.push(pipeline::run(*items).await?);
                }
                report::write(&options.report, &name, &pipeline::section(&runs, &picture)?)?;
                report::write(&options.report, "money", &money::section(&runs)?)?;
            }
        }
    }
    Ok(())
}
