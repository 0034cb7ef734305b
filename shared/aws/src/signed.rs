//! Signs requests to AWS services whose SDK is not linked, with the crate that the SDKs use (Signature Version 4).

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_s3::config::ProvideCredentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};

/// Error of signing a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No region or no credentials: a configuration error.
    #[error("the {0} of AWS is missing: check the function's role and the variables of AWS")]
    Missing(&'static str),
    /// The credentials cannot be read now: transient.
    #[error("the credentials of AWS cannot be read now")]
    Credentials,
    /// The request cannot be signed: a bug.
    #[error("the request cannot be signed")]
    Request,
}

/// The host of a service in the configuration's region, or the configured endpoint.
///
/// # Errors
/// [`SignError::Missing`].
pub fn endpoint(config: &SdkConfig, service: &str) -> Result<String, SignError> {
    if let Some(endpoint) = config.endpoint_url() {
        return Ok(endpoint.trim_end_matches('/').to_owned());
    }
    let region = config.region().ok_or(SignError::Missing("region"))?;
    Ok(format!("https://{service}.{region}.amazonaws.com"))
}

/// The header fields that sign a POST of JSON to a service. `content-type: application/json` is among what is signed.
///
/// # Errors
/// [`SignError`].
pub async fn sign_post(
    config: &SdkConfig,
    service: &str,
    url: &str,
    json: &[u8],
) -> Result<Vec<(String, String)>, SignError> {
    let region = config.region().ok_or(SignError::Missing("region"))?;
    let provider = config.credentials_provider().ok_or(SignError::Missing("credentials"))?;
    let credentials = provider.provide_credentials().await.map_err(|_| SignError::Credentials)?;
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region.as_ref())
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| SignError::Request)?
        .into();
    let headers = [("content-type", "application/json")].into_iter();
    let request = SignableRequest::new("POST", url, headers, SignableBody::Bytes(json));
    let request = request.map_err(|_| SignError::Request)?;
    let (signed, _) = sign(request, &params).map_err(|_| SignError::Request)?.into_parts();
    Ok(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
