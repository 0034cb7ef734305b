//! What a message can do without where the mail system rejects it, and how a rejection is recognized.
//!
//! A concession is made only for an error that names the property, and only after the same request failed with the same
//! error once more. A new kind of concession is a row of [`RULES`].

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    content::Content,
    error::{Meaning, Refusal},
    limits::SENT_MESSAGE_RECIPIENTS_MAX,
};
use crate::Clock;

/// A thing to leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concession {
    /// No message class.
    PlainClass,
    /// The mailbox's own address as the sender; the true sender is shown in the body.
    OwnSender,
    /// At most 500 recipients; the body says that there are more.
    FewRecipients,
    /// No In-Reply-To and no References.
    NoThread,
}

/// How a rejection of a property is recognized.
struct Rule {
    concession: Concession,
    /// Codes that are documented to be about the property.
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
        // The account may not send as the sender that the message names.
        codes: &["ErrorSendAsDenied"],
        names: &["sender", "'from'", "\"from\"", "message.from", "send as", "on behalf"],
    },
    Rule {
        concession: Concession::FewRecipients,
        codes: &["ErrorTooManyRecipients"],
        names: &["torecipients", "too many recipients", "number of recipients", "recipient limit"],
    },
    Rule {
        concession: Concession::NoThread,
        codes: &[],
        names: &["0x1042", "0x1039", "inreplyto", "in-reply-to", "internetreferences"],
    },
];

/// The concessions of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Concessions {
    made: Vec<Concession>,
    /// Recipients that the mail system rejects, by their place in the message, in order.
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

/// The concession that a refusal asks for, if the message can still make it.
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
        Concession::NoThread => content.in_reply_to.is_some() || content.references.is_some(),
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

/// How long a concession that holds for the whole tenant is used without trying again.
const LEARNED_FOR: Duration = Duration::from_hours(1);

/// Whether the tenant rejects the message class, as far as is known.
#[derive(Debug, Default)]
pub(super) struct RejectedClass(Mutex<Option<Timestamp>>);

impl RejectedClass {
    /// Whether the class was rejected less than an hour ago.
    pub(super) fn is_known(&self, clock: &Clock) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| clock.is_fresh(since, LEARNED_FOR))
    }

    /// Notes a confirmed rejection.
    pub(super) fn learn(&self, clock: &Clock) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock.now());
    }
}
