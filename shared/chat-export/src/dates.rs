//! Infers the meaning of the three numbers of a date: their order and their calendar, over the whole file, because a
//! single date is rarely unambiguous.

use std::{fmt, str::FromStr};

use icu_calendar::{
    Date as Day,
    cal::{Hijri, Iso, hijri::UmmAlQura},
};
use jiff::{ToSpan, civil::Date};

use crate::{
    cldr,
    head::{Head, YearForm},
    marks::is_space,
};

/// The order of a date's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// `15/04/2016`.
    DayMonthYear,
    /// `04/15/2016`.
    MonthDayYear,
    /// `2016-04-15`.
    YearMonthDay,
    /// `2016-15-04`.
    YearDayMonth,
}

/// The evidence for the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEvidence {
    /// The numbers allow no other order: a year of four digits comes first, or a number is above 12.
    Numbers,
    /// Several orders give dates, but only with this one (nearly) all messages follow each other in time and are before
    /// the upload.
    Chronology,
    /// The numbers allow several orders, and the configuration names this one.
    Configured,
    /// A few lines decide, which may be pasted text: another order explains nearly all dates as well. An assumption.
    FewLines,
    /// The numbers allow several orders, and dates are written in the style of one country's phones. An assumption.
    Style,
    /// Nothing distinguishes the orders, so the day is assumed to be first, as in most countries.
    Default,
}

/// The order of an export's dates, and its evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayOrder {
    /// The order.
    pub order: DateOrder,
    /// The evidence.
    pub evidence: OrderEvidence,
}

impl DayOrder {
    /// Returns whether the order is only an assumption.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self.evidence, OrderEvidence::FewLines | OrderEvidence::Style | OrderEvidence::Default)
    }
}

/// The calendar of the years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calendar {
    Gregorian,
    /// Thailand: 543 years ahead.
    Buddhist,
    /// Iran and Afghanistan.
    Persian,
    /// Saudi Arabia's Umm al-Qura.
    Islamic,
    /// Taiwan: years of the Republic.
    Minguo,
}

impl Calendar {
    const ALL: [Self; 5] = [Self::Gregorian, Self::Buddhist, Self::Persian, Self::Islamic, Self::Minguo];

    /// Returns the century of a year with two digits.
    fn century(self) -> u32 {
        match self {
            Self::Gregorian => 2000,
            Self::Buddhist => 2500,
            // 1388 was 2009, and 1400 was 2021.
            Self::Persian | Self::Islamic => 1400,
            Self::Minguo => 100,
        }
    }

    fn date(self, year: u32, digits: usize, month: u32, day: u32) -> Option<Date> {
        let mut year = if digits <= 2 { self.century() + year } else { year };
        if self == Self::Persian && digits <= 2 && year >= 1480 {
            year -= 100;
        }
        let gregorian =
            |year: u32| Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok();
        let converted = |day: Day<Iso>| {
            let (month, number) = (day.month().ordinal, day.day_of_month().0);
            Date::new(
                i16::try_from(day.year().extended_year()).ok()?,
                i8::try_from(month).ok()?,
                i8::try_from(number).ok()?,
            )
            .ok()
        };
        let (signed, small, number) = (i32::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?);
        match self {
            Self::Gregorian => gregorian(year),
            Self::Buddhist => gregorian(year.checked_sub(543)?),
            Self::Minguo => gregorian(year + 1911),
            Self::Persian => converted(Day::try_new_persian(signed, small, number).ok()?.to_calendar(Iso)),
            Self::Islamic => {
                let calendar: Hijri<UmmAlQura> = Hijri::new_umm_al_qura();
                let day = Day::try_new_hijri_with_calendar(signed, small, number, calendar).ok()?;
                converted(day.to_calendar(Iso))
            }
        }
    }
}

/// The interpretation of the dates of one export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DateReading {
    pub(crate) order: DateOrder,
    pub(crate) calendar: Calendar,
}

