//! A window in as many invocations as it takes.

use std::{cell::Cell, io, time::Duration};

use model::Window;

use crate::functions::FunctionError;
use local::machine::{Fetched, MachineError};

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
            ". What it queued before is queued. When the cause is fixed, ask for the window again"
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

    /// Waits a while, because somebody else has fetch at work.
    fn wait(&self) -> impl Future<Output = ()> {
        tokio::time::sleep(Duration::from_secs(30))
    }
}

/// How often it is waited for somebody else's run between two of ours: longer than one lasts.
const WAITS: u32 = 32;

/// What is left of a window, and why it cannot be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Any part of this window: fetch did not say how far it came.
    Unknown(Window),
    /// All of this window but its beginning: another try would stop at the same place.
    Stuck(Window),
}

/// Asks for a window, and for the rest of it as long as fetch says how far it came. `rest` is what is left, at every
/// moment: also after an error, and where this is dropped. `tell` is told each answer. `None`: the whole window is queued.
///
/// A fetch that somebody else has at work is waited for only between two answers: the schedule's run takes its turn then.
///
/// # Errors
/// [`BackfillError`].
pub async fn walk(
    rest: &Cell<Window>,
    fetch: &impl Fetch,
    tell: impl Fn(&Fetched) -> io::Result<()>,
) -> Result<Option<Left>, BackfillError> {
    let mut waits = 0;
    loop {
        let window = rest.get();
        let answer = match fetch.fetch(window).await {
            Err(BackfillError::Function(FunctionError::Busy(_))) if waits > 0 => {
                waits -= 1;
                fetch.wait().await;
                continue;
            }
            answer => answer?,
        };
        waits = WAITS;
        tell(&answer)?;
        if answer.complete {
            return Ok(None);
        }
        match answer.reached {
            // Items of that very time may be on the page that was not listed any more.
            Some(reached) if reached > window.from && reached < window.to => {
                rest.set(Window { from: reached, ..window });
            }
            Some(_) => return Ok(Some(Left::Stuck(window))),
            None => return Ok(Some(Left::Unknown(window))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use jiff::Timestamp;

    use super::*;

    /// Lists at most an hour an invocation.
    #[derive(Default)]
    struct HourByHour {
        asked: RefCell<Vec<String>>,
        ordered: bool,
        /// From this hour on fetch is somebody else's, as often as it is asked; or broken.
        busy_from: Option<&'static str>,
        busy: Cell<u32>,
        broken_from: Option<&'static str>,
        waited: Cell<u32>,
    }

    impl Fetch for HourByHour {
        async fn fetch(&self, window: Window) -> Result<Fetched, BackfillError> {
            let from = window.from.to_string();
            let since = |hour: Option<&str>| hour.is_some_and(|hour| from.as_str() >= hour);
            if since(self.busy_from) && self.busy.get() > 0 {
                self.busy.set(self.busy.get() - 1);
                return Err(FunctionError::Busy("fetch".to_owned()).into());
            }
            if since(self.broken_from) {
                return Err(FunctionError::Failed { name: "fetch".to_owned(), said: "HTTP 401".to_owned() }.into());
            }
            self.asked.borrow_mut().push(from);
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

        async fn wait(&self) {
            self.waited.set(self.waited.get() + 1);
        }
    }

    fn ordered() -> HourByHour {
        HourByHour { ordered: true, ..HourByHour::default() }
    }

    const HOURS: [&str; 3] = ["2026-11-01T00:00:00Z", "2026-11-01T01:00:00Z", "2026-11-01T02:00:00Z"];

    fn window() -> Window {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        Window::between(at("2026-11-01T00:00:00Z"), at("2026-11-01T02:30:00Z")).unwrap()
    }

    #[tokio::test]
    async fn a_window_is_gone_on_with_from_where_fetch_stopped_until_all_of_it_is_queued() {
        let (fetch, rest) = (ordered(), Cell::new(window()));
        let answers = Cell::new(0);
        let count = |_: &Fetched| {
            answers.set(answers.get() + 1);
            Ok(())
        };
        assert_eq!(walk(&rest, &fetch, count).await.unwrap(), None);
        assert_eq!(answers.get(), 3);
        assert_eq!(*fetch.asked.borrow(), HOURS);
    }

    #[tokio::test]
    async fn after_an_error_it_is_known_what_is_left() {
        let fetch = HourByHour { broken_from: Some(HOURS[1]), ..ordered() };
        let rest = Cell::new(window());
        assert!(walk(&rest, &fetch, |_| Ok(())).await.is_err());
        assert_eq!((rest.get().from.to_string().as_str(), rest.get().to), (HOURS[1], window().to));
    }

    #[tokio::test]
    async fn another_run_is_waited_for_between_two_answers_and_not_before_the_first() {
        let fetch = HourByHour { busy_from: Some(HOURS[1]), busy: Cell::new(2), ..ordered() };
        assert_eq!(walk(&Cell::new(window()), &fetch, |_| Ok(())).await.unwrap(), None);
        assert_eq!((fetch.waited.get(), &fetch.asked.borrow()[..]), (2, &HOURS.map(str::to_owned)[..]));

        let busy = HourByHour { busy_from: Some(HOURS[0]), busy: Cell::new(1), ..ordered() };
        assert!(walk(&Cell::new(window()), &busy, |_| Ok(())).await.is_err());
        let busy = HourByHour { busy_from: Some(HOURS[2]), busy: Cell::new(u32::MAX), ..ordered() };
        assert!(walk(&Cell::new(window()), &busy, |_| Ok(())).await.is_err());
        assert_eq!(busy.waited.get(), WAITS);
    }

    #[tokio::test]
    async fn where_fetch_cannot_say_how_far_it_came_nobody_guesses() {
        let fetch = HourByHour::default();
        assert_eq!(walk(&Cell::new(window()), &fetch, |_| Ok(())).await.unwrap(), Some(Left::Unknown(window())));
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
        assert_eq!(walk(&Cell::new(window()), &Stands, |_| Ok(())).await.unwrap(), Some(Left::Stuck(window())));
    }
}
