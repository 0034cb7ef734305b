//! Which of a date's three numbers is the day: inferred over the whole file, since one date seldom shows it.

use std::fmt;

use jiff::civil::{Date, DateTime};

use crate::header::{Stamp, Style, YearForm};

/// The order of a date's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// `15/04/2016`.
    DayMonthYear,
    /// `04/15/2016`.
    MonthDayYear,
    /// `2016-04-15`.
    YearMonthDay,
}

/// What the order was concluded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEvidence {
    /// The numbers allow no other order: a year of four digits comes first, or a number is above 12.
    Numbers,
    /// Both orders give dates, but only in this one do (nearly) all messages follow each other in time and lie before
    /// the upload.
    Chronology,
    /// Nothing tells them apart, so the day was taken to come first, as it does in most of the world. The dates may be
    /// wrong; say so in a log.
    Default,
}

/// The order of an export's dates, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayOrder {
    /// The order.
    pub order: DateOrder,
    /// What it was concluded from.
    pub evidence: OrderEvidence,
}

impl DayOrder {
    /// Whether it is no more than an assumption.
    pub fn is_ambiguous(&self) -> bool {
        self.evidence == OrderEvidence::Default
    }

    /// The order of `stamps`, all written in `style`. `newest` is a day after which no message can be: the day after
    /// the upload.
    ///
    /// An order in which a line is no date is worse than any other. After that, an order is the worse the more often
    /// a message is older than the one before it, or newer than the upload.
    pub(crate) fn infer(style: Style, stamps: &[Stamp], newest: Date) -> Self {
        let faults = |order: DateOrder| {
            let (mut invalid, mut unlikely) = (0_usize, 0_usize);
            let mut before = None;
            for stamp in stamps {
                match order.date_time(*stamp) {
                    Some(time) => {
                        unlikely += usize::from(time.date() > newest) + usize::from(before.is_some_and(|b| time < b));
                        before = Some(time);
                    }
                    None => invalid += 1,
                }
            }
            (invalid, unlikely)
        };
        if style.year == YearForm::First {
            return Self { order: DateOrder::YearMonthDay, evidence: OrderEvidence::Numbers };
        }
        let (day, month) = (faults(DateOrder::DayMonthYear), faults(DateOrder::MonthDayYear));
        let (order, best) = if month < day { (DateOrder::MonthDayYear, month) } else { (DateOrder::DayMonthYear, day) };
        // A year of two digits in front is rare, and nearly every such date could be read with the day in front: it
        // has to be better, not just as good.
        if style.year == YearForm::Short && faults(DateOrder::YearMonthDay) < best {
            return Self { order: DateOrder::YearMonthDay, evidence: OrderEvidence::Chronology };
        }
        let evidence = if day.0 != month.0 {
            OrderEvidence::Numbers
        } else if day.1 != month.1 {
            OrderEvidence::Chronology
        } else {
            OrderEvidence::Default
        };
        Self { order, evidence }
    }
}

impl DateOrder {
    /// The wall clock that a stamp means. `None` for what is no date, and for a year in which there was no WhatsApp
    /// yet (before 2009) or that has not come for long: such a line is no message, or another calendar's.
    pub(crate) fn date_time(self, stamp: Stamp) -> Option<DateTime> {
        let [a, b, c] = stamp.date;
        let (year, month, day) = match self {
            Self::DayMonthYear => (c, b, a),
            Self::MonthDayYear => (c, a, b),
            Self::YearMonthDay => (a, b, c),
        };
        let year = match year {
            0..=99 => 2000 + year,
            // Thai phones count from the Buddha's death.
            2400.. => year - 543,
            _ => year,
        };
        if !(2009..=2099).contains(&year) {
            return None;
        }
        let date = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        let part = |value: u8| i8::try_from(value).ok();
        Some(date.at(part(stamp.hour)?, part(stamp.minute)?, part(stamp.second)?, 0))
    }
}

impl fmt::Display for DateOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DayMonthYear => "day-month-year",
            Self::MonthDayYear => "month-day-year",
            Self::YearMonthDay => "year-month-day",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Header;

    fn infer(dates: &[&str]) -> (DateOrder, OrderEvidence) {
        let lines: Vec<String> = dates.iter().map(|date| format!("{date}, 10:00 - Ada: x")).collect();
        let headers: Vec<Header<'_>> = lines.iter().map(|line| Header::parse(line).unwrap()).collect();
        let stamps: Vec<Stamp> = headers.iter().map(|header| header.stamp).collect();
        let DayOrder { order, evidence } = DayOrder::infer(headers[0].style, &stamps, jiff::civil::date(2026, 11, 23));
        (order, evidence)
    }

    #[test]
    fn the_order_is_inferred_over_the_whole_file() {
        use DateOrder::{DayMonthYear, MonthDayYear, YearMonthDay};
        use OrderEvidence::{Chronology, Default, Numbers};
        for (dates, expected) in [
            (&["01/02/2020", "13/02/2020"][..], (DayMonthYear, Numbers)),
            (&["01/02/2020", "02/13/2020"], (MonthDayYear, Numbers)),
            (&["2020-01-02"], (YearMonthDay, Numbers)),
            // 3 February, 4 January would go back in time.
            (&["01/02/20", "02/01/20", "03/01/20"], (MonthDayYear, Chronology)),
            (&["02/01/20", "03/01/20", "01/02/20"], (DayMonthYear, Chronology)),
            // 11 December 2026 lies after the upload.
            (&["11/12/2026"], (MonthDayYear, Chronology)),
            (&["01/02/2020"], (DayMonthYear, Default)),
            (&["05/05/2020", "06/06/2020"], (DayMonthYear, Default)),
            (&["20-11-30", "20-12-01", "21-01-02"], (YearMonthDay, Chronology)),
            // One line that is no date in either order does not decide.
            (&["01/02/2020", "31/31/2020", "14/02/2020"], (DayMonthYear, Numbers)),
        ] {
            assert_eq!(infer(dates), expected, "{dates:?}");
        }
    }

    #[test]
    fn impossible_years_are_no_dates() {
        let stamp = |year| Stamp { date: [1, 2, year], hour: 1, minute: 2, second: 3 };
        for (year, known) in
            [(2009, true), (2563, true), (20, true), (2008, false), (1399, false), (2100, false), (3000, false)]
        {
            assert_eq!(DateOrder::DayMonthYear.date_time(stamp(year)).is_some(), known, "{year}");
        }
    }
}
