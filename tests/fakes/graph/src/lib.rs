//! A strict, stateful fake of the parts of Microsoft Graph that import uses, and of the login endpoint.
//!
//! It listens on the loopback interface and keeps a tenant in memory. It refuses whatever the documents do not allow,
//! and does what they say happens: drafts stay drafts, lists come in pages of ten, a mailbox answers four requests at
//! once, a file over 3 MB comes in pieces and in order. Where a limit is read differently by different people it takes
//! the reading that is harder for the client. What goes wrong is written down by the test: see [`Fault`]. Nothing here
//! sleeps unless [`GraphFake::set_latency`] says so: a request that has to wait does so at a [`Gate`].
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! use graph_fake::{Fault, GraphFake, Kind, On, Refusal, User};
//!
//! let graph = GraphFake::start().await?;
//! graph.add(User::new("ada@example.com").alias("lovelace@example.com"));
//! graph.fault(On::kind(Kind::MessageCreate), Fault::Refuse(Refusal::new(503, "ErrorServerBusy")));
//! // … a client files something at graph.url() …
//! assert!(graph.messages("ada@example.com").is_empty());
//! # Ok(())
//! # }
//! ```

mod answer;
mod connection;
mod fault;
mod graph;
mod login;
mod mailbox;
mod message;
mod mime;
mod query;
mod route;
mod server;

pub use fault::{Fault, Gate, On, Refusal};
pub use mailbox::{Quirks, StoredAttachment, StoredMessage, User};
pub use route::Kind;
pub use server::{CLIENT_ID, CLIENT_SECRET, GraphFake, TENANT_ID};
