//! Reads the settings that template.yaml gives the functions.

use anyhow::Context;
use local::cloud::Step;

/// Returns the memory of a function in MB, in a deployment that reads a source's API.
pub fn template_memory(step: Step) -> anyhow::Result<u64> {
    let template = include_str!("../../../template.yaml");
    let code = format!("CodeUri: target/lambda/{}\n", step.name());
    let (_, function) = template.split_once(&code).with_context(|| format!("no function {}", step.name()))?;
    let (_, memory) = function.split_once("MemorySize:").context("no MemorySize")?;
    // `!If [FromInbox, 3008, 1024]`: the last number is for the source's API.
    let line = memory.lines().next().unwrap_or_default();
    let number = line.split(|char: char| !char.is_ascii_digit()).rfind(|text| !text.is_empty());
    Ok(number.context("no number")?.parse()?)
}
