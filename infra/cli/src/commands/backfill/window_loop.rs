//! Fetches a window in as many invocations as needed.

use std::{cell::Cell, io, time::Duration};

use model::Window;

use crate::functions::FunctionError;
use local::machine::{Fetched, MachineError};

/// Error of a backfill. Items that were queued before stay queued.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// Error of the deployed function. Its text is complete, so it is not a source as well.
    #[error("{}{}", .0, advice(.0))]
    Function(FunctionError),
    /// Error of the one-machine run.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The function is not fetch, or is of another release.
    #[error("the response of fetch is not a run summary: check that the function is fetch of this release")]
    Response,
    /// The response cannot be printed.
    #[error("printing the response of fetch failed: {0}")]
    Output(#[from] io::Error),
}

impl From<FunctionError> for BackfillError {
    fn from(error: FunctionError) -> Self {
        Self::Function(error)
    }
}

fn advice(error: &FunctionError) -> &'static str {
    match error {
        FunctionError::OutcomeUnknown { .. } => {
            ". It may be running, and is not invoked again automatically. Run the window again: items that are filed already are \
             skipped"
        }
        FunctionError::Failed { .. } => {
            ". Items that it queued before stay queued. Fix the cause, then run the window again"
        }
        FunctionError::Missing(_)
        | FunctionError::Busy(_)
        | FunctionError::Rejected { .. }
        | FunctionError::NotSent { .. }
        | FunctionError::NotBuilt => "",
    }
}

/// Invokes fetch for a window.
pub trait Fetch {
    /// Invokes fetch once.
    ///
    /// # Errors
    /// [`BackfillError`].
    fn fetch(&self, window: Window) -> impl Future<Output = Result<Fetched, BackfillError>>;

    /// Waits while another run of fetch is running.
    fn wait(&self) -> impl Future<Output = ()> {
        tokio::time::sleep(Duration::from_secs(30))
    }
}

/// Limit of waits for another run between two invocations: longer in total than a run.
const MAX_WAITS: u32 = 32;

/// The rest of a window, which another invocation would not fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remainder {
    /// Any part of this window: fetch did not report its progress.
    Unknown(Window),
    /// All of this window except its beginning: another invocation would stop at the same time.
    Stuck(Window),
    /// This window, the end of the requested one: fetch ends a window 5 minutes before the source's time, because the
    /// source may still add items with later times.
    TooRecent(Window),
}

