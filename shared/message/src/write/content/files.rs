//! The list of an item's files, whatever its kind.

use super::media;
use crate::write::{amounts, body::FileLine, file::Content, parts::File};

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
