//! Pictures, videos, sounds, documents and stickers.

use item::{Item, Kind};

use crate::body::{Block, Body, Tone};

pub(super) fn compose(item: &Item, body: &mut Body<'_>) {
    body.title = match item.kind {
        Kind::Image => "Picture",
        Kind::Video => "Video",
        Kind::Gif => "GIF",
        Kind::Audio => "Sound file",
        Kind::Voice => "Voice message",
        Kind::Sticker => "Sticker",
        _ => "Document",
    }
    .into();
    if item.attachments.is_empty() {
        body.tone = Tone::Gone;
        body.blocks.push(Block::Notice(
            "The media was not captured: the archive has no file for this message. A view-once message, for one, \
             may be out of the capture's reach."
                .to_owned(),
        ));
    } else if item.attachments.iter().any(|attachment| attachment.view_once == Some(true)) {
        body.tone = Tone::Notable;
        body.blocks.push(Block::Notice("Sent to be viewed once.".to_owned()));
    }
}