/// Fetches a window, and then its rest as long as fetch reports progress. `rest` is always the part that is not queued
/// yet, also after an error or when this future is dropped. `report` receives each response. Returns `None` when the
/// whole window is queued.
///
/// Waits for another run of fetch only between two invocations, when the schedule's run may have started.
///
/// # Errors
/// [`BackfillError`].
pub async fn fetch_window(
    rest: &Cell<Window>,
    fetch: &impl Fetch,
    report: impl Fn(&Fetched) -> io::Result<()>,
) -> Result<Option<Remainder>, BackfillError> {
    let mut waits = 0;
    loop {
        let window = rest.get();
        let response = match fetch.fetch(window).await {
            Err(BackfillError::Function(FunctionError::Busy(_))) if waits > 0 => {
                waits -= 1;
                fetch.wait().await;
                continue;
            }
            response => response?,
        };
        waits = MAX_WAITS;
        report(&response)?;
        if response.complete {
            let left = Window::between(response.to, window.to).ok();
            rest.set(left.unwrap_or(Window { from: window.to, ..window }));
            return Ok(left.map(Remainder::TooRecent));
        }
        match response.reached {
            // More items of this time may follow on the next page.
            Some(reached) if reached > window.from && reached < window.to => {
                rest.set(Window { from: reached, ..window });
            }
            Some(_) => return Ok(Some(Remainder::Stuck(window))),
            None => return Ok(Some(Remainder::Unknown(window))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use jiff::Timestamp;

    use super::*;

    /// Fetches at most one hour per invocation.
    #[derive(Default)]
    struct HourlyFetch {
        requested: RefCell<Vec<String>>,
        ordered: bool,
        /// From this hour on fetch is busy this many times, or fails.
        busy_from: Option<&'static str>,
        busy: Cell<u32>,
        broken_from: Option<&'static str>,
        /// The end of every window that fetch accepts.
        latest: Option<&'static str>,
        waited: Cell<u32>,
    }

    impl Fetch for HourlyFetch {
        async fn fetch(&self, window: Window) -> Result<Fetched, BackfillError> {
            let from = window.from.to_string();
            let since = |hour: Option<&str>| hour.is_some_and(|hour| from.as_str() >= hour);
            if since(self.busy_from) && self.busy.get() > 0 {
                self.busy.set(self.busy.get() - 1);
                return Err(FunctionError::Busy("fetch".to_owned()).into());
            }
            if since(self.broken_from) {
                return Err(FunctionError::Failed { name: "fetch".to_owned(), message: "HTTP 401".to_owned() }.into());
            }
            self.requested.borrow_mut().push(from);
            let latest = self.latest.map_or(Timestamp::MAX, |latest| latest.parse().unwrap());
            let window = Window { to: window.to.min(latest), ..window };
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

    fn ordered() -> HourlyFetch {
        HourlyFetch { ordered: true, ..HourlyFetch::default() }
    }

    const HOURS: [&str; 3] = ["2026-11-01T00:00:00Z", "2026-11-01T01:00:00Z", "2026-11-01T02:00:00Z"];

    fn window() -> Window {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        Window::between(at("2026-11-01T00:00:00Z"), at("2026-11-01T02:30:00Z")).unwrap()
    }

    #[tokio::test]
    async fn window_continues_where_fetch_stopped_until_it_is_queued() {
        let (fetch, rest) = (ordered(), Cell::new(window()));
        let responses = Cell::new(0);
        let count = |_: &Fetched| {
            responses.set(responses.get() + 1);
            Ok(())
        };
        assert_eq!(fetch_window(&rest, &fetch, count).await.unwrap(), None);
        assert_eq!(responses.get(), 3);
        assert_eq!(*fetch.requested.borrow(), HOURS);
    }

    #[tokio::test]
    async fn end_that_fetch_cuts_off_is_reported() {
        let fetch = HourlyFetch { latest: Some(HOURS[2]), ..ordered() };
        let rest = Cell::new(window());
        let left = Window { from: HOURS[2].parse().unwrap(), ..window() };
        assert_eq!(fetch_window(&rest, &fetch, |_| Ok(())).await.unwrap(), Some(Remainder::TooRecent(left)));
        assert_eq!((rest.get(), fetch.requested.borrow().len()), (left, 2));
    }

    #[tokio::test]
    async fn rest_of_the_window_is_reported_after_an_error() {
        let fetch = HourlyFetch { broken_from: Some(HOURS[1]), ..ordered() };
        let rest = Cell::new(window());
        assert!(fetch_window(&rest, &fetch, |_| Ok(())).await.is_err());
        assert_eq!((rest.get().from.to_string().as_str(), rest.get().to), (HOURS[1], window().to));
    }

    #[tokio::test]
    async fn busy_fetch_is_awaited_only_between_two_invocations() {
        let fetch = HourlyFetch { busy_from: Some(HOURS[1]), busy: Cell::new(2), ..ordered() };
        assert_eq!(fetch_window(&Cell::new(window()), &fetch, |_| Ok(())).await.unwrap(), None);
        assert_eq!((fetch.waited.get(), &fetch.requested.borrow()[..]), (2, &HOURS.map(str::to_owned)[..]));

        let busy = HourlyFetch { busy_from: Some(HOURS[0]), busy: Cell::new(1), ..ordered() };
        assert!(fetch_window(&Cell::new(window()), &busy, |_| Ok(())).await.is_err());
        let busy = HourlyFetch { busy_from: Some(HOURS[2]), busy: Cell::new(u32::MAX), ..ordered() };
        assert!(fetch_window(&Cell::new(window()), &busy, |_| Ok(())).await.is_err());
        assert_eq!(busy.waited.get(), MAX_WAITS);
    }

    #[tokio::test]
    async fn unknown_progress_ends_the_backfill() {
        let fetch = HourlyFetch::default();
        assert_eq!(
            fetch_window(&Cell::new(window()), &fetch, |_| Ok(())).await.unwrap(),
            Some(Remainder::Unknown(window()))
        );
        assert_eq!(fetch.requested.borrow().len(), 1);
    }

    #[tokio::test]
    async fn window_without_progress_ends_the_backfill() {
        struct Unadvancing;
        impl Fetch for Unadvancing {
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
        assert_eq!(
            fetch_window(&Cell::new(window()), &Unadvancing, |_| Ok(())).await.unwrap(),
            Some(Remainder::Stuck(window()))
        );
    }
}
