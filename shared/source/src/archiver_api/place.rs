//! The content of [`Page::next`](crate::Page): the time up to which items were listed, and the source's own cursor.

use jiff::Timestamp;
use model::Listed;

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
    /// Up to this time.
    Until(Timestamp),
    /// An entry was older than an earlier one, so older ones may follow at any time.
    Broken,
}

const UNKNOWN: &str = "-";
const BROKEN: &str = "!";

impl Place {
    /// Returns the place after these items, which follow `used`.
    pub(super) fn after(used: Option<&Self>, items: &[Listed], cursor: String) -> Self {
        let order = used.map_or(Order::Unknown, |used| used.order);
        let times = items.iter().filter_map(Listed::archived_at);
        Self { order: times.fold(order, Order::and_then), cursor }
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
    fn and_then(self, time: Timestamp) -> Self {
        match self {
            Self::Unknown => Self::Until(time),
            Self::Until(latest) if latest <= time => Self::Until(time),
            Self::Until(_) | Self::Broken => Self::Broken,
        }
    }

    pub(super) fn reached(self) -> Option<Timestamp> {
        match self {
            Self::Until(time) => Some(time),
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

    #[test]
    fn place_advances_only_while_the_list_is_in_order() {
        let first = Place::after(None, &page(&["rubbish"]), "c/1".to_owned());
        assert_eq!(first.order, Order::Unknown);
        let second =
            Place::after(Some(&first), &page(&["2026-11-21T01:00:00Z", "", "2026-11-21T02:00:00Z"]), "c 2".to_owned());
        assert_eq!(second.order.reached(), "2026-11-21T02:00:00Z".parse().ok());
        let empty = Place::after(Some(&second), &[], "c".to_owned());
        assert_eq!(empty.order, second.order);
        // Older than the end of the previous page, although the page itself is in order.
        let third =
            Place::after(Some(&second), &page(&["2026-11-21T01:59:59Z", "2026-11-21T03:00:00Z"]), "c".to_owned());
        assert_eq!(third.order, Order::Broken);
        let fourth = Place::after(Some(&third), &page(&["2026-11-21T04:00:00Z"]), "c".to_owned());
        assert_eq!(fourth.order.reached(), None);
        for place in [first, second, third] {
            let read = Place::read(&place.write()).unwrap();
            assert_eq!((read.order, read.cursor), (place.order, place.cursor));
        }
        for foreign in ["", "c", "yesterday c"] {
            assert!(matches!(Place::read(foreign), Err(SourceError::MalformedPage(_))), "{foreign}");
        }
    }
}
