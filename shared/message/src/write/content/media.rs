//! Pictures, videos, sounds, documents and stickers.

use model::{Item, Kind};

use crate::write::body::{Block, Body, Sentence, Tone};

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
        body.blocks.push(Block::Notice(Sentence::new(
            "The media was not captured: the archive has no file for this message. A capture may lack view-once media.",
        )));
    } else if item.attachments.iter().any(|attachment| attachment.view_once == Some(true)) {
        body.tone = Tone::Notable;
        body.blocks.push(Block::Notice(Sentence::new("Sent to be viewed once.")));
    }
}

/// Describes a quoted or target message without a text by its kind.
pub(super) fn describe(kind: Option<&Kind>) -> &'static str {
    match kind {
        Some(Kind::Image) => "a picture",
        Some(Kind::Video) => "a video",
        Some(Kind::Gif) => "a GIF",
        Some(Kind::Audio) => "a sound file",
        Some(Kind::Voice) => "a voice message",
        Some(Kind::Document) => "a document",
        Some(Kind::Sticker) => "a sticker",
        Some(Kind::Location | Kind::LiveLocation) => "a location",
        Some(Kind::Contacts) => "a contact card",
        Some(Kind::Poll) => "a poll",
        Some(Kind::Call) => "a call",
        _ => "no text was captured for it",
    }
}

/// Names a program that opens a file of this type, if Outlook and Windows without additions do not.
pub(super) fn hint(media_type: &str) -> Option<&'static str> {
    match media_type {
        "audio/ogg" | "audio/opus" => Some(
            "To listen, save the file and open it in a web browser (Edge, Chrome, Firefox) or in VLC. Outlook does not \
             play Ogg Opus.",
        ),
        "audio/amr" | "audio/3gpp" | "audio/amr-wb" => Some("To listen, save the file and open it in VLC."),
        "audio/mp4" | "audio/x-m4a" | "audio/aac" | "audio/mpeg" | "audio/mp3" => {
            Some("To listen, save the file and open it in a media player or a web browser.")
        }
        "image/heic" | "image/heif" => {
            Some("To view, save the file and open it in Photos (Windows with the HEIF extension, macOS, iOS).")
        }
        _ => None,
    }
}
