//! Checks Signature Version 4 as AWS documents it, without the library that signs.

use axum::http::{HeaderMap, Uri};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use ring::{
    digest::{SHA256, digest},
    hmac::{HMAC_SHA256, Key, sign},
};

/// Header fields that a signature must cover.
const SIGNED: [&str; 3] = ["content-type", "host", "x-amz-date"];

/// AWS accepts requests of the last five minutes.
const LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// The key that signs, and the scope of the signature.
pub(crate) struct Signer<'a> {
    pub(crate) access_key: &'a str,
    pub(crate) secret_key: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// Checks the signature of a POST without a query. Returns the reason if it is invalid.
pub(crate) fn check(uri: &Uri, headers: &HeaderMap, body: &[u8], signer: &Signer<'_>) -> Result<(), &'static str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text("authorization").and_then(|text| text.strip_prefix("AWS4-HMAC-SHA256 "));
    let authorization = authorization.ok_or("no signature")?;
    let part = |name: &str| authorization.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let (credential, signed, signature) = part("Credential")
        .zip(part("SignedHeaders"))
        .zip(part("Signature"))
        .map(|((credential, signed), signature)| (credential, signed, signature))
        .ok_or("a part of the signature is missing")?;
    let date = text("x-amz-date").ok_or("no date")?;
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", date).map_err(|_| "the date is malformed")?;
    let at = at.to_zoned(TimeZone::UTC).map_err(|_| "the date is malformed")?.timestamp();
    if Timestamp::now().duration_since(at).abs() > LIFETIME {
        return Err("the request has expired");
    }
    let day = date.get(..8).ok_or("the date is malformed")?;
    let scope = format!("{day}/{}/{}/aws4_request", signer.region, signer.service);
    if credential != format!("{}/{scope}", signer.access_key) {
        return Err("wrong key, day, region or service");
    }
    let names: Vec<_> = signed.split(';').collect();
    if !names.is_sorted() || SIGNED.iter().any(|name| !names.contains(name)) {
        return Err("a header is not signed");
    }
    let mut request = format!("POST\n{}\n{}\n", uri.path(), uri.query().unwrap_or_default());
    for name in &names {
        request += &format!("{name}:{}\n", text(name).ok_or("a signed header is missing")?.trim());
    }
    request += &format!("\n{signed}\n{}", hex(digest(&SHA256, body).as_ref()));
    let request = hex(digest(&SHA256, request.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{request}");
    let mut key = format!("AWS4{}", signer.secret_key).into_bytes();
    for part in scope.split('/') {
        key = hmac(&key, part);
    }
    if hex(&hmac(&key, &to_sign)) == signature { Ok(()) } else { Err("the signature does not match") }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
