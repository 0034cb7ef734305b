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

impl Kind {
    /// Returns whether items of this kind change another message, or add to it. An item of an unknown kind is a message of its own.
    pub fn acts_on_a_message(&self) -> bool {
        self.class() == Class::Action
    }

    /// Returns whether items of this kind have a file.
    pub fn is_media(&self) -> bool {
        self.class() == Class::Media
    }

    /// Every kind is listed, so that the compiler asks for the class of a new one.
    fn class(&self) -> Class {
        match self {
            Self::Edit | Self::Delete | Self::Reaction | Self::PollVote => Class::Action,
            Self::Image | Self::Video | Self::Gif | Self::Audio | Self::Voice | Self::Document | Self::Sticker => {
                Class::Media
            }
            Self::Text | Self::Location | Self::LiveLocation | Self::Contacts | Self::Poll | Self::Call => Class::Other,
            Self::GroupEvent | Self::System | Self::Business | Self::Unsupported | Self::Other(_) => Class::Other,
        }
    }
}

#[derive(PartialEq)]
enum Class {
    Action,
    Media,
    Other,
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
