//! The content of [`Page::next`](crate::Page): the time up to which items were listed, and the source's own cursor.

use jiff::{SignedDuration, Timestamp};
use model::{Listed, Window};

use crate::SourceError;

pub(super) struct Place {
    pub(super) order: Order,
    /// The source's cursor.
    pub(super) cursor: String,
}

/// The progress of the pages, if the source lists the oldest first, as its documentation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// No entry has had a time.
    Unknown,
    /// The time of the latest entry.
    Until(Timestamp),
    /// An entry contradicts the contract's order, so older ones may follow at any time.
    Broken,
}

const UNKNOWN: &str = "-";
const BROKEN: &str = "!";

impl Place {
    /// Returns the place after these items of a window, which follow `used`.
    pub(super) fn after(window: &Window, used: Option<&Self>, items: &[Listed], cursor: String) -> Self {
        let order = used.map_or(Order::Unknown, |used| used.order);
        let times = items.iter().filter_map(Listed::archived_at);
        Self { order: times.fold(order, |order, time| order.and_then(time, window)), cursor }
    }

    pub(super) fn write(&self) -> String {
        let Self { order, cursor } = self;
        match order {
            Order::Unknown => format!("{UNKNOWN} {cursor}"),
            Order::Until(time) => format!("{time} {cursor}"),
            Order::Broken => format!("{BROKEN} {cursor}"),
        }
    }

    pub(super) fn read(text: &str) -> Result<Self, SourceError> {
        let foreign = || SourceError::MalformedPage("the cursor was not written by this adapter".to_owned());
        let (order, cursor) = text.split_once(' ').ok_or_else(foreign)?;
        let order = match order {
            UNKNOWN => Order::Unknown,
            BROKEN => Order::Broken,
            time => Order::Until(time.parse().map_err(|_| foreign())?),
        };
        Ok(Self { order, cursor: cursor.to_owned() })
    }
}

impl Order {
    /// Distance from the latest entry back to the time that counts as reached. Several processes of a source may number
    /// its items, so the next page may begin with items that are a little older than the end of this one. A run that
    /// continues after a failed page must list them.
    const REACHED_BEFORE: SignedDuration = Window::OVERLAP;

    /// Entries that are older than an earlier one by more than this show that [`Self::REACHED_BEFORE`] may be too short.
    const MAX_DISORDER: SignedDuration = SignedDuration::from_mins(5);

    fn and_then(self, time: Timestamp, window: &Window) -> Self {
        match self {
            // The window's end is exclusive: this time is wrong, and says nothing about the entries that follow.
            _ if time >= window.to => Self::Broken,
            Self::Unknown => Self::Until(time),
            Self::Until(latest) if latest.duration_since(time) <= Self::MAX_DISORDER => Self::Until(latest.max(time)),
            Self::Until(_) | Self::Broken => Self::Broken,
        }
    }

    pub(super) fn reached(self) -> Option<Timestamp> {
        match self {
            Self::Until(latest) => latest.checked_sub(Self::REACHED_BEFORE).ok(),
            Self::Unknown | Self::Broken => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(times: &[&str]) -> Vec<Listed> {
        times.iter().map(|time| Listed { item: json!("x"), archived_time: json!(time) }).collect()
    }

    /// Returns the place after a page of a window that ends at 06:00.
    fn after(used: Option<&Place>, times: &[&str]) -> Place {
        let at = |text: &str| text.parse().unwrap();
        let window = Window::between(at("2026-11-21T00:00:00Z"), at("2026-11-21T06:00:00Z")).unwrap();
        Place::after(&window, used, &page(times), "c 1".to_owned())
    }

    #[test]
    fn place_advances_only_while_the_list_is_in_order() {
        let first = after(None, &["rubbish"]);
        assert_eq!(first.order, Order::Unknown);
        let second = after(Some(&first), &["2026-11-21T01:00:00Z", "", "2026-11-21T02:00:00Z"]);
        assert_eq!(second.order.reached(), "2026-11-21T01:50:00Z".parse().ok());
        assert_eq!(after(Some(&second), &[]).order, second.order);
        // A little older than the end of the previous page: a run that continues after that page lists it.
        let disordered = after(Some(&second), &["2026-11-21T01:55:00Z"]);
        assert_eq!(disordered.order, second.order);
        // Much older than the end of the previous page, although the page itself is in order.
        let third = after(Some(&second), &["2026-11-21T01:54:59Z", "2026-11-21T03:00:00Z"]);
        assert_eq!(third.order, Order::Broken);
        let fourth = after(Some(&third), &["2026-11-21T04:00:00Z"]);
        assert_eq!(fourth.order.reached(), None);
        assert_eq!(after(None, &["-009999-01-02T01:59:59Z"]).order.reached(), None);
        for place in [first, second, third] {
            let read = Place::read(&place.write()).unwrap();
            assert_eq!((read.order, read.cursor), (place.order, place.cursor));
        }
        for foreign in ["", "c", "yesterday c"] {
            assert!(matches!(Place::read(foreign), Err(SourceError::MalformedPage(_))), "{foreign}");
        }
    }

    /// One wrong clock at the source: days may follow that were not listed yet.
    #[test]
    fn time_after_the_window_says_nothing_about_the_progress() {
        for wrong in ["2026-11-21T06:00:00Z", "2036-11-21T02:00:00Z"] {
            let place = after(None, &["2026-11-21T01:00:00Z", wrong]);
            assert_eq!(place.order.reached(), None, "{wrong}");
        }
    }
}
