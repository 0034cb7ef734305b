//! Reads the settings that template.yaml gives the functions.

use anyhow::Context;
use local::cloud::Step;

/// Returns the memory of a function in MB, in a deployment that reads a source's API.
pub fn template_memory(step: Step) -> anyhow::Result<u64> {
    sizes(step)?.last().copied().context("the value is not a number")
}

/// Returns the memory of a function in MB, in a deployment that reads the inbox.
pub fn template_memory_for_inbox(step: Step) -> anyhow::Result<u64> {
    sizes(step)?.first().copied().context("the value is not a number")
}

/// Parses a line such as `!If [FromInbox, 3008, 1024]`: the first number is for the inbox, the last for the source's
/// API.
fn sizes(step: Step) -> anyhow::Result<Vec<u64>> {
    let template = include_str!("../../../template.yaml");
    let code = format!("CodeUri: target/lambda/{}\n", step.name());
    let (_, function) = template.split_once(&code).with_context(|| format!("no function {}", step.name()))?;
    let (_, memory) = function.split_once("MemorySize:").context("no MemorySize")?;
    let line = memory.lines().next().unwrap_or_default();
    let numbers = line.split(|char: char| !char.is_ascii_digit()).filter(|text| !text.is_empty());
    Ok(numbers.map(str::parse).collect::<Result<_, _>>()?)
}
