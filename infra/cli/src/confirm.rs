//! Confirmation before a command changes something.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::bail;

/// Exit code of a command whose confirmation was declined: nothing was changed.
pub const NOT_CONFIRMED: u8 = 4;

/// Returns whether the operator confirms the change: by `--yes`, or by a reply on the terminal.
///
/// # Errors
/// Standard input is not a terminal: a script has to pass `--yes`.
pub fn confirmed(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("nothing was changed: standard input is not a terminal, so confirm with --yes");
    }
    let mut terminal = std::io::stderr();
    write!(terminal, "{question} [y/N] ")?;
    terminal.flush()?;
    let mut reply = String::new();
    input.lock().read_line(&mut reply)?;
    Ok(matches!(reply.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
