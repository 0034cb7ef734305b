//! Concessions: parts of a message that are left out because the mail system rejects them.
//!
//! A concession is made only for an error that names the property, and only after a retry failed with the same error. A
//! new kind of concession is a row of [`RULES`].

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{codes::Meaning, content::Content, error::Refusal, limits::SENT_MESSAGE_RECIPIENTS_MAX};
use crate::Clock;

/// A part of the message to leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concession {
    /// The message class.
    PlainClass,
    /// The sender, which is replaced by the address of the mailbox. The body shows the true sender.
    OwnSender,
    /// All recipients except the first 500. The body shows the number of all recipients.
    FewRecipients,
    /// In-Reply-To and References, and the conversation's index and topic.
    NoThread,
}

/// Recognizes the rejection of a property.
struct Rule {
    concession: Concession,
    /// Codes that are documented to concern the property.
    codes: &'static [&'static str],
    /// Names of the property in an error's text, in lower case.
    names: &'static [&'static str],
}

const RULES: [Rule; 4] = [
    Rule {
        concession: Concession::PlainClass,
        codes: &[],
        names: &["0x001a", "0x1a", "messageclass", "message class", "itemclass", "item class"],
    },
    Rule {
        concession: Concession::OwnSender,
        // The account may not send as the sender of the message: see `codes.rs`.
        codes: &["ErrorSendAsDenied"],
        names: &["sender", "'from'", "\"from\"", "message.from", "send as", "on behalf"],
    },
    Rule {
        concession: Concession::FewRecipients,
        codes: &[],
        names: &["torecipients", "too many recipients", "number of recipients", "recipient limit"],
    },
    Rule {
        concession: Concession::NoThread,
        codes: &[],
        names: &[
            "0x1042",
            "0x1039",
            "0x0071",
            "0x71",
            "0x0070",
            "0x70",
            "inreplyto",
            "in-reply-to",
            "internetreferences",
            "conversationindex",
            "conversationtopic",
        ],
    },
];

/// The concessions of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Concessions {
    made: Vec<Concession>,
    /// Recipients that the mail system rejects, by their index in the message, in order.
    pub(super) rejected_recipients: Vec<usize>,
}

impl Concessions {
    pub(super) fn has(&self, concession: Concession) -> bool {
        self.made.contains(&concession)
    }

    pub(super) fn make(&mut self, concession: Concession) {
        if !self.has(concession) {
            self.made.push(concession);
        }
    }

    pub(super) fn reject_recipients(&mut self, recipients: &[usize]) {
        self.rejected_recipients.extend_from_slice(recipients);
        self.rejected_recipients.sort_unstable();
        self.rejected_recipients.dedup();
    }
}

/// Returns the concession that an error requires, if the message has not made it yet.
pub(super) fn for_refusal(
    refusal: &Refusal,
    content: &Content<'_>,
    has_class: bool,
    made: &Concessions,
) -> Option<Concession> {
    if refusal.meaning() != Meaning::Unrecognized || refusal.code.is_none() || !refusal.status.is_client_error() {
        return None;
    }
    let applies = |concession| match concession {
        Concession::PlainClass => has_class,
        Concession::OwnSender => content.from.is_some(),
        Concession::FewRecipients => content.to.len() > SENT_MESSAGE_RECIPIENTS_MAX,
        Concession::NoThread => {
            let thread = [&content.in_reply_to, &content.references, &content.thread_topic, &content.thread_index];
            thread.into_iter().any(Option::is_some)
        }
    };
    let matches = |rule: &&Rule| {
        rule.codes.iter().any(|code| refusal.has_code(code)) || rule.names.iter().any(|name| refusal.mentions(name))
    };
    RULES
        .iter()
        .filter(matches)
        .map(|rule| rule.concession)
        .find(|&concession| applies(concession) && !made.has(concession))
}

/// Lifetime of a cached rejection by the whole tenant.
const REJECTION_TTL: Duration = Duration::from_hours(1);

/// Caches the fact that the tenant rejects the message class.
#[derive(Debug, Default)]
pub(super) struct RejectedClass(Mutex<Option<Timestamp>>);

impl RejectedClass {
    /// Returns whether the class was rejected less than an hour ago.
    pub(super) fn is_cached(&self, clock: &Clock) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| clock.is_fresh(since, REJECTION_TTL))
    }

    /// Records a confirmed rejection.
    pub(super) fn record(&self, clock: &Clock) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock.now());
    }
}
