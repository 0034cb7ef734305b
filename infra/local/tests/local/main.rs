//! The one-machine driver, against the real server and a real function, and its sample archive.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, its helpers included")]

mod event_source;
mod function;
mod ministack;
mod sample_source;
mod support;
