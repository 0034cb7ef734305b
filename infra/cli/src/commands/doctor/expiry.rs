//! Reports when the credential of the application in Entra ends.

use jiff::{Timestamp, tz::TimeZone};
use mailbox::entra::{EXPIRY_WARNING_DAYS, EntraSecret, days_left};

use super::finding::Finding;

/// Remedy before the end: see the runbook.
const ROTATE: &str =
    "create a second certificate or client secret in Entra and put it into the secret (runbook, \"Rotating secrets\")";

/// Returns the finding about a secret that has the required members.
pub(super) fn finding(check: &'static str, secret: &EntraSecret, now: Timestamp) -> Finding {
    let kind = match secret {
        EntraSecret::ClientSecret { .. } => "client secret",
        EntraSecret::Certificate { .. } => "certificate",
    };
    let expires = match secret.expires() {
        Ok(Some(expires)) => expires,
        Ok(None) => {
            return Finding::ok(
                check,
                "has the required members; the token request checks their values\n\
                 no warning before the client secret expires: note its day, {\"client_secret\": …, \"expires\": \"2027-11-30\"}",
            );
        }
        Err(error) => return Finding::warning(check, error.to_string(), "correct the secret"),
    };
    let (day, days) = (expires.to_zoned(TimeZone::UTC).date(), days_left(expires, now));
    if days < 0 {
        return Finding::not_ok(check, format!("the {kind} expired on {day}"), ROTATE);
    }
    let text = format!("the {kind} expires on {day}, in {days} days");
    if days < EXPIRY_WARNING_DAYS {
        return Finding::warning(check, text, ROTATE);
    }
    Finding::ok(check, format!("has the required members; {text}"))
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn expiry_is_a_warning_for_thirty_days_and_then_a_failure() {
        let secret = |expires: Option<&str>| EntraSecret::ClientSecret {
            client_secret: "x".to_owned().into(),
            expires: expires.map(str::to_owned),
        };
        let now: Timestamp = "2027-11-01T12:00:00Z".parse().unwrap();
        for (expires, verdict, text) in [
            (None, Verdict::Ok, "note its day"),
            (Some("2027-12-15"), Verdict::Ok, "expires on 2027-12-15, in 43 days"),
            (Some("2027-11-30"), Verdict::Warning, "expires on 2027-11-30, in 28 days"),
            (Some("2027-11-01"), Verdict::NotOk, "expired on 2027-11-01"),
            (Some("30/11/2027"), Verdict::Warning, "not a date"),
        ] {
            let finding = finding("secret", &secret(expires), now);
            assert!(finding.verdict == verdict && finding.detail.contains(text), "{expires:?}: {finding:?}");
        }
    }
}
