//! The words of the system, and nothing else: the item as the archive captured it, the task that carries its id from
//! queue to queue, the letter that a task becomes when it cannot be done, and the outcome that records what was done.
//!
//! This crate knows no AWS and no HTTP. Every type here is parsed once, at the edge, and cannot hold a value that the
//! rest of the system would have to check again.

#![warn(missing_docs)]

mod address;
mod answer;
mod captured;
mod dead_letter;
mod delivery;
mod digest;
mod failure;
mod id;
mod json_text;
pub mod keys;
mod kind;
mod lease;
mod message_group;
mod normalize;
mod outcome;
mod participant;
mod run;
mod task;
mod webhook;
mod words;

pub use address::{AddressError, MailboxAddress};
pub use answer::Answer;
pub use captured::{
    Attachment, Call, CallMedia, CallStatus, Captured, Chat, ChatType, ContactCard, Deletion, DeletionScope,
    DeletionState, Direction, GroupEvent, Item, ItemError, Location, MailFact, MailField, Poll, Quoted, Reaction,
    Target, Upload,
};
pub use dead_letter::{DeadLetter, MissingReason, Reason, Stage, UnknownWord};
pub use delivery::{DeliveredItem, Delivery, Problem};
pub use digest::{Hasher, Sha256};
pub use failure::Failure;
pub use id::{AttachmentId, IdError, ItemId, ItemKey};
pub use json_text::{Repaired as RepairedJson, repair as repair_json};
pub use kind::Kind;
pub use lease::LeaseState;
pub use message_group::MessageGroup;
pub use outcome::{
    DeadLetterSource, DeadLettered, FailedMailbox, FiledMailbox, FilingResult, Lease, MissingParticipant, Outcome,
    OutcomeError,
};
pub use participant::Participant;
pub use run::{Cursor, Listed, Reached, RunId, RunKind, RunRecord, Window, WindowError, WindowStart};
pub use task::{ConvertTask, ImportTask, TASK_VERSION, TaskError};
pub use webhook::WebhookFact;
