//! What a deployment says of its user map.

/// The variables of import that say where the map is, and how it is read and used. A stack says the same by its parameters,
/// whose names are these as [`parameter`] writes them.
pub const MAPPING: &[&str] = &["AUTOMATIC_MAPPING", "CATCH_ALL_MAILBOX", "DEFAULT_REGION", "USER_MAP_KEY"];

/// The stack's parameter that sets a variable: `DefaultRegion` of `DEFAULT_REGION`.
pub fn parameter(variable: &str) -> String {
    let word = |word: &str| {
        let (initial, rest) = word.split_at(word.len().min(1));
        initial.to_owned() + &rest.to_ascii_lowercase()
    };
    variable.split('_').map(word).collect()
}
