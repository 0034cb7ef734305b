//! The one-machine driver, against the real server and a real function.

mod event_source;
mod function;
mod ministack;
mod support;
