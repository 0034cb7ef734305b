//! `archiver mapping check`.

use std::{path::PathBuf, process::ExitCode};

use jiff::Timestamp;
use mapping::{UserMap, UserMapRecord};
use model::MailboxAddress;
use phone::Region;
use serde_json::json;

use super::{
    file::{counts, missing_mailbox_line, missing_mailboxes, print_columns, print_errors, print_warnings, read},
    warnings::warnings,
};
use crate::{
    connection::{Connection, Deployment},
    text::{self, shown_up_to},
    user_map::{UserMapSettings, last_used},
};

#[derive(Debug, clap::Args)]
pub(super) struct CheckArguments {
    /// The file, CSV in UTF-8
    file: PathBuf,
    /// The country of numbers that are written without a country code [default: the deployment's DefaultRegion, with
    /// --stack, --local or --mailboxes]
    #[arg(long, env = "DEFAULT_REGION", value_name = "XX")]
    default_region: Option<Region>,
    /// Also check in the deployment's mail system that each mailbox exists
    #[arg(long)]
    mailboxes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    deployment: Deployment,
}

pub(super) async fn check(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let Deployment { stack, local, .. } = &arguments.deployment;
    if !arguments.mailboxes && stack.is_none() && local.is_none() {
        return check_with(arguments, None).await;
    }
    let connection = Connection::open(&arguments.deployment).await?;
    let checked = check_with(arguments, Some(&connection)).await;
    connection.close().await?;
    checked
}

#[expect(clippy::print_stdout, reason = "this is the command's own output")]
async fn check_with(arguments: &CheckArguments, connection: Option<&Connection>) -> anyhow::Result<ExitCode> {
    let bytes = read(&arguments.file)?;
    let deployed = match connection {
        Some(connection) => UserMapSettings::deployed(connection)?.default_region,
        None => None,
    };
    match UserMap::parse(&bytes, arguments.default_region.or(deployed)) {
        Ok(map) => {
            let (numbers, mailboxes) = counts(&map);
            let mut warnings = warnings(&map);
            if let Some(connection) = connection {
                let record = UserMapRecord::of(&map, Some(&bytes), Timestamp::now());
                let refusal = last_used(&connection.store).await?.refusal(&record, &map);
                warnings.extend(refusal.map(|refusal| {
                    format!(
                        "import would reject this map: {refusal}. `archiver mapping upload` needs {}",
                        refusal.option()
                    )
                }));
            }
            let missing = match connection.filter(|_| arguments.mailboxes) {
                Some(connection) => Some(missing_mailboxes(connection, &arguments.deployment.ministack, &map).await?),
                None => None,
            };
            if arguments.json {
                let mut result = json!({
                    "valid": true, "numbers": numbers, "mailboxes": mailboxes, "warnings": warnings,
                    "period_rows": map.period_rows(), "ignored_columns": map.ignored_columns(),
                });
                if let Some(missing) = &missing {
                    let row = |(line, mailbox): &(u64, MailboxAddress)| json!({"line": line, "mailbox": mailbox});
                    result["absent"] = missing.iter().map(row).collect();
                }
                println!("{}", text::json(&result)?);
            } else {
                println!("{} is valid: {numbers} numbers, {mailboxes} mailboxes", arguments.file.display());
                missing
                    .iter()
                    .flatten()
                    .for_each(|missing| println!("{}", shown_up_to(&missing_mailbox_line(missing), 1_000)));
                print_columns(&map);
                print_warnings(&warnings);
            }
            Ok(if missing.iter().flatten().count() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(errors) => {
            print_errors(&arguments.file, &errors, arguments.json)?;
            Ok(ExitCode::FAILURE)
        }
    }
}
