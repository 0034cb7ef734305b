//! Authenticates the sender of a body.

use std::fmt;

use model::Sha256;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

/// A secret shared with the sender: Meta's app secret, the verify token, or the value of a provider's header.
pub struct AppSecret(SecretString);

impl AppSecret {
    /// Creates a secret from text.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(SecretString::from(secret.into()))
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.expose_secret().as_bytes())
    }

    /// Returns whether the secret is empty. An empty secret must match nothing, because every sender could sign with
    /// it.
    fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppSecret(…)")
    }
}

/// Returns whether the header `X-Hub-Signature-256` (`sha256=<hex>`) is the HMAC-SHA256 of the raw body. The comparison
/// takes the same time for every wrong signature.
pub fn signature_matches(body: &[u8], header: &str, secret: &AppSecret) -> bool {
    let Some(tag) = header.trim().strip_prefix("sha256=").and_then(|hex| hex.parse::<Sha256>().ok()) else {
        return false;
    };
    !secret.is_empty() && hmac::verify(&secret.key(), body, tag.as_bytes()).is_ok()
}

/// Returns whether a header's value is the secret: for providers that pass Meta's payload on without Meta's signature.
/// The comparison takes the same time for every wrong value of the same length.
pub fn header_matches(value: &str, secret: &AppSecret) -> bool {
    let key = secret.key();
    // HMAC tags have equal lengths and are compared in constant time, whatever the values are.
    let expected = hmac::sign(&key, secret.0.expose_secret().as_bytes());
    !secret.is_empty() && hmac::verify(&key, value.as_bytes(), expected.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    const TAG: &str = "sha256=1ca363dab318df784e1963b29dca91e2098e6cf2fbf0d3c14e09580a90684a61";

    #[test]
    fn signature_of_the_raw_body_matches_and_no_other() {
        let secret = AppSecret::new("app-secret-for-tests");
        assert!(signature_matches(BODY, TAG, &secret));
        assert!(signature_matches(BODY, &TAG.to_uppercase().replace("SHA256", "sha256"), &secret));
        for (body, header) in [
            (&BODY[1..], TAG),
            (BODY, &TAG[..TAG.len() - 1]),
            (BODY, &TAG[7..]),
            (BODY, ""),
            (BODY, "sha256="),
            (BODY, &TAG.replace('1', "+")),
            (BODY, &TAG.replace("sha256", "sha1")),
            (BODY, &TAG.replace("4a61", "4a60")),
            (BODY, &"é".repeat(35)),
        ] {
            assert!(!signature_matches(body, header, &secret), "{header}");
        }
        assert!(!signature_matches(BODY, TAG, &AppSecret::new("another")));
        assert!(!format!("{secret:?}").contains("app-secret"));
    }

    #[test]
    fn empty_secret_accepts_nothing() {
        let empty = AppSecret::new("");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b""), BODY);
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!signature_matches(BODY, &format!("sha256={hex}"), &empty));
        assert!(!header_matches("", &empty));
    }

    #[test]
    fn header_matches_only_the_whole_value() {
        let secret = AppSecret::new("a-shared-value");
        assert!(header_matches("a-shared-value", &secret));
        for other in ["", "a-shared", "a-shared-value ", "A-shared-value"] {
            assert!(!header_matches(other, &secret), "{other}");
        }
    }
}
