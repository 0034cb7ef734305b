//! The list of an item's files, whatever its kind.

use super::{media, statements::MAX_PEOPLE};
use crate::write::{
    amounts,
    body::{FileLine, Row},
    clean::one_line,
    file::Content,
    parts::File,
};

/// Maximum length of a file's name in a row, in characters.
const MAX_NAME_CHARS: usize = 150;

/// Returns a row for each of the first files whose size is not the declared one.
pub(super) fn differing_sizes(files: &[File<'_>]) -> Vec<Row> {
    let differing = files.iter().filter_map(|file| match (file.attachment.size, file.content) {
        (Some(declared), Content::File(facts)) if declared != facts.bytes => Some((&file.name, declared, facts.bytes)),
        _ => None,
    });
    let row = |(name, declared, received): (&String, u64, u64)| {
        let [declared, received] = [declared, received].map(amounts::thousands);
        Row::new(
            "Anomaly",
            format!("{}: declared {declared} bytes, received {received}", one_line(name, MAX_NAME_CHARS)),
        )
    };
    differing.take(MAX_PEOPLE).map(row).collect()
}

pub(super) fn lines(files: &[File<'_>]) -> Vec<FileLine> {
    files
        .iter()
        .map(|file| {
            let attachment = file.attachment;
            let (size, sha256) = match file.content {
                Content::File(facts) => (Some(facts.bytes), Some(facts.sha256)),
                Content::Erased => (attachment.size, None),
            };
            let mut facts = file.media_type.clone().into_owned();
            if let Some(size) = size {
                facts.push_str(&format!(", {}", amounts::size(size)));
            }
            if let Some(seconds) = attachment.duration_seconds {
                facts.push_str(&format!(", {}", amounts::duration(seconds)));
            }
            if attachment.view_once == Some(true) {
                facts.push_str(", view once");
            }
            let hint = sha256.and_then(|_| media::hint(&file.media_type));
            FileLine { name: file.name.clone(), facts, sha256, hint, picture: file.shown.clone() }
        })
        .collect()
}
