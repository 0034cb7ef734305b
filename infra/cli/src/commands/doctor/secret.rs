//! A user name and a password that an operator has to have filled in.

/// What the template puts there until somebody does.
const TO_BE_FILLED_IN: &str = "to be filled in";

/// What is wrong with them at sight; `None` where nothing is.
pub(super) fn flaw(username: &str, password: &str) -> Option<&'static str> {
    if username == TO_BE_FILLED_IN {
        Some("it is not filled in yet")
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
    fn what_the_template_puts_there_is_known() {
        let template = include_str!("../../../../../template.yaml");
        assert!(template.contains(&format!(r#"SecretStringTemplate: '{{"username": "{TO_BE_FILLED_IN}"}}'"#)));
        assert_eq!(flaw(TO_BE_FILLED_IN, "x"), Some("it is not filled in yet"));
        assert!(flaw("", "x").is_some() && flaw("x", "").is_some());
        assert_eq!(flaw("archiver", "x"), None);
    }
}
