//! The environment variables.

use std::{collections::HashMap, fmt::Display, str::FromStr};

/// A variable is missing or invalid, so the process cannot start. Names the variable and the expected form, never the
/// value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// Not set, or empty.
    #[error("environment variable {name} is not set: {expected}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// The expected form.
        expected: &'static str,
    },
    /// Set to an invalid value.
    #[error("environment variable {name} is invalid: {problem}; expected {expected}")]
    Bad {
        /// The variable.
        name: &'static str,
        /// The expected form.
        expected: &'static str,
        /// The problem.
        problem: String,
    },
    /// Read by the code and not declared: a bug.
    #[error("environment variable {0} is read but not declared")]
    Undeclared(&'static str),
}

/// The environment at the start of the process. Only declared variables can be read, so that the list of a function's
/// variables, with which the template is compared in tests, is complete.
pub struct Variables {
    declared: &'static [&'static str],
    values: HashMap<&'static str, String>,
}

impl Variables {
    /// Reads the declared variables from the environment of the process.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn read(declared: &'static [&'static str]) -> Self {
        Self::from_values(declared, |name| std::env::var(name).ok())
    }

    /// Reads the declared variables from another place: a table in a test, the description of a stack.
    pub fn from_values(declared: &'static [&'static str], value: impl Fn(&str) -> Option<String>) -> Self {
        let trimmed = |name| value(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        Self { declared, values: declared.iter().filter_map(|&name| Some((name, trimmed(name)?))).collect() }
    }

    /// Reads a variable that may be missing. Empty counts as missing: a template cannot leave a variable out.
    ///
    /// # Errors
    /// The value cannot be parsed.
    pub fn optional<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, VariableError> {
        if !self.declared.contains(&name) {
            return Err(VariableError::Undeclared(name));
        }
        let parse = |text: &String| {
            text.parse().map_err(|error: T::Err| VariableError::Bad { name, expected, problem: error.to_string() })
        };
        self.values.get(name).map(parse).transpose()
    }

    /// Reads a variable that must be set.
    ///
    /// # Errors
    /// It is missing or cannot be parsed.
    pub fn required<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<T, VariableError> {
        self.optional(name, expected)?.ok_or(VariableError::Missing { name, expected })
    }

    /// Reads a variable with a default.
    ///
    /// # Errors
    /// The value cannot be parsed: a malformed value is never replaced by the default.
    pub fn with_default<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
        expected: &'static str,
        default: T,
    ) -> Result<T, VariableError> {
        Ok(self.optional(name, expected)?.unwrap_or(default))
    }
}

/// Joins two lists of variables at compile time, so that a function's list includes that of its source or mailbox.
///
/// # Panics
/// At compile time, if `N` is not the length of both lists together.
pub const fn joined<const N: usize>(first: &[&'static str], second: &[&'static str]) -> [&'static str; N] {
    assert!(N == first.len() + second.len(), "N must be the length of both lists");
    let mut names = [""; N];
    let mut at = 0;
    while at < N {
        names[at] = if at < first.len() { first[at] } else { second[at - first.len()] };
        at += 1;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        let value = |name: &str| match name {
            "BUCKET" => Some(" archive ".to_owned()),
            "EMPTY" => Some(String::new()),
            "LIMIT" => Some("ten".to_owned()),
            _ => None,
        };
        Variables::from_values(&["BUCKET", "EMPTY", "LIMIT"], value)
    }

    #[test]
    fn invalid_value_is_not_shown_and_its_variable_is_named() {
        let variables = variables();
        assert_eq!(variables.required::<String>("BUCKET", "a bucket"), Ok("archive".to_owned()));
        assert_eq!(variables.with_default("EMPTY", "a number", 7_u64), Ok(7));
        let bad = variables.with_default("LIMIT", "a number of bytes", 7_u64).unwrap_err().to_string();
        assert!(bad.contains("LIMIT") && bad.contains("a number of bytes") && !bad.contains("ten"), "{bad}");
        let missing = variables.required::<String>("EMPTY", "a bucket").unwrap_err();
        assert_eq!(missing.to_string(), "environment variable EMPTY is not set: a bucket");
    }

    #[test]
    fn undeclared_variable_cannot_be_read() {
        assert_eq!(variables().optional::<String>("PATH", ""), Err(VariableError::Undeclared("PATH")));
    }
}
