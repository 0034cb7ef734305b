//! The kind of message of a mail, as far as the mail states it.

use model::{Attachment, Call, CallMedia, CallStatus, Kind};

use crate::container;

/// Determines the kind by the vendor's word for it, or else by the files. A word that is not in these lists is kept as
/// the kind, and the message shows it as unknown: the vendors do not document their words.
pub(crate) fn kind(word: Option<&str>, files: &[Attachment]) -> Kind {
    let by_files = || files.iter().find(|file| !container::is_outlooks(file)).map_or(Kind::Text, by_media_type);
    let Some(word) = word else { return by_files() };
    let plain: String = word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match plain.as_str() {
        "text" | "textmessage" | "message" | "chat" | "chatmessage" | "im" | "instantmessage" | "whatsapp"
        | "whatsappmessage" | "sms" | "mms" | "file" | "attachment" | "media" => by_files(),
        "image" | "picture" | "photo" => Kind::Image,
        "video" => Kind::Video,
        "gif" => Kind::Gif,
        "audio" => Kind::Audio,
        "voice" | "voicenote" | "voicemessage" | "ptt" => Kind::Voice,
        "document" => Kind::Document,
        "sticker" => Kind::Sticker,
        "delete" | "deleted" | "deletedmessage" | "messagedeleted" | "revoke" | "revoked" => Kind::Delete,
        "edit" | "edited" | "editedmessage" | "messageedited" => Kind::Edit,
        "call" | "phonecall" | "voicecall" | "videocall" | "missedcall" | "missedvoicecall" | "missedvideocall" => {
            Kind::Call
        }
        "groupevent" | "groupnotification" => Kind::GroupEvent,
        "system" | "systemmessage" => Kind::System,
        _ => Kind::Other(word.to_owned()),
    }
}

/// Returns the meaning of the vendor's word for a call.
pub(crate) fn call(kind: &Kind, word: Option<&str>) -> Option<Call> {
    if *kind != Kind::Call {
        return None;
    }
    let word = word.unwrap_or_default().to_ascii_lowercase();
    let media = match () {
        () if word.contains("video") => Some(CallMedia::Video),
        () if word.contains("voice") => Some(CallMedia::Voice),
        () => None,
    };
    let status = word.contains("missed").then_some(CallStatus::Missed);
    Some(Call { media, status, start_time: None, end_time: None, duration_seconds: None })
}

fn by_media_type(file: &Attachment) -> Kind {
    let media_type = file.content_type.as_deref().unwrap_or_default();
    match media_type.split('/').next().unwrap_or_default() {
        "image" => Kind::Image,
        "video" => Kind::Video,
        "audio" => Kind::Audio,
        _ => Kind::Document,
    }
}
