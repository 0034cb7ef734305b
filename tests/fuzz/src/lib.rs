//! Properties that hold for every input, in one function for each place where the system reads external input. Each
//! function panics if a property is violated.

#![expect(clippy::missing_panics_doc, reason = "these functions panic if a guarantee is broken")]

mod chats;
mod http;
mod mail_system;
mod mails;
mod message;
mod source_api;
mod webhooks;
mod words;

pub use chats::{chat_export, chat_export_zip};
pub use mail_system::graph;
pub use mails::{eml_drop, eml_drop_zip};
pub use message::render;
pub use source_api::archiver_api;
pub use webhooks::webhook;
pub use words::{item, task, user_map};

/// A function that tests the properties of one input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of the folder of its inputs in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("archiver-api", archiver_api),
    ("chat-export", chat_export),
    ("chat-export-zip", chat_export_zip),
    ("eml-drop", eml_drop),
    ("eml-drop-zip", eml_drop_zip),
    ("graph", graph),
    ("item", item),
    ("render", render),
    ("task", task),
    ("user-map", user_map),
    ("webhook", webhook),
];
