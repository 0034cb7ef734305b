//! The instants of messages: their wall-clock times in the configured time zone.

use std::collections::HashSet;

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::messages::Message;

/// Maximum time by which a message may be earlier than the one above it without showing that the hour began again: phones'
/// clocks differ by minutes.
const MAX_STEP_BACK: SignedDuration = SignedDuration::from_mins(5);

/// Reads wall-clock times. An hour that a clock skips is read as if the clock had not been put forward yet. An hour that
/// comes twice is read as its first, unless the messages above show that it is the second.
pub(crate) struct Instants {
    zone: TimeZone,
    /// The indexes of the messages in the second of two equal hours.
    second: HashSet<usize>,
}

impl Instants {
    /// Finds the messages in the second of two equal hours: in the first they would be earlier than the message above them,
    /// and in the second they are not. A message that is out of order proves nothing about those below it.
    pub(crate) fn of(messages: &[Message], zone: &TimeZone) -> Self {
        let mut instants = Self { zone: zone.clone(), second: HashSet::new() };
        let mut above: Option<Timestamp> = None;
        for (place, message) in messages.iter().enumerate() {
            let Some(time) = message.time else { continue };
            let read = zone.to_ambiguous_timestamp(time);
            let follows = |instant: &Timestamp| above.is_none_or(|above| *instant >= above - MAX_STEP_BACK);
            if matches!(read.offset(), AmbiguousOffset::Fold { .. })
                && let (Ok(first), Ok(second)) = (read.earlier(), read.later())
                && !follows(&first)
                && follows(&second)
            {
                instants.second.insert(place);
            }
            if !message.out_of_order {
                above = instants.at(place, time);
            }
        }
        instants
    }

    /// Returns the instant of the message with this index and wall-clock time.
    pub(crate) fn at(&self, place: usize, time: DateTime) -> Option<Timestamp> {
        let read = self.zone.to_ambiguous_timestamp(time);
        if self.second.contains(&place) { read.later() } else { read.compatible() }.ok()
    }

    /// Returns the note for a time that occurred twice, or not at all.
    pub(crate) fn note(&self, time: DateTime) -> Option<&'static str> {
        match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { .. } => None,
            AmbiguousOffset::Fold { .. } => Some(REPEATED),
            AmbiguousOffset::Gap { .. } => Some(SKIPPED),
        }
    }
}

const REPEATED: &str = "this hour occurred twice, because the clock was put back: the time is that of the first, unless the \
                        order of the export's messages shows that it is the second";
const SKIPPED: &str = "this hour did not exist in the configured time zone, because the clock was put forward: the phone may \
                       have been in another zone";