impl DateReading {
    /// Returns the day at the beginning of a line. `month` is the meaning of the month's name, if it has one.
    pub(crate) fn date(self, head: &Head, month: Option<u8>) -> Option<Date> {
        let place = |at: usize| (head.date[at], head.digits[at]);
        let ((year, digits), written_month, (day, _)) = if head.style.month_name {
            (place(2), u32::from(month?), place(0))
        } else {
            match self.order {
                DateOrder::DayMonthYear => (place(2), head.date[1], place(0)),
                DateOrder::MonthDayYear => (place(2), head.date[0], place(1)),
                DateOrder::YearMonthDay => (place(0), head.date[1], place(2)),
                DateOrder::YearDayMonth => (place(0), head.date[2], place(1)),
            }
        };
        if !head.era.is_empty() {
            if let Some(before) = cldr::year_before_era(&head.era) {
                return Calendar::Gregorian.date(before + year, 4, written_month, day);
            }
            // Two digits after letters that are not a Japanese era: only Thailand's years cannot be mistaken.
            if digits <= 2 && self.calendar != Calendar::Buddhist {
                return None;
            }
        }
        self.calendar.date(year, digits, written_month, day)
    }

    /// Returns the same day as [`date`](Self::date), if a message can be from that day. A phone's clock may be wrong by
    /// a year; but no calendar is chosen for dates in the future.
    pub(crate) fn possible(self, head: &Head, month: Option<u8>, limits: Limits) -> Option<Date> {
        let date = self.date(head, month)?;
        let newest =
            if self.calendar == Calendar::Gregorian { limits.newest.saturating_add(1.year()) } else { limits.newest };
        (date.year() >= Limits::FIRST_YEAR && date <= newest).then_some(date)
    }

    /// Infers how the dates of all these lines are read. They have one style. `months` are the meanings of the months'
    /// names.
    pub(crate) fn infer(
        heads: &[&Head],
        months: &[Option<u8>],
        limits: Limits,
        configured: Option<DateOrder>,
    ) -> (Self, OrderEvidence) {
        let Some(first) = heads.first() else {
            return (Self { order: DateOrder::DayMonthYear, calendar: Calendar::Gregorian }, OrderEvidence::Default);
        };
        let orders: &[DateOrder] = match first.style.year {
            _ if first.style.month_name => &[DateOrder::DayMonthYear],
            YearForm::First => &[DateOrder::YearMonthDay, DateOrder::YearDayMonth],
            YearForm::Last => &[DateOrder::DayMonthYear, DateOrder::MonthDayYear],
            YearForm::Short => &[DateOrder::DayMonthYear, DateOrder::MonthDayYear, DateOrder::YearMonthDay],
        };
        let mut readings: Vec<(Faults, usize, Self)> = Vec::new();
        for calendar in Calendar::ALL {
            for (place, order) in orders.iter().enumerate() {
                let reading = Self { order: *order, calendar };
                readings.push((reading.faults(heads, months, limits), place, reading));
            }
        }
        // Lines that were pasted from another phone must not decide the dates of all others.
        let few = few_lines(heads.len());
        let invalid = readings.iter().map(|(faults, ..)| faults.invalid).min().unwrap_or_default();
        readings.retain(|(faults, ..)| faults.invalid <= invalid + few);
        // The years decide the calendar: a later calendar is chosen only if the earlier ones have more faults.
        let calendar = readings.first().map_or(Calendar::Gregorian, |(.., reading)| reading.calendar);
        readings.retain(|(.., reading)| reading.calendar == calendar);
        let possible = readings.len();
        // A two-digit year in first place is rare, and nearly every such date is also valid with the day first.
        // Therefore it has to be better, not only equally good. The same holds for a year before day and month.
        let rare = |reading: &Self| match reading.order {
            DateOrder::YearMonthDay => first.style.year == YearForm::Short,
            DateOrder::YearDayMonth => true,
            _ => false,
        };
        readings.sort_by_key(|(faults, place, reading)| (faults.all(), rare(reading), *place));
        let Some((best, _, reading)) = readings.first().copied() else {
            return (Self { order: orders[0], calendar }, OrderEvidence::Default);
        };
        let usual = readings.iter().filter(|(.., reading)| !rare(reading)).count();
        if possible == 1 {
            return (reading, OrderEvidence::Numbers);
        }
        // A configured order decides if all dates are possible with it, whatever the chronology says; if a few are
        // impossible, only if nothing else speaks against it.
        let agrees = |faults: &Faults| faults.invalid == invalid || faults.all() <= best.all() + few;
        let is_configured =
            |(faults, _, reading): &&(Faults, usize, Self)| Some(reading.order) == configured && agrees(faults);
        if let Some((.., reading)) = readings.iter().find(is_configured) {
            return (*reading, OrderEvidence::Configured);
        }
        // What few lines say about the chronology decides nothing; a date that is impossible is stronger evidence.
        let likely: Vec<_> =
            readings.iter().filter(|(faults, _, other)| faults.all() <= best.all() + few && !rare(other)).collect();
        let fewest = likely.iter().map(|(faults, ..)| faults.invalid).min().unwrap_or_default();
        let tied: Vec<Self> =
            likely.iter().filter(|(faults, ..)| faults.invalid == fewest).map(|(.., other)| *other).collect();
        if tied.len() <= 1 {
            let reading = tied.first().copied().unwrap_or(reading);
            if likely.len() > 1 {
                return (reading, OrderEvidence::FewLines);
            }
            // `2024-02-03` has the month before the day in all countries.
            let sure = usual == 1 && !rare(&reading);
            return (reading, if sure { OrderEvidence::Numbers } else { OrderEvidence::Chronology });
        }
        let american = tied.iter().find(|reading| reading.order == DateOrder::MonthDayYear);
        match american {
            Some(reading) if is_american(heads) => (*reading, OrderEvidence::Style),
            _ => {
                let first = tied.iter().find(|reading| reading.order == DateOrder::DayMonthYear).unwrap_or(&tied[0]);
                (*first, OrderEvidence::Default)
            }
        }
    }

