//! The list of an item's files, whatever its kind.

use item::Item;

use crate::{Content, amounts, body::FileLine, file_name};

pub(super) fn lines(item: &Item, attachments: &[Content], names: &[String]) -> Vec<FileLine> {
    let declared = item.attachments.iter();
    declared
        .zip(attachments)
        .zip(names)
        .map(|((attachment, content), name)| {
            let (size, sha256) = match content {
                Content::File(facts) => (Some(facts.bytes), Some(facts.sha256)),
                Content::Erased => (attachment.size, None),
            };
            let mut facts = file_name::media_type(attachment.content_type.as_deref()).into_owned();
            if let Some(size) = size {
                facts.push_str(&format!(", {}", amounts::size(size)));
            }
            if let Some(seconds) = attachment.duration_seconds {
                facts.push_str(&format!(", {}", amounts::duration(seconds)));
            }
            if attachment.view_once == Some(true) {
                facts.push_str(", view once");
            }
            FileLine { name: name.clone(), facts, sha256 }
        })
        .collect()
}
