//! A deployment's settings of its user map.

/// Import's environment variables for the user map. [`parameter`] converts each to the stack parameter that sets it.
pub const MAPPING: &[&str] = &["AUTOMATIC_MAPPING", "CATCH_ALL_MAILBOX", "DEFAULT_REGION", "USER_MAP_KEY"];

/// The variable with the number of days for which the bucket keeps outcomes and manifests. No function reads it. If the
/// environment names the deployment, the operator sets it together with the other variables.
pub const OUTCOME_DAYS: &str = "OUTCOME_DAYS";

/// Returns the stack parameter that sets a variable: `DefaultRegion` of `DEFAULT_REGION`.
pub fn parameter(variable: &str) -> String {
    let word = |word: &str| {
        let (initial, rest) = word.split_at(word.len().min(1));
        initial.to_owned() + &rest.to_ascii_lowercase()
    };
    variable.split('_').map(word).collect()
}