    /// Counts the lines for which this reading gives no possible date, and the unlikely dates: after the upload, or
    /// before the previous message.
    fn faults(self, heads: &[&Head], months: &[Option<u8>], limits: Limits) -> Faults {
        let mut faults = Faults::default();
        let mut before: Option<Date> = None;
        for (head, month) in heads.iter().zip(months) {
            match self.possible(head, *month, limits) {
                Some(date) => {
                    // Clocks of several phones differ by minutes; a wrong order differs by weeks.
                    let back = before.is_some_and(|before| date < before.saturating_sub(2.days()));
                    faults.unlikely += usize::from(date > limits.newest) + usize::from(back);
                    before = Some(date);
                }
                None => faults.invalid += 1,
            }
        }
        faults
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Faults {
    invalid: usize,
    unlikely: usize,
}

impl Faults {
    fn all(self) -> usize {
        self.invalid + self.unlikely
    }
}

/// Returns the number of lines that do not decide how all dates of a file are read. In a short file each line counts.
fn few_lines(lines: usize) -> usize {
    (lines / 100).max(2).min(lines / 10)
}

/// The first and last possible day of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The day after the upload.
    newest: Date,
}

impl Limits {
    /// WhatsApp's first year.
    const FIRST_YEAR: i16 = 2009;

    pub(crate) fn until(newest: Date) -> Self {
        Self { newest }
    }
}

/// Returns whether dates are written in the style of phones in the United States: `2/4/24, 10:02\u{202f}PM`.
fn is_american(heads: &[&Head]) -> bool {
    let slashes = heads.iter().all(|head| head.style.date_separator == "/" && head.digits[2] == 2);
    let unpadded = heads.iter().all(|head| (0..2).all(|at| head.digits[at] == 1 || head.date[at] > 9));
    let halves = heads.iter().all(|head| {
        let half = head.written_period.trim_start_matches(is_space);
        (half == "AM" || half == "PM") && head.hour_digits == head.hour.to_string().len()
    });
    slashes && unpadded && halves
}

impl fmt::Display for DateOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DayMonthYear => "day-month-year",
            Self::MonthDayYear => "month-day-year",
            Self::YearMonthDay => "year-month-day",
            Self::YearDayMonth => "year-day-month",
        })
    }
}

impl FromStr for DateOrder {
    type Err = &'static str;

    /// Reads the value of `EXPORT_DATE_ORDER`.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let orders = [Self::DayMonthYear, Self::MonthDayYear, Self::YearMonthDay, Self::YearDayMonth];
        let short =
            |order: &Self| order.to_string().split('-').filter_map(|word| word.chars().next()).collect::<String>();
        orders
            .into_iter()
            .find(|order| word.eq_ignore_ascii_case(&order.to_string()) || word.eq_ignore_ascii_case(&short(order)))
            .ok_or("unrecognized value")
    }
}
