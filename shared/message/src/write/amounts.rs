//! Formats times, durations and sizes.

use jiff::{Timestamp, tz::TimeZone};

/// `2026-11-21 09:59:58 UTC`, with milliseconds if there are any. With a time zone, its time is beside it:
/// `2026-11-21 09:59:58 UTC (10:59:58 Europe/Copenhagen)`, and its date where that differs.
pub(crate) fn time(time: Timestamp, zone: Option<&TimeZone>) -> String {
    let text = time.to_string();
    let text = text.strip_suffix('Z').unwrap_or(&text);
    let mut text = format!("{} UTC", text.replacen('T', " ", 1));
    if let Some(zone) = zone {
        let local = time.to_zoned(zone.clone());
        let name = zone.iana_name().unwrap_or("local time");
        let format = if local.date() == time.to_zoned(TimeZone::UTC).date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        text.push_str(&format!(" ({} {name})", local.strftime(format)));
    }
    text
}

/// `1 hour 2 minutes 3 seconds`. A number that is not a duration is shown as captured.
pub(crate) fn duration(seconds: f64) -> String {
    const CENTURY: f64 = 100.0 * 365.25 * 86_400.0;
    if !(0.0..CENTURY).contains(&seconds) {
        return format!("{seconds:e} seconds");
    }
    if seconds < 1.0 && seconds > 0.0 {
        return "less than a second".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a century")]
    let mut left = seconds.round() as u64;
    let mut words = Vec::new();
    for (unit, length) in [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)] {
        let count = left / length;
        left %= length;
        if count > 0 {
            words.push(counted(count, unit));
        }
    }
    if words.is_empty() { "0 seconds".to_owned() } else { words.join(" ") }
}

/// `1 byte`, `12,345 bytes`, `1.2 MB (1,234,567 bytes)`.
pub(crate) fn size(bytes: u64) -> String {
    let exact = format!("{} {}", thousands(bytes), if bytes == 1 { "byte" } else { "bytes" });
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let of = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..100_000 => exact,
        100_000..1_000_000 => format!("{:.0} kB ({exact})", of(1_000)),
        1_000_000.. => format!("{:.1} MB ({exact})", of(1_000_000)),
    }
}

/// `1 day`, `2 days`.
pub(crate) fn counted(count: u64, unit: &str) -> String {
    format!("{} {unit}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use jiff::tz;

    use super::*;

    #[test]
    fn amounts_are_words() {
        assert_eq!(duration(3_723.4), "1 hour 2 minutes 3 seconds");
        assert_eq!(duration(604_800.0), "7 days");
        assert_eq!(duration(0.0), "0 seconds");
        assert_eq!(duration(0.2), "less than a second");
        assert_eq!(duration(-5.0), "-5e0 seconds");
        assert_eq!(duration(1e308), "1e308 seconds");
        assert_eq!(size(1), "1 byte");
        assert_eq!(size(12_345), "12,345 bytes");
        assert_eq!(size(100_000), "100 kB (100,000 bytes)");
        assert_eq!(size(1_234_567), "1.2 MB (1,234,567 bytes)");
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn time_is_utc_with_the_local_time_beside_it() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(time(at("2026-11-21T09:59:58.120Z"), None), "2026-11-21 09:59:58.12 UTC");
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let zone = Some(&zone);
        assert_eq!(time(at("2026-11-21T09:59:58Z"), zone), "2026-11-21 09:59:58 UTC (10:59:58 local time)");
        assert_eq!(time(at("2026-07-21T23:30:00Z"), zone), "2026-07-21 23:30:00 UTC (2026-07-22 01:30:00 local time)");
        let fixed = TimeZone::fixed(tz::offset(-3));
        assert!(time(at("2026-07-21T01:30:00Z"), Some(&fixed)).contains("(2026-07-20 22:30:00"));
    }
}
