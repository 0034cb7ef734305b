//! The environment variables.

use std::{collections::HashMap, fmt::Display, str::FromStr};

/// Why the process cannot start. Names the variable and the expected form, never the value: it may be a secret.
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
    #[error("environment variable {name} has a bad value: {problem}; expected {expected}")]
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

/// The environment as it was when the process started. It gives out only the variables that the process declares, so
/// that a function's list of variables, which the deployment's template is tested against, cannot fall behind.
pub struct Variables {
    declared: &'static [&'static str],
    values: HashMap<&'static str, String>,
}

impl Variables {
    /// Reads the declared variables from the process's environment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn read(declared: &'static [&'static str]) -> Self {
        Self::from_values(declared, |name| std::env::var(name).ok())
    }

    /// Reads the declared variables from somewhere else: a test's table, a stack's description.
    pub fn from_values(declared: &'static [&'static str], value: impl Fn(&str) -> Option<String>) -> Self {
        let trimmed = |name| value(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        Self { declared, values: declared.iter().filter_map(|&name| Some((name, trimmed(name)?))).collect() }
    }

    /// A variable that may be missing. Empty counts as missing: a template cannot leave a variable out.
    ///
    /// # Errors
    /// When its value cannot be parsed.
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

    /// A variable that must be there.
    ///
    /// # Errors
    /// When it is missing or cannot be parsed.
    pub fn required<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<T, VariableError> {
        self.optional(name, expected)?.ok_or(VariableError::Missing { name, expected })
    }

    /// A variable with a default.
    ///
    /// # Errors
    /// When it cannot be parsed: a malformed value is never taken for the default.
    pub fn or<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
        expected: &'static str,
        default: T,
    ) -> Result<T, VariableError> {
        Ok(self.optional(name, expected)?.unwrap_or(default))
    }
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
        assert_eq!(variables.or("EMPTY", "a number", 7_u64), Ok(7));
        let bad = variables.or("LIMIT", "a number of bytes", 7_u64).unwrap_err().to_string();
        assert!(bad.contains("LIMIT") && bad.contains("a number of bytes") && !bad.contains("ten"), "{bad}");
        let missing = variables.required::<String>("EMPTY", "a bucket").unwrap_err();
        assert_eq!(missing.to_string(), "environment variable EMPTY is not set: a bucket");
    }

    #[test]
    fn undeclared_variable_cannot_be_read() {
        assert_eq!(variables().optional::<String>("PATH", ""), Err(VariableError::Undeclared("PATH")));
    }
}
