//! Fault injection for the sample source.

use std::time::Duration;

/// The requests that a rule applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    Any,
    /// Pages of the list.
    Lists,
    Items,
    /// The item with this id.
    Item(String),
    Attachments,
    /// Attachments of the item with this id.
    AttachmentsOf(String),
}

/// An injected fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Responds with this status.
    Status {
        /// 400 to 599.
        status: u16,
        /// The value of `Retry-After`.
        retry_after: Option<String>,
    },
    /// Closes the connection in the middle of the body.
    Break,
    /// Holds the response until [`clear_faults`](super::SampleSource::clear_faults) is called.
    Stall,
    /// Declares a wrong `Content-Length`. If it is too large, the body ends early.
    Length(u64),
    /// Sends a body that never ends.
    Endless,
    /// Sends the body a few bytes at a time, with this pause in between.
    Slow(Duration),
}

/// A fault, the requests that it applies to, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub on: On,
    /// Number of requests; `u64::MAX` for all.
    pub times: u64,
    pub fault: Fault,
}

/// The kind of a request.
#[derive(Clone, Copy)]
pub(super) enum Requested<'request> {
    List,
    Item(&'request str),
    Attachment(&'request str),
}

/// Returns the fault for a request and uses up one of its rule's times.
pub(super) fn take(rules: &mut [Rule], requested: Requested<'_>) -> Option<Fault> {
    let rule = rules.iter_mut().find(|rule| rule.times > 0 && rule.on.matches(requested))?;
    rule.times = if rule.times == u64::MAX { u64::MAX } else { rule.times - 1 };
    Some(rule.fault.clone())
}

impl On {
    fn matches(&self, requested: Requested<'_>) -> bool {
        match (self, requested) {
            (Self::Any, _)
            | (Self::Lists, Requested::List)
            | (Self::Items, Requested::Item(_))
            | (Self::Attachments, Requested::Attachment(_)) => true,
            (Self::Item(id), Requested::Item(item)) | (Self::AttachmentsOf(id), Requested::Attachment(item)) => {
                id == item
            }
            _ => false,
        }
    }
}
