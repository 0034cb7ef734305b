//! The benchmark's items: the same generated items for all implementations, in memory.

use anyhow::Context;
use model::{ConvertTask, ItemId, TASK_VERSION};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::item_work;

/// One item as the source returns it and as convert stores it for import.
pub struct Sample {
    /// The body of its message on the convert queue.
    pub convert_task: String,
    /// The source's response.
    pub json: Vec<u8>,
    /// The bytes of its attachments, in order.
    pub files: Vec<Vec<u8>>,
    /// The body of its message on the import queue.
    pub import_task: String,
    /// The stored message.
    pub mime: bytes::Bytes,
}

/// Items that are measured together.
pub struct Lot {
    /// Name in tables and on the command line.
    pub name: &'static str,
    /// Name in a sentence.
    pub title: &'static str,
    /// The items.
    pub samples: Vec<Sample>,
}

impl Lot {
    /// The bytes of its items' JSON and attachments.
    pub fn bytes(&self) -> usize {
        self.samples.iter().map(|sample| sample.json.len() + sample.files.iter().map(Vec::len).sum::<usize>()).sum()
    }
}

/// The type of an item's file.
#[derive(Clone, Copy)]
enum Media {
    Picture,
    Voice,
    Video,
}

impl Media {
    fn kind(self) -> &'static str {
        match self {
            Self::Picture => "image",
            Self::Voice => "voice",
            Self::Video => "video",
        }
    }

    fn file(self) -> (&'static str, &'static str, usize) {
        match self {
            Self::Picture => ("harbour.jpg", "image/jpeg", 300_000),
            Self::Voice => ("voice.ogg", "audio/ogg; codecs=opus", 40_000),
            Self::Video => ("visit.mp4", "video/mp4", 9_900_000),
        }
    }
}

/// The sizes by name: `text`, `picture`, `video`, and `day`, which has 90 texts, 6 pictures, 3 voice messages and a
/// video. `tiny` has one text and one voice message: enough to see that everything works.
pub const NAMES: [&str; 5] = ["text", "picture", "video", "day", "tiny"];

/// The items of a name in [`NAMES`].
///
/// # Errors
/// The name is unknown, or an item is invalid.
pub fn lot(name: &str) -> anyhow::Result<Lot> {
    let (name, title, media) = match name {
        "text" => ("text", "a text of 1 KB", vec![None]),
        "picture" => ("picture", "a picture of 300 KB", vec![Some(Media::Picture)]),
        "video" => ("video", "a video of 9.9 MB", vec![Some(Media::Video)]),
        "day" => {
            let mut day = vec![None; 90];
            // Spread over the day, the same way each time.
            for (place, media) in [Media::Picture; 6].into_iter().chain([Media::Voice; 3]).enumerate() {
                day.insert(place * 10, Some(media));
            }
            day.push(Some(Media::Video));
            ("day", "a day: 90 texts, 6 pictures, 3 voice messages, 1 video", day)
        }
        "tiny" => ("tiny", "one text and one voice message", vec![None, Some(Media::Voice)]),
        other => anyhow::bail!("unrecognized lot: {other}"),
    };
    let mut random = StdRng::seed_from_u64(2026);
    let samples = media.into_iter().enumerate().map(|(index, media)| sample(index, media, &mut random));
    Ok(Lot { name, title, samples: samples.collect::<Result<_, _>>()? })
}

/// Words of several lengths and scripts, as people mix them.
const WORDS: [&str; 24] = [
    "the",
    "rate",
    "is",
    "unchanged",
    "and",
    "we",
    "will",
    "confirm",
    "by",
    "noon",
    "*today*",
    "Søren",
    "asked",
    "for",
    "a",
    "copy",
    "of",
    "_the_",
    "contract",
    "👍",
    "before",
    "Friday's",
    "call",
    "https://example.com/terms",
];

fn words(length: usize, random: &mut StdRng) -> String {
    let mut text = String::with_capacity(length + 32);
    while text.len() < length {
        text.push_str(WORDS[random.random_range(0..WORDS.len())]);
        text.push(if random.random_ratio(1, 20) { '\n' } else { ' ' });
    }
    text
}

fn sample(index: usize, media: Option<Media>, random: &mut StdRng) -> anyhow::Result<Sample> {
    let id = format!("WA-{index:08}");
    let mut item = json!({
        "id": id, "messageId": format!("3EB0{index:012X}"), "network": "whatsapp", "type": "text",
        "messageTime": "2026-11-21T09:59:58.000Z", "archivedTime": "2026-11-21T10:00:04.120Z", "direction": "outgoing",
        "chat": {"id": "33639980011@s.whatsapp.net", "type": "individual", "name": "Claire Dubois"},
        "from": {"name": "Mette Holm", "phone": "+4520123456", "email": "mette.holm@example.com"},
        "to": [{"name": "Claire Dubois", "phone": "+33639980011"}],
        "text": words(if media.is_some() { 60 } else { 1_000 }, random),
    });
    let mut files = Vec::new();
    if let Some(media) = media {
        let (name, content_type, size) = media.file();
        let mut bytes = vec![0; size];
        // Compressed media look like random bytes.
        random.fill(bytes.as_mut_slice());
        item["type"] = media.kind().into();
        item["attachments"] = json!([{
            "id": "a1", "name": name, "contentType": content_type, "size": size,
            "sha256": model::Sha256::of(&bytes).to_string(),
        }]);
        files.push(bytes);
    }
    let task = ConvertTask {
        v: TASK_VERSION,
        run: "20261122T070000Z-daily-0badcafe".parse()?,
        item: id.parse::<ItemId>()?,
        archived_time: "2026-11-21T10:00:04.120Z".parse()?,
    };
    let convert_task = serde_json::to_string(&task)?;
    let json = serde_json::to_vec::<Value>(&item)?;
    let converted =
        item_work::convert(&convert_task, &json, &files).context("an item of the corpus is not rendered")?;
    Ok(Sample { convert_task, json, files, import_task: converted.import_task, mime: converted.body })
}
