//! Reads the settings of a deployed function, for a command that has to act like the function.

use std::path::Path;

use runtime::Variables;

use crate::{
    connection::{Connection, ConnectionError, Part, Target},
    functions::{FunctionError, Functions},
};
use local::backfill::LocalBackfill;

/// Error of reading a function's settings: a configuration error.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The function is not named.
    #[error(transparent)]
    Unnamed(#[from] ConnectionError),
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// The stored settings of the one-machine run are not readable.
    #[error("{0:#}")]
    Local(anyhow::Error),
}

/// Returns the environment variables of a deployed function that are in `names`. If the environment names the
/// deployment but not the function, returns this process's own variables, provided that they include the one that the
/// function requires.
///
/// # Errors
/// [`SettingsError`].
pub(super) async fn of(
    connection: &Connection,
    part: Part,
    names: &'static [&'static str],
    ministack: &Path,
) -> Result<Variables, SettingsError> {
    if let Some(root) = connection.one_machine_root() {
        let earlier = LocalBackfill::of(root, ministack).map_err(SettingsError::Local)?;
        let variables = earlier.variables(&connection.resources()).map_err(SettingsError::Local)?;
        return Ok(Variables::from_values(names, |name| variables.get(name).cloned()));
    }
    let name = match connection.part(part) {
        Ok(name) => name,
        Err(unnamed) => {
            let own = Variables::read(names);
            let required = if part == Part::Import { "MAILBOX" } else { "SOURCE" };
            let is_set = matches!(own.optional::<String>(required, ""), Ok(Some(_)));
            return if connection.target == Target::Environment && is_set { Ok(own) } else { Err(unnamed.into()) };
        }
    };
    let variables = Functions::new(&connection.config).settings(name).await?;
    Ok(Variables::from_values(names, |name| variables.get(name).cloned()))
}
