//! How the archive can be made to fail.

use std::time::Duration;

/// Which requests a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// Every one.
    Any,
    /// For a page of the list.
    Lists,
    /// For any item.
    Items,
    /// For this item, by id.
    Item(String),
    /// For any attachment.
    Attachments,
    /// For the attachments of this item, by the item's id.
    AttachmentsOf(String),
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status in the place of the answer.
    Status {
        /// 400 to 599.
        status: u16,
        /// The value of `Retry-After`.
        retry_after: Option<String>,
    },
    /// The connection breaks in the middle of the body.
    Break,
    /// No answer until [`behave`](super::SampleArchive::behave) is called.
    Stall,
    /// The right bytes under a wrong `Content-Length`. More than there is: the body ends early.
    Length(u64),
    /// The right status, and a body that never ends.
    Endless,
    /// The body comes a few bytes at a time, with this pause between.
    Slow(Duration),
}

/// For these requests, this often, this fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which requests.
    pub on: On,
    /// How many of them; `u64::MAX` for all.
    pub times: u64,
    /// What goes wrong.
    pub fault: Fault,
}

/// What a request is for.
#[derive(Clone, Copy)]
pub(super) enum Asked<'request> {
    List,
    Item(&'request str),
    Attachment(&'request str),
}

/// The fault for a request, which uses up one of its rule's times.
pub(super) fn take(rules: &mut [Rule], asked: Asked<'_>) -> Option<Fault> {
    let rule = rules.iter_mut().find(|rule| rule.times > 0 && rule.on.fits(asked))?;
    rule.times = if rule.times == u64::MAX { u64::MAX } else { rule.times - 1 };
    Some(rule.fault.clone())
}

impl On {
    fn fits(&self, asked: Asked<'_>) -> bool {
        match (self, asked) {
            (Self::Any, _)
            | (Self::Lists, Asked::List)
            | (Self::Items, Asked::Item(_))
            | (Self::Attachments, Asked::Attachment(_)) => true,
            (Self::Item(id), Asked::Item(asked)) | (Self::AttachmentsOf(id), Asked::Attachment(asked)) => id == asked,
            _ => false,
        }
    }
}
