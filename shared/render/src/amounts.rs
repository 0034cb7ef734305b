//! Times, durations and sizes in words.

use jiff::Timestamp;

/// `2026-11-21 09:59:58 UTC`, with milliseconds where there are any.
pub(crate) fn time(time: Timestamp) -> String {
    let text = time.to_string();
    let text = text.strip_suffix('Z').unwrap_or(&text);
    format!("{} UTC", text.replacen('T', " ", 1))
}

/// `1 hour 2 minutes 3 seconds`. What is no duration at all is shown as it came.
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
        assert_eq!(size(1_234_567), "1.2 MB (1,234,567 bytes)");
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(time("2026-11-21T09:59:58.120Z".parse().unwrap()), "2026-11-21 09:59:58.12 UTC");
    }
}
