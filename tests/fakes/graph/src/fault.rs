//! What goes wrong, and when: a script that a test writes.

use std::sync::Arc;

use tokio::sync::watch;

use crate::route::Kind;

/// Which request a fault is for.
#[derive(Debug, Clone, Copy)]
pub struct On {
    kind: Option<Kind>,
    skip: usize,
    times: usize,
}

impl On {
    /// The next request, of whatever kind.
    pub fn any() -> Self {
        Self { kind: None, skip: 0, times: 1 }
    }

    /// The next request of a kind.
    pub fn kind(kind: Kind) -> Self {
        Self { kind: Some(kind), ..Self::any() }
    }

    /// Not the next but the n-th, counted from 1.
    #[must_use]
    pub fn nth(self, n: usize) -> Self {
        Self { skip: n.saturating_sub(1), ..self }
    }

    /// That one, and those after it, so many in all.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is refused and not done.
    Refuse(Refusal),
    /// It is done, and refused.
    DoAndRefuse(Refusal),
    /// The connection breaks; it is not done.
    Reset,
    /// It is done, and the connection breaks before the answer.
    LoseAnswer,
    /// It is not done; the answer is this one.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// It waits at a gate, and is done once the gate is open.
    HoldBefore(Gate),
    /// It is done, and its answer waits at a gate.
    HoldAfter(Gate),
    /// The connection breaks; it is done once the gate is open, whether or not anybody waits for it any more.
    DoLater(Gate),
}

/// An error answer.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`.
    pub code: String,
    /// The `Retry-After` header's value.
    pub retry_after: Option<String>,
    /// What the error's message also says.
    pub text: String,
}

impl Refusal {
    /// Without a `Retry-After`.
    pub fn new(status: u16, code: &str) -> Self {
        Self { status, code: code.into(), retry_after: None, text: String::new() }
    }

    /// With a text in the error's message, such as the name of a property.
    #[must_use]
    pub fn saying(self, text: &str) -> Self {
        Self { text: text.into(), ..self }
    }

    /// With a `Retry-After`, in whatever form.
    #[must_use]
    pub fn retry_after(self, value: &str) -> Self {
        Self { retry_after: Some(value.into()), ..self }
    }
}

/// Where requests wait until a test lets them go on.
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
    /// Waits until so many requests have come to the gate.
    ///
    /// # Panics
    /// Never: the gate outlives its waiters.
    pub async fn reached(&self, requests: usize) {
        let mut arrived = self.0.arrived.subscribe();
        let reached = arrived.wait_for(|&arrived| arrived >= requests).await;
        assert!(reached.is_ok(), "the gate outlives its waiters");
    }

    /// Lets every request go on, those that come later too.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until so many requests of [`Fault::DoLater`] are done.
    ///
    /// # Panics
    /// Never: the gate outlives its waiters.
    pub async fn done(&self, requests: usize) {
        let mut done = self.0.done.subscribe();
        let enough = done.wait_for(|&done| done >= requests).await;
        assert!(enough.is_ok(), "the gate outlives its waiters");
    }

    pub(crate) fn note_done(&self) {
        self.0.done.send_modify(|done| *done += 1);
    }

    pub(crate) async fn pass(&self) {
        self.0.arrived.send_modify(|arrived| *arrived += 1);
        let mut open = self.0.open.subscribe();
        let opened = open.wait_for(|&open| open).await;
        assert!(opened.is_ok(), "the gate outlives its waiters");
    }
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(crate) struct Script(Vec<(On, Fault)>);

impl Script {
    pub(crate) fn add(&mut self, on: On, fault: Fault) {
        self.0.push((on, fault));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault of a request that has come now. Of two that are due the first is taken; the other waits.
    pub(crate) fn next(&mut self, kind: Kind) -> Option<Fault> {
        let mut due = None;
        for (index, (on, _)) in self.0.iter_mut().enumerate() {
            if on.kind.is_some_and(|wanted| wanted != kind) {
                continue;
            }
            if on.skip > 0 {
                on.skip -= 1;
            } else if due.is_none() {
                on.times = on.times.saturating_sub(1);
                due = Some((index, on.times == 0));
            }
        }
        let (index, spent) = due?;
        if spent { Some(self.0.remove(index).1) } else { self.0.get(index).map(|(_, fault)| fault.clone()) }
    }
}
