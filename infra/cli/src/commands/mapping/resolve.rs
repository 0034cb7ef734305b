//! `archiver mapping resolve`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use jiff::Timestamp;
use mapping::UserMap;
use model::MailboxAddress;
use phone::PhoneNumber;
use serde::Serialize;
use serde_json::json;

use crate::{
    connection::{Connection, Deployment},
    text::{self, shown},
    time::time,
    user_map::{MapInBucket, UserMapArguments, UserMapSettings},
};

#[derive(Debug, clap::Args)]
pub(super) struct ResolveArguments {
    /// A mobile number or an e-mail address
    #[arg(value_name = "PHONE-OR-EMAIL", allow_hyphen_values = true)]
    user: String,
    /// Use an item's own e-mail property if the user map has no entry [default: the deployment's AutomaticMapping]
    #[arg(long, value_name = "BOOL")]
    automatic_mapping: Option<bool>,
    /// Mailbox for items without a mailbox of their own [default: the deployment's CatchAllMailbox]
    #[arg(long, value_name = "E-MAIL")]
    catch_all: Option<MailboxAddress>,
    /// Time of the message, such as 2026-11-28T10:00:00Z, for rows that have a period [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    user_map: UserMapArguments,
    #[command(flatten)]
    deployment: Deployment,
}

/// Rule by which a mailbox was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The user map contains the number.
    UserMap,
    /// The participant's own e-mail property.
    EmailProperty,
    /// No participant has a mailbox, and the deployment has a catch-all mailbox.
    CatchAll,
    /// No rule applies: an item without other participants becomes a dead letter, `unmapped`.
    None,
}

/// User to resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// A user with this number and without an e-mail property.
    Phone(PhoneNumber),
    /// A user with this e-mail property and a number that is not in the map.
    Email(MailboxAddress),
}

/// Resolves the mailbox of a user for messages of a time, without a request to the mail system.
pub fn resolve_user<'a>(
    user: &'a User,
    map: &'a UserMap,
    at: Timestamp,
    automatic: bool,
    catch_all: Option<&'a MailboxAddress>,
) -> (Rule, Option<&'a MailboxAddress>) {
    let direct = match user {
        User::Phone(number) => map.address_of(number, at).map(|address| (Rule::UserMap, address)),
        User::Email(address) => automatic.then_some((Rule::EmailProperty, address)),
    };
    match direct.or_else(|| Some((Rule::CatchAll, catch_all?))) {
        Some((rule, address)) => (rule, Some(address)),
        None => (Rule::None, None),
    }
}

pub(super) async fn resolve(arguments: &ResolveArguments) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&arguments.deployment).await?;
    let resolved = resolve_in(&connection, arguments).await;
    connection.close().await?;
    resolved
}

async fn resolve_in(connection: &Connection, arguments: &ResolveArguments) -> anyhow::Result<ExitCode> {
    let settings = UserMapSettings::of(&arguments.user_map, connection)?;
    let user = if arguments.user.contains('@') {
        User::Email(arguments.user.parse().context("invalid e-mail address")?)
    } else {
        let number = PhoneNumber::from_cell(&arguments.user, settings.default_region);
        User::Phone(number.context("invalid phone number")?)
    };
    let MapInBucket { map, problem, .. } = settings.read_as_import(&connection.store).await?;
    if let Some(problem) = problem {
        bail!("import rejects the user map, and files nothing until it is fixed:\n{problem}");
    }
    let map = map.unwrap_or_else(UserMap::empty);
    let variables = connection.mapping();
    let automatic = variables.with_default("AUTOMATIC_MAPPING", "true or false", true)?;
    let catch_all = variables.optional("CATCH_ALL_MAILBOX", "an e-mail address")?;
    let automatic = arguments.automatic_mapping.unwrap_or(automatic);
    let at = arguments.at.unwrap_or_else(Timestamp::now);
    let (rule, mailbox) = resolve_user(&user, &map, at, automatic, arguments.catch_all.as_ref().or(catch_all.as_ref()));
    let other_periods = matches!(user, User::Phone(number) if map.has_rows(&number)) && rule != Rule::UserMap;
    print_resolution(arguments.json, &user, automatic, other_periods.then_some(at), (rule, mailbox))
}

const MAILBOX_NOT_CHECKED: &str = "The existence of the mailbox is not checked: `archiver mapping check FILE --mailboxes` does that. If it does not exist, ";

impl Rule {
    /// Returns what import does if the mailbox does not exist.
    fn without_mailbox(self, automatic: bool) -> &'static str {
        match self {
            Self::UserMap if automatic => {
                "the item waits for RetryHours; then it is filed by the participant's own e-mail property, if any, or becomes a dead \
                 letter: mailbox-not-found. The catch-all mailbox is not used."
            }
            Self::UserMap => {
                "the item waits for RetryHours and then becomes a dead letter: mailbox-not-found. The catch-all mailbox is not used."
            }
            Self::EmailProperty => {
                "an item of an address in one of TenantDomains waits for RetryHours and then becomes a dead letter: \
                 mailbox-not-found. With another domain, this participant gets no copy."
            }
            Self::CatchAll | Self::None => "items wait until CatchAllMailbox is corrected.",
        }
    }
}

/// Prints the result. `other_periods` is the time if the user map has rows for this number, and none for the time.
#[expect(clippy::print_stdout, reason = "this is the command's own output")]
fn print_resolution(
    json: bool,
    user: &User,
    automatic: bool,
    other_periods: Option<Timestamp>,
    (rule, mailbox): (Rule, Option<&MailboxAddress>),
) -> anyhow::Result<ExitCode> {
    if json {
        println!("{}", text::json(&json!({"rule": rule, "mailbox": mailbox, "mailbox_exists": "not asked"}))?);
    } else {
        let why = match (rule, user) {
            (Rule::UserMap, _) => "by the user map",
            (Rule::EmailProperty, _) => {
                "by the item's own e-mail property, unless the user map has another mailbox for the participant's number"
            }
            (Rule::CatchAll, _) => "by the catch-all mailbox, if no other participant has a mailbox",
            (Rule::None, User::Phone(_)) if other_periods.is_some() => "no row of this number is valid at this time",
            (Rule::None, User::Phone(_)) if automatic => {
                "the user map does not contain this number; an item is filed only if its participant also has an e-mail property"
            }
            (Rule::None, _) => "no rule applies: neither the user map nor an e-mail property gives this user a mailbox",
        };
        match mailbox {
            Some(mailbox) => {
                let otherwise = rule.without_mailbox(automatic);
                println!("{}\n  {why}.\n{MAILBOX_NOT_CHECKED}{otherwise}", shown(mailbox.as_str()));
            }
            None => println!(
                "no mailbox\n  {why}.\nAn item without another participant who has a mailbox becomes a dead letter: unmapped."
            ),
        }
        if let Some(at) = other_periods {
            println!(
                "The user map has rows for other periods of this number than {at:.0}: correct valid_from and valid_to, or name another \
                 time with --at."
            );
        }
    }
    Ok(if mailbox.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
