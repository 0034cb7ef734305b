//! Asking before something is changed.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::bail;

/// The exit code of every command that asked and was answered no: nothing was changed.
pub const NOT_CONFIRMED: u8 = 4;

/// Whether the operator agrees: by `--yes`, or by answering the question on the terminal.
///
/// # Errors
/// When nobody sits there who could be asked: a script says `--yes` or changes nothing.
pub fn confirmed(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("nothing was changed: say --yes where nobody can be asked");
    }
    let mut terminal = std::io::stderr();
    write!(terminal, "{question} [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
