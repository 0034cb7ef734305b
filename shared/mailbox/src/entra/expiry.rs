//! The expiry of the application's credential: a certificate contains it, for a client secret the operator records it.

use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use rustls::pki_types::{CertificateDer, UnixTime, pem::PemObject};
use webpki::{EndEntityCert, Error, KeyUsage};

use super::EntraSecret;

/// Number of days before its expiry from which on a credential is reported: enough for a change that involves two
/// departments.
pub const EXPIRY_WARNING_DAYS: i64 = 30;

/// The expiry of the credential cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExpiryError {
    /// The validity of a certificate.
    #[error("the certificate in the secret is not X.509 in PEM, or its validity cannot be read")]
    Certificate,
    /// The recorded day of a client secret.
    #[error("`expires` in the secret is not a date such as 2027-11-30")]
    Date,
}

impl EntraSecret {
    /// Returns the expiry of the credential; `None` for a client secret whose expiry is not recorded. Entra reports it
    /// only to an application that may read every application of the tenant (`Application.Read.All`), a permission that
    /// this one must not have.
    ///
    /// # Errors
    /// [`ExpiryError`].
    pub fn expires(&self) -> Result<Option<Timestamp>, ExpiryError> {
        match self {
            Self::ClientSecret { expires, .. } => expires.as_deref().map(recorded).transpose(),
            Self::Certificate { certificate_pem, .. } => not_after(certificate_pem).map(Some),
        }
    }

    /// Returns whether the credential expires within [`EXPIRY_WARNING_DAYS`], or has expired. `false` if its expiry is
    /// unknown.
    pub fn expires_soon(&self, now: Timestamp) -> bool {
        self.expires().is_ok_and(|expires| expires.is_some_and(|expires| days_left(expires, now) < EXPIRY_WARNING_DAYS))
    }
}

/// Returns the whole days until a time; negative after it.
pub fn days_left(expires: Timestamp, now: Timestamp) -> i64 {
    expires.duration_since(now).as_secs().div_euclid(24 * 60 * 60)
}

/// Reads a recorded expiry. For a day without a time, the start of the day is used, because Entra shows only the day.
fn recorded(text: &str) -> Result<Timestamp, ExpiryError> {
    let day = |text: &str| text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|begins| begins.timestamp());
    let text = text.trim();
    text.parse().ok().or_else(|| day(text)).ok_or(ExpiryError::Date)
}

/// Reads the last second of a certificate's validity. webpki returns it only in the error for an expired certificate,
/// which it checks first. Therefore the certificate is verified at the latest possible time, without trust anchors.
fn not_after(pem: &str) -> Result<Timestamp, ExpiryError> {
    let at = UnixTime::since_unix_epoch(Duration::from_secs(Timestamp::MAX.as_second().unsigned_abs()));
    let read = || {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let certificate = EndEntityCert::try_from(&der).ok()?;
        let verified = certificate.verify_for_usage(&[], &[], &[], at, KeyUsage::client_auth(), None, None);
        let Err(Error::CertExpired { not_after, .. }) = verified else { return None };
        Timestamp::from_second(i64::try_from(not_after.as_secs()).ok()?).ok()
    };
    read().ok_or(ExpiryError::Certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_secret(expires: Option<&str>) -> EntraSecret {
        EntraSecret::ClientSecret { client_secret: "x".to_owned().into(), expires: expires.map(str::to_owned) }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn client_secret_expires_on_the_recorded_day() {
        assert_eq!(client_secret(None).expires(), Ok(None));
        for text in ["2027-11-30", " 2027-11-30 ", "2027-11-30T00:00:00Z", "2027-11-30T01:00:00+01:00"] {
            assert_eq!(client_secret(Some(text)).expires(), Ok(Some(at("2027-11-30T00:00:00Z"))), "{text}");
        }
        for text in ["", "30.11.2027", "2027-02-30", "soon"] {
            assert_eq!(client_secret(Some(text)).expires(), Err(ExpiryError::Date), "{text}");
        }
    }

    #[test]
    fn credential_is_reported_thirty_days_before_its_end() {
        let secret = client_secret(Some("2027-11-30"));
        for (now, soon) in [
            ("2027-10-30T00:00:00Z", false),
            ("2027-10-31T00:00:00Z", false),
            ("2027-10-31T00:00:01Z", true),
            ("2028-01-01T00:00:00Z", true),
        ] {
            assert_eq!(secret.expires_soon(at(now)), soon, "{now}");
        }
        assert_eq!(days_left(at("2027-11-30T00:00:00Z"), at("2027-11-30T00:00:01Z")), -1);
        assert!(!client_secret(None).expires_soon(at("2028-01-01T00:00:00Z")));
        assert!(
            !client_secret(Some("soon")).expires_soon(at("2028-01-01T00:00:00Z")),
            "doctor reports that it is not a date"
        );
    }

    #[test]
    fn invalid_certificate_is_an_error() {
        for pem in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"] {
            let secret =
                EntraSecret::Certificate { certificate_pem: pem.to_owned(), private_key_pem: "x".to_owned().into() };
            assert_eq!(secret.expires(), Err(ExpiryError::Certificate), "{pem}");
        }
    }
}
