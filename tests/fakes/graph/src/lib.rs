//! A strict, stateful fake of the parts of Microsoft Graph that import uses, and of the login endpoint.
//!
//! It listens on the loopback interface and keeps a tenant in memory. It rejects requests that the documentation does not
//! allow and behaves as documented: drafts stay drafts, lists have pages of ten, a mailbox accepts four concurrent requests,
//! and a file above 3 MB is uploaded in pieces and in order. Where the documentation of a limit is ambiguous, the
//! stricter reading applies. Tests script faults with [`Fault`]. Nothing sleeps without
//! [`GraphFake::set_latency`]: a request that has to wait does so at a [`Gate`].

mod connection;
mod fault;
mod graph;
mod login;
mod mailbox;
mod message;
mod mime;
mod query;
mod reply;
mod route;
mod server;

pub use fault::{Fault, Gate, On, Refusal};
pub use mailbox::{Quirks, StoredAttachment, StoredMessage, User};
pub use route::Kind;
pub use server::{CLIENT_ID, CLIENT_SECRET, GraphFake, TENANT_ID};
