//! Validates the domain of Message-IDs.

/// An invalid archive domain. Every variant is a configuration error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// The text is empty.
    #[error("the archive domain is empty")]
    Empty,
    /// Longer than DNS allows.
    #[error("the archive domain has more than 253 characters")]
    TooLong,
    /// A label is empty, has more than 63 characters, begins or ends with a hyphen, or has characters other than
    /// letters, digits and hyphens.
    #[error("the archive domain is not a domain name: expected labels of letters, digits and hyphens")]
    Label,
}

/// Checks the domain and returns it in lower case. A trailing dot is not allowed: a Message-ID has none.
pub(crate) fn parse(text: &str) -> Result<String, DomainError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(DomainError::Empty);
    }
    if text.len() > 253 {
        return Err(DomainError::TooLong);
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.split('.').all(label) { Ok(text.to_ascii_lowercase()) } else { Err(DomainError::Label) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_domain_name_is_accepted() {
        assert_eq!(parse(" Archive.Example.COM ").as_deref(), Ok("archive.example.com"));
        assert_eq!(parse(""), Err(DomainError::Empty));
        assert_eq!(parse(&"a.".repeat(127)), Err(DomainError::TooLong));
        let longest = format!("{}{}", format!("{}.", "a".repeat(63)).repeat(3), "a".repeat(61));
        assert_eq!(parse(&longest).as_ref(), Ok(&longest));
        assert_eq!(parse(&"a".repeat(64)), Err(DomainError::Label));
        for hostile in ["a b", "a>\r\nBcc: x", "example.com.", "-a.com", "a-.com", "søren.dk", "a@b", "[::1]", "a..b"]
        {
            assert_eq!(parse(hostile), Err(DomainError::Label), "{hostile:?}");
        }
    }
}
