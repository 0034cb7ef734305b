//! Does one kind of work on one lot a number of times and prints the memory of one more time. Run under an
//! instruction counter with two different numbers, the difference is the cost of the work.

use anyhow::Context;
use bench::{corpus, measure::Work, ours};
use clap::Parser;

#[derive(Parser)]
struct Options {
    /// The work.
    work: Work,
    /// The items.
    lot: String,
    /// Number of repetitions after the first run, which fills the caches.
    #[arg(default_value_t = 0)]
    times: u32,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let lot = corpus::lot(&options.lot)?;
    let once = || lot.samples.iter().try_for_each(|sample| ours::work(options.work, sample));
    for _ in 0..=options.times {
        once()?;
    }
    let mut result = Ok(());
    let took = allocation_counter::measure(|| result = once());
    result.context("the work failed")?;
    let printed = serde_json::json!({
        "allocations": took.count_total, "allocated": took.bytes_total, "peak": took.bytes_max,
    });
    #[expect(clippy::print_stdout, reason = "what the program is for")]
    {
        println!("{printed}");
    }
    Ok(())
}
