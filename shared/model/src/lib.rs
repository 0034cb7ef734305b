//! The types that all crates share: the captured item, the task that contains its id on a queue, the dead letter of a
//! task that failed permanently, and the outcome that records the result.
//!
//! This crate depends on neither AWS nor HTTP. Every type is parsed once, at the boundary, and cannot contain a value
//! that other code would have to check again.

#![warn(missing_docs)]

mod address;
mod captured;
mod closure;
mod dead_letter;
mod delivery;
mod digest;
mod failure;
mod id;
mod item;
mod item_json;
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
mod unrecognized_value;
mod webhook;
mod words;

pub use address::{AddressError, MailboxAddress};
pub use captured::{Captured, ItemError};
pub use closure::Closure;
pub use dead_letter::{DeadLetter, MissingReason, Reason, Stage, UnknownWord};
pub use delivery::{DeliveredItem, Delivery, Problem};
pub use digest::{Hasher, Sha256};
pub use failure::Failure;
pub use id::{AttachmentId, IdError, ItemId, ItemKey};
pub use item::{
    Attachment, Call, CallMedia, CallStatus, Chat, ChatType, ContactCard, Deletion, DeletionScope, DeletionState,
    Direction, GroupEvent, Item, Location, MailFact, MailField, Poll, Quoted, Reaction, Target, Upload,
};
pub use item_json::ItemJson;
pub use json_text::{Repaired as RepairedJson, repair as repair_json};
pub use kind::Kind;
pub use lease::LeaseState;
pub use message_group::MessageGroup;
pub use outcome::{
    DeadLetterSource, DeadLettered, FailedMailbox, FiledMailbox, FilingResult, Lease, MIN_OUTCOME_DAYS,
    MissingParticipant, Outcome, OutcomeError,
};
pub use participant::Participant;
pub use run::{Cursor, Listed, Reached, RunId, RunKind, RunRecord, Window, WindowError, WindowStart};
pub use task::{ConvertTask, ImportTask, TASK_VERSION, TaskError};
pub use unrecognized_value::UnrecognizedValue;
pub use webhook::WebhookFact;
