//! What an item is.

use crate::words::words;

words! {
    /// The item's type, in the source's words. An item of a type that is not known today is archived as what it is,
    /// never dropped.
    Kind {
        Text = "text", "A message of text alone.";
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
        Reaction = "reaction", "An emoji put on, or taken from, a message.";
        Edit = "edit", "The new text of a message.";
        Delete = "delete", "A message was deleted.";
        Call = "call", "A voice or video call.";
        GroupEvent = "group_event", "The group was changed.";
        System = "system", "WhatsApp itself says something in the chat.";
        Business = "business", "A template, buttons, a list, an order: WhatsApp Business content.";
        Unsupported = "unsupported", "Something that the capture could not read.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_word_comes_back_and_an_unknown_one_too() {
        for kind in Kind::KNOWN {
            assert_eq!(&Kind::from(kind.as_str().to_owned()), kind);
        }
        assert_eq!(Kind::from("hologram".to_owned()), Kind::Other("hologram".to_owned()));
    }
}
