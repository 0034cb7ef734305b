//! Every benchmark runs once on tiny input, and the peer in Python does the same work.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context;
use bench::{
    corpus,
    floor::Floor,
    measure::{Implementation, Work, interleave},
    ours::Ours,
    peer::{Python, interpreter},
};
use mail_parser::{Message, MessageParser, MimeHeaders};
use model::ImportTask;
use pretty_assertions::assert_eq;
use serde_json::Value;

#[test]
fn implementations_run_alternately() -> anyhow::Result<()> {
    let lot = corpus::lot("tiny")?;
    for work in [Work::Convert, Work::Import] {
        let mut implementations: Vec<Box<dyn Implementation>> = vec![
            Box::new(Ours),
            Box::new(Python::start(&interpreter())?),
            Box::new(Floor::OneHash),
            Box::new(Floor::TwoHashes),
        ];
        let series = interleave(&mut implementations, (work, &lot), 2, Duration::ZERO)?;
        let rounds: Vec<_> = series.iter().map(|series| (series.name, series.seconds.len())).collect();
        assert_eq!(rounds, [("ours", 2), ("Python", 2), ("floor", 2), ("floor, two hashes", 2)]);
        assert!(series.iter().flat_map(|series| &series.seconds).all(|seconds| *seconds > 0.0));
    }
    Ok(())
}

/// The parts of a message: the names of its headers, and its files with their names, types and bytes.
#[derive(Debug, PartialEq)]
struct Parts {
    headers: BTreeSet<String>,
    bodies: usize,
    files: Vec<(String, String, Vec<u8>)>,
}

fn parts(mime: &[u8]) -> anyhow::Result<Parts> {
    let message: Message<'_> = MessageParser::default().parse(mime).context("no message")?;
    let kind = |part: &mail_parser::MessagePart<'_>| {
        let kind = part.content_type()?;
        Some(format!("{}/{}", kind.ctype(), kind.subtype()?))
    };
    let files = message.attachments().map(|part| {
        let name = part.attachment_name().unwrap_or_default().to_owned();
        (name, kind(part).unwrap_or_default(), part.contents().to_vec())
    });
    Ok(Parts {
        headers: message.headers_raw().map(|(name, _)| name.to_owned()).collect(),
        bodies: message.text_body_count() + message.html_body_count(),
        files: files.collect(),
    })
}

#[test]
fn peer_converts_the_same_content() -> anyhow::Result<()> {
    let lot = corpus::lot("tiny")?;
    let theirs = Python::start(&interpreter())?.results(Work::Convert, &lot)?;
    for (sample, (mime, task)) in lot.samples.iter().zip(theirs) {
        assert_eq!(parts(&mime)?, parts(&sample.mime)?);
        let (ours, theirs) = (ImportTask::parse(&sample.import_task)?, ImportTask::parse(&task)?);
        assert_eq!(theirs.sha256, model::Sha256::of(&mime));
        assert_eq!((theirs.item, theirs.key, theirs.participants), (ours.item, ours.key, ours.participants));
    }
    Ok(())
}

#[test]
fn peer_imports_the_same_content() -> anyhow::Result<()> {
    let lot = corpus::lot("tiny")?;
    let theirs = Python::start(&interpreter())?.results(Work::Import, &lot)?;
    for (sample, (body, _)) in lot.samples.iter().zip(theirs) {
        let ours: Value = serde_json::from_slice(&bench::item_work::import(&sample.import_task, &sample.mime)?)?;
        let theirs: Value = serde_json::from_slice(&body)?;
        // The standard allows a text part to end with or without a line break.
        let shown = |body: &Value| body["body"]["content"].as_str().map(|text| text.trim_end().replace("\r\n", "\n"));
        assert_eq!(shown(&theirs), shown(&ours));
        let rest = |mut body: Value| {
            if let Some(members) = body.as_object_mut() {
                members.remove("body");
            }
            body
        };
        assert_eq!(rest(theirs), rest(ours));
    }
    Ok(())
}
