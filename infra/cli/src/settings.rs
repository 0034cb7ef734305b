//! The settings that a function of a deployment has, for a command that has to do as the function does.

use std::path::Path;

use runtime::Variables;

use crate::{
    connection::{Connection, ConnectionError, Part, Target},
    functions::{FunctionError, Functions},
};
use local::backfill::LocalBackfill;

/// Why a function's settings are not known. The fault of the set-up, or of who asks.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Nobody has said which function it is.
    #[error(transparent)]
    Unnamed(#[from] ConnectionError),
    /// Lambda.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// What the one-machine run has kept.
    #[error("{0:#}")]
    Local(anyhow::Error),
}

/// The variables, of those in `names`, that a function is deployed with. Where the environment names the deployment and
/// not the function, they are the environment's own, as long as it has the one without which the function does not
/// start.
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
            let decisive = if part == Part::Import { "MAILBOX" } else { "SOURCE" };
            let decided = matches!(own.optional::<String>(decisive, ""), Ok(Some(_)));
            return if connection.target == Target::Environment && decided { Ok(own) } else { Err(unnamed.into()) };
        }
    };
    let variables = Functions::new(&connection.config).settings(name).await?;
    Ok(Variables::from_values(names, |name| variables.get(name).cloned()))
}
