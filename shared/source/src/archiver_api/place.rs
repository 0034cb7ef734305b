//! Where a page ends, as it stands in [`Page::next`](crate::Page): how far the pages have come, and the archive's cursor.

use jiff::Timestamp;
use model::Listed;

use crate::SourceError;

pub(super) struct Place {
    pub(super) order: Order,
    /// The archive's own.
    pub(super) cursor: String,
}

/// How far the pages have come, as long as the archive keeps its promise to list the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// No entry had a time.
    Unknown,
    /// To this time.
    Until(Timestamp),
    /// An entry was older than one before it, so older ones may come at any time.
    Broken,
}

const UNKNOWN: &str = "-";
const BROKEN: &str = "!";

impl Place {
    /// Behind these items, which stand behind `used`.
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
        let foreign = || SourceError::MalformedPage("the cursor is not ours".to_owned());
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
    fn a_list_has_come_as_far_as_its_order_is_kept_from_page_to_page() {
        let first = Place::after(None, &page(&["rubbish"]), "c/1".to_owned());
        assert_eq!(first.order, Order::Unknown);
        let second =
            Place::after(Some(&first), &page(&["2026-11-21T01:00:00Z", "", "2026-11-21T02:00:00Z"]), "c 2".to_owned());
        assert_eq!(second.order.reached(), "2026-11-21T02:00:00Z".parse().ok());
        let empty = Place::after(Some(&second), &[], "c".to_owned());
        assert_eq!(empty.order, second.order);
        // Older than what the page before ended with, in order though it is by itself.
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
