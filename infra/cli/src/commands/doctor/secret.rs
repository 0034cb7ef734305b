//! Checks a user name and a password that an operator has to fill in.

/// Placeholder in the template.
pub(super) const TO_BE_FILLED_IN: &str = "to be filled in";

/// Returns the problem that is visible without a login; `None` if there is none.
pub(super) fn problem(username: &str, password: &str) -> Option<&'static str> {
    if username == TO_BE_FILLED_IN {
        Some("not filled in yet")
    } else if username.is_empty() || password.is_empty() {
        Some("the user name or the password is empty")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholder_of_the_template_is_recognized() {
        let template = include_str!("../../../../../template.yaml");
        assert!(template.contains(&format!(r#"SecretStringTemplate: '{{"username": "{TO_BE_FILLED_IN}"}}'"#)));
        assert_eq!(problem(TO_BE_FILLED_IN, "x"), Some("not filled in yet"));
        assert!(problem("", "x").is_some() && problem("x", "").is_some());
        assert_eq!(problem("archiver", "x"), None);
    }
}
