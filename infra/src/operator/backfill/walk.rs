//! A window in as many invocations as it takes.

use std::io;

use item::Window;

use crate::{
    local::machine::{Fetched, MachineError},
    operator::functions::FunctionError,
};

/// Why a backfill stopped. What fetch queued before is queued.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The deployed function. Its text has all that the error says, so it is no source beside.
    #[error("{}{}", .0, advice(.0))]
    Function(FunctionError),
    /// The one-machine run's.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The function is another, or of another release.
    #[error("fetch answered what is no summary of a run: is it the function fetch of this release?")]
    Answer,
    /// Its answer cannot be shown.
    #[error("writing what fetch answered: {0}")]
    Output(#[from] io::Error),
}

impl From<FunctionError> for BackfillError {
    fn from(error: FunctionError) -> Self {
        Self::Function(error)
    }
}

fn advice(error: &FunctionError) -> &'static str {
    match error {
        FunctionError::Lost { .. } => {
            ". It may be at work all the same, and is not asked a second time by itself. Ask for the window again: what is \
             filed already is skipped"
        }
        FunctionError::Failed { .. } => {
            ". What it queued before is queued. When the cause is mended, ask for the window again"
        }
        FunctionError::Missing(_) | FunctionError::Busy(_) | FunctionError::Refused { .. } => "",
    }
}

/// Whoever can be asked for a window.
pub trait Fetch {
    /// Asks once.
    ///
    /// # Errors
    /// [`BackfillError`].
    fn fetch(&self, window: Window) -> impl Future<Output = Result<Fetched, BackfillError>>;
}

/// What is left of a window, and why it cannot be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Any part of this window: fetch did not say how far it came.
    Unknown(Window),
    /// All of this window but its beginning: another try would stop at the same place.
    Stuck(Window),
}

/// Asks for a window, and for the rest of it as long as fetch says how far it came. `tell` is told each answer. `None`:
/// the whole window is queued.
///
/// # Errors
/// [`BackfillError`].
pub async fn walk(
    window: Window,
    fetch: &impl Fetch,
    tell: impl Fn(&Fetched) -> io::Result<()>,
) -> Result<Option<Left>, BackfillError> {
    let mut rest = window;
    loop {
        let answer = fetch.fetch(rest).await?;
        tell(&answer)?;
        if answer.complete {
            return Ok(None);
        }
        match answer.reached {
            // Items of that very time may be on the page that was not listed any more.
            Some(reached) if reached > rest.from && reached < rest.to => rest.from = reached,
            Some(_) => return Ok(Some(Left::Stuck(rest))),
            None => return Ok(Some(Left::Unknown(rest))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use jiff::Timestamp;

    use super::*;

    /// Lists at most an hour an invocation.
    struct HourByHour {
        asked: RefCell<Vec<String>>,
        ordered: bool,
    }

    impl Fetch for HourByHour {
        async fn fetch(&self, window: Window) -> Result<Fetched, BackfillError> {
            self.asked.borrow_mut().push(window.from.to_string());
            let end = window.from + jiff::SignedDuration::from_hours(1);
            let complete = end >= window.to;
            Ok(Fetched {
                run: "r".parse().unwrap(),
                from: window.from,
                to: window.to,
                listed: 1,
                queued: 1,
                complete,
                reached: self.ordered.then_some(end.min(window.to)),
            })
        }
    }

    fn window() -> Window {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        Window::between(at("2026-11-01T00:00:00Z"), at("2026-11-01T02:30:00Z")).unwrap()
    }

    #[tokio::test]
    async fn a_window_is_gone_on_with_from_where_fetch_stopped_until_all_of_it_is_queued() {
        let fetch = HourByHour { asked: RefCell::default(), ordered: true };
        let answers = Cell::new(0);
        let count = |_: &Fetched| {
            answers.set(answers.get() + 1);
            Ok(())
        };
        assert_eq!(walk(window(), &fetch, count).await.unwrap(), None);
        assert_eq!(answers.get(), 3);
        assert_eq!(*fetch.asked.borrow(), ["2026-11-01T00:00:00Z", "2026-11-01T01:00:00Z", "2026-11-01T02:00:00Z"]);
    }

    #[tokio::test]
    async fn where_fetch_cannot_say_how_far_it_came_nobody_guesses() {
        let fetch = HourByHour { asked: RefCell::default(), ordered: false };
        assert_eq!(walk(window(), &fetch, |_| Ok(())).await.unwrap(), Some(Left::Unknown(window())));
        assert_eq!(fetch.asked.borrow().len(), 1);
    }

    #[tokio::test]
    async fn a_window_that_does_not_get_shorter_ends() {
        struct Stands;
        impl Fetch for Stands {
            async fn fetch(&self, window: Window) -> Result<Fetched, BackfillError> {
                Ok(Fetched {
                    run: "r".parse().unwrap(),
                    from: window.from,
                    to: window.to,
                    listed: 9,
                    queued: 9,
                    complete: false,
                    reached: Some(window.from),
                })
            }
        }
        assert_eq!(walk(window(), &Stands, |_| Ok(())).await.unwrap(), Some(Left::Stuck(window())));
    }
}
