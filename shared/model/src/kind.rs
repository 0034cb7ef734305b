//! The kinds of items.

use crate::words::words;

words! {
    /// The kind of an item, in the source's words. An item of an unknown kind is archived like the others, never
    /// dropped.
    Kind {
        Text = "text", "A text message.";
        Image = "image", "A picture, with or without a caption.";
        Video = "video", "A video, with or without a caption.";
        Gif = "gif", "A short looping video.";
        Audio = "audio", "A sound file.";
        Voice = "voice", "A voice message, recorded in the app.";
        Document = "document", "A file.";
        Sticker = "sticker", "A sticker.";
        Location = "location", "A place.";
        LiveLocation = "live_location", "A place that moves, as captured at one moment.";
        Contacts = "contacts", "One or more contact cards.";
        Poll = "poll", "A question with options.";
        PollVote = "poll_vote", "A participant's votes in a poll.";
        Reaction = "reaction", "An emoji added to, or removed from, a message.";
        Edit = "edit", "The new text of a message.";
        Delete = "delete", "A message was deleted.";
        Call = "call", "A voice or video call.";
        GroupEvent = "group_event", "The group was changed.";
        System = "system", "A notice of WhatsApp in the chat.";
        Business = "business", "A template, buttons, a list, an order: WhatsApp Business content.";
        Unsupported = "unsupported", "Content that the capture could not read.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_words_are_kept() {
        for kind in Kind::KNOWN {
            assert_eq!(&Kind::from(kind.as_str().to_owned()), kind);
        }
        assert_eq!(Kind::from("hologram".to_owned()), Kind::Other("hologram".to_owned()));
    }
}
