//! The errors that WhatsApp reports with an event.

use crate::json::Members;

/// Describes the errors of an event: code, title and details.
pub(super) fn errors(event: &Members<'_>) -> Option<String> {
    /// WhatsApp sends one.
    const MAX_ERRORS: usize = 5;
    let errors: Vec<_> = event.list("errors").into_iter().take(MAX_ERRORS).filter_map(Members::of).map(error).collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

fn error(error: Members<'_>) -> String {
    let details = error.object("error_data").and_then(|data| data.text("details"));
    let title = error.text("title");
    let message = error.text("message").filter(|message| Some(message) != title.as_ref());
    [error.text("code"), title, message, details].into_iter().flatten().collect::<Vec<_>>().join(": ")
}
