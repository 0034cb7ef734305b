//! Prints the message of an item: `cargo run -p message --example render -- item.json [file of each attachment …] >
//! item.eml`. An attachment without a file counts as erased. `--zone Europe/Copenhagen` as the first argument adds
//! local times.

use std::{
    env, fs,
    io::{self, Write},
};

use message::write::{Content, FileFacts, Renderer};
use model::{Captured, Sha256};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let mut zone = None;
    if arguments.first().is_some_and(|first| first == "--zone") {
        let name = arguments.drain(..2.min(arguments.len())).nth(1).ok_or("--zone needs the name of a time zone")?;
        zone = Some(jiff::tz::TimeZone::get(&name)?);
    }
    let (item, files) = arguments.split_first().ok_or("usage: render [--zone ZONE] ITEM.json [FILE …]")?;
    let value: serde_json::Value = serde_json::from_slice(&fs::read(item)?)?;
    let id = value["id"].as_str().ok_or("the item has no id")?.parse()?;
    let captured = Captured::from_value(value, &id)?;
    let files: Vec<Vec<u8>> = files.iter().map(fs::read).collect::<Result<_, _>>()?;
    let facts = files.iter().map(|bytes| Content::File(FileFacts::of(bytes, Sha256::of(bytes))));
    let contents: Vec<Content> =
        facts.chain(std::iter::repeat(Content::Erased)).take(captured.item.attachments.len()).collect();
    let rendered = Renderer::new("archive.example.com")?.with_time_zone(zone).render(&captured, &contents)?;
    io::stdout().write_all(&rendered.mime(|index| files.get(index).map_or(&[], Vec::as_slice)))?;
    Ok(())
}
