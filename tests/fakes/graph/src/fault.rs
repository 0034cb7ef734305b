//! Scripted faults.

use std::sync::Arc;

use axum::http::Uri;
use tokio::sync::watch;

use crate::route::Kind;

/// Selects the request of a fault.
#[derive(Debug, Clone, Copy)]
pub struct On {
    kind: Option<Kind>,
    text: Option<&'static str>,
    skip: usize,
    times: usize,
}

impl On {
    /// Selects the next request of any kind.
    pub fn any() -> Self {
        Self { kind: None, text: None, skip: 0, times: 1 }
    }

    /// Selects the next request of a kind.
    pub fn kind(kind: Kind) -> Self {
        Self { kind: Some(kind), ..Self::any() }
    }

    /// Selects only requests whose URL or body contains this text, such as the subject of a message.
    #[must_use]
    pub fn containing(self, text: &'static str) -> Self {
        Self { text: Some(text), ..self }
    }

    /// Selects the n-th request from now, counted from 1.
    #[must_use]
    pub fn nth(self, n: usize) -> Self {
        Self { skip: n.saturating_sub(1), ..self }
    }

    /// Selects the request and the following ones, this many in total.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }
}

/// The fault of a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The request is rejected and not carried out.
    Refuse(Refusal),
    /// The request is carried out, and the response is an error.
    DoAndRefuse(Refusal),
    /// The connection breaks, and the request is not carried out.
    Reset,
    /// The request is carried out, and the connection breaks before the response.
    LoseResponse,
    /// The request is not carried out, and this response is sent.
    Respond {
        /// The HTTP status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// The request is carried out when the gate opens.
    HoldBefore(Gate),
    /// The request is carried out, and its response is sent when the gate opens.
    HoldAfter(Gate),
    /// The connection breaks, and the request is carried out when the gate opens.
    DoLater(Gate),
    /// The response is an error, and the request is carried out when the gate opens.
    RefuseAndDoLater(Refusal, Gate),
}

/// An error response.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`.
    pub code: String,
    /// The `Retry-After` header's value.
    pub retry_after: Option<String>,
    /// Additional text of the error's message.
    pub text: String,
}

impl Refusal {
    /// Creates an error response without a `Retry-After`.
    pub fn new(status: u16, code: &str) -> Self {
        Self { status, code: code.into(), retry_after: None, text: String::new() }
    }

    /// Adds a text in the error's message, such as the name of a property.
    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        Self { text: text.into(), ..self }
    }

    /// Adds a `Retry-After` header of any form.
    #[must_use]
    pub fn retry_after(self, value: &str) -> Self {
        Self { retry_after: Some(value.into()), ..self }
    }
}

/// Holds requests until the test opens it.
#[derive(Debug, Clone)]
pub struct Gate(Arc<GateState>);

#[derive(Debug)]
struct GateState {
    arrived: watch::Sender<usize>,
    open: watch::Sender<bool>,
    done: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(GateState {
            arrived: watch::Sender::new(0),
            open: watch::Sender::new(false),
            done: watch::Sender::new(0),
        }))
    }
}

impl Gate {
    /// Waits until this many requests have reached the gate.
    ///
    /// # Panics
    /// Never: the gate outlives its waiters.
    pub async fn reached(&self, requests: usize) {
        let mut arrived = self.0.arrived.subscribe();
        let reached = arrived.wait_for(|&arrived| arrived >= requests).await;
        assert!(reached.is_ok(), "the gate was dropped while a test waited for it");
    }

    /// Lets the held and all later requests continue.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until this many requests of [`Fault::DoLater`] and [`Fault::RefuseAndDoLater`] are carried out.
    ///
    /// # Panics
    /// Never: the gate outlives its waiters.
    pub async fn done(&self, requests: usize) {
        let mut done = self.0.done.subscribe();
        let enough = done.wait_for(|&done| done >= requests).await;
        assert!(enough.is_ok(), "the gate was dropped while a test waited for it");
    }

    pub(crate) fn note_done(&self) {
        self.0.done.send_modify(|done| *done += 1);
    }

    pub(crate) async fn pass(&self) {
        self.0.arrived.send_modify(|arrived| *arrived += 1);
        let mut open = self.0.open.subscribe();
        let opened = open.wait_for(|&open| open).await;
        assert!(opened.is_ok(), "the gate was dropped while a request waited for it");
    }
}

/// The pending faults.
#[derive(Debug, Default)]
pub(crate) struct Script(Vec<ScriptedFault>);

#[derive(Debug)]
struct ScriptedFault {
    on: On,
    fault: Fault,
    /// `true` if a request has had the fault.
    is_used: bool,
}

impl Script {
    pub(crate) fn add(&mut self, on: On, fault: Fault) {
        self.0.push(ScriptedFault { on, fault, is_used: false });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the number of pending faults that no request has had.
    pub(crate) fn unused(&self) -> usize {
        self.0.iter().filter(|scripted| !scripted.is_used).count()
    }

    /// Returns the fault of the current request. If two faults match, the first is used and the second stays pending.
    pub(crate) fn next(&mut self, kind: Kind, url: &Uri, body: &[u8]) -> Option<Fault> {
        let contains = |text: &str| {
            url.to_string().contains(text) || body.windows(text.len()).any(|window| window == text.as_bytes())
        };

        let mut due = None;
        for (index, ScriptedFault { on, is_used, .. }) in self.0.iter_mut().enumerate() {
            if on.kind.is_some_and(|selected| selected != kind) || on.text.is_some_and(|text| !contains(text)) {
                continue;
            }
            if on.skip > 0 {
                on.skip -= 1;
            } else if due.is_none() {
                on.times = on.times.saturating_sub(1);
                *is_used = true;
                due = Some((index, on.times == 0));
            }
        }
        let (index, spent) = due?;
        if spent { Some(self.0.remove(index).fault) } else { self.0.get(index).map(|scripted| scripted.fault.clone()) }
    }
}
