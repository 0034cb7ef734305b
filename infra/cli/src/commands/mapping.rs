//! `archiver mapping`: checks, uploads, confirms and queries the user map.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use aws::s3::{Condition, Object, Put, Written};
use indicatif::ProgressBar;
use jiff::Timestamp;
use mapping::{RowError, UserMap, UserMapErrors, UserMapRecord};
use model::{MailboxAddress, keys};
use phone::{PhoneNumber, Region};
use serde::Serialize;
use serde_json::json;

use crate::{
    confirm::{NOT_CONFIRMED, confirmed},
    connection::{Connection, Deployment},
    mailboxes,
    text::{self, shown, shown_up_to, visible},
    user_map::{UserMapArguments, UserMapSettings, last_used, record_as_used},
};

/// Arguments of `archiver mapping`.
#[derive(Debug, clap::Args)]
pub struct MappingArguments {
    #[command(subcommand)]
    command: MappingCommand,
}

#[derive(Debug, clap::Subcommand)]
enum MappingCommand {
    /// Check a user map as import does, and report errors by line; changes nothing
    #[command(after_help = "No request is sent, except with --mailboxes.\n\
        Exit code: 0 when the file is valid (with or without warnings); 1 when it is invalid or cannot be read, or a mailbox does not exist.\n\
        Examples:\n  archiver mapping check people.csv\n  archiver mapping check people.csv --mailboxes --stack NAME")]
    Check(CheckArguments),
    /// Upload a valid user map to the bucket; import uses it from its next batch on
    #[command(after_help = "A file with an invalid row is not uploaded.\n\
        Exit code: 0 when the file is in the bucket, uploaded now or before; 1 when it could not be uploaded; 2 invalid arguments; 4 not confirmed.\n\
        Examples:\n  archiver mapping upload people.csv\n  archiver mapping upload people.csv --yes --local")]
    Upload(UploadArguments),
    /// Confirm a user map that has disappeared or lost more than 10 % of its numbers, so that import uses it as it is
    #[command(after_help = "Import stops filing when the user map disappears or shrinks; nothing is lost meanwhile.\n\
        Exit code: 0 when import may use the present map in the bucket; 1 when the map is invalid; 4 not confirmed.\n\
        Examples:\n  archiver mapping confirm --stack NAME\n  archiver mapping confirm --yes --local")]
    Confirm(ConfirmArguments),
    /// Show the mailbox for a user, by the user map in the bucket and the rule for e-mail properties
    #[command(
        after_help = "This command does not check whether the mailbox exists; `archiver mapping check FILE --mailboxes` does.\n\
        Exit code: 0 when a mailbox was found; 1 when items without other participants would become dead letters (unmapped).\n\
        Examples:\n  archiver mapping resolve '+45 20 12 34 56'\n  archiver mapping resolve ada@example.com --json"
    )]
    Resolve(ResolveArguments),
}

#[derive(Debug, clap::Args)]
struct CheckArguments {
    /// The file, CSV in UTF-8
    file: PathBuf,
    /// The country of numbers that are written without a country code; use the value of the deployment's DefaultRegion
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

#[derive(Debug, clap::Args)]
struct UploadArguments {
    /// The file, CSV in UTF-8
    file: PathBuf,
    /// Skip the confirmation
    #[arg(long)]
    yes: bool,
    /// Upload a map that has over 10 % fewer numbers than the one that import used last
    #[arg(long)]
    confirm_shrink: bool,
    /// First check in the deployment's mail system that each mailbox exists, and upload nothing if one is missing
    #[arg(long)]
    mailboxes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    user_map: UserMapArguments,
    #[command(flatten)]
    deployment: Deployment,
}

#[derive(Debug, clap::Args)]
struct ConfirmArguments {
    /// Skip the confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    user_map: UserMapArguments,
    #[command(flatten)]
    deployment: Deployment,
}

#[derive(Debug, clap::Args)]
struct ResolveArguments {
    /// A mobile number or an e-mail address
    #[arg(value_name = "PHONE-OR-EMAIL", allow_hyphen_values = true)]
    user: String,
    /// Whether an item's own e-mail property is used where the user map has no entry [default: the deployment's
    /// AutomaticMapping]
    #[arg(long, value_name = "BOOL")]
    automatic_mapping: Option<bool>,
    /// Mailbox for items without a mailbox of their own [default: the deployment's CatchAllMailbox]
    #[arg(long, value_name = "E-MAIL")]
    catch_all: Option<MailboxAddress>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    user_map: UserMapArguments,
    #[command(flatten)]
    deployment: Deployment,
}

/// More numbers than this for one mailbox cause a warning.
const USUAL_NUMBERS_PER_MAILBOX: usize = 3;

/// Limit of examples in a warning.
const MAX_EXAMPLES: usize = 5;

/// Runs the command. Results go to standard output, questions and warnings to standard error.
///
/// # Errors
/// When the file or the deployment cannot be read, or another writer changes the map at the same time.
pub async fn run(arguments: MappingArguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        MappingCommand::Check(arguments) if arguments.mailboxes => {
            let connection = Connection::open(&arguments.deployment).await?;
            let checked = check(&arguments, Some(&connection)).await;
            connection.close().await?;
            checked
        }
        MappingCommand::Check(arguments) => check(&arguments, None).await,
        MappingCommand::Upload(arguments) => upload(&arguments).await,
        MappingCommand::Confirm(arguments) => confirm(&arguments).await,
        MappingCommand::Resolve(arguments) => resolve(&arguments).await,
    }
}

/// Returns warnings about valid entries that may be mistakes, one sentence each. They contain domains and addresses, for the
/// operator's own terminal.
pub fn warnings(map: &UserMap) -> Vec<String> {
    let mut found = Vec::new();
    if map.is_empty() {
        found.push(
            "the file has no entries: recipients would be resolved by the items' own e-mail property alone".to_owned(),
        );
    }
    found.extend(map.warnings().iter().map(ToString::to_string));
    let mut domains = BTreeMap::<&str, usize>::new();
    let mut mailboxes = BTreeMap::<&str, usize>::new();
    for (_, address) in map.people() {
        let domain = address.as_str().split_once('@').map_or("", |(_, domain)| domain);
        *domains.entry(domain).or_default() += 1;
        *mailboxes.entry(address.as_str()).or_default() += 1;
    }
    if domains.len() > 1 {
        let mut domains: Vec<_> = domains.into_iter().collect();
        domains.sort_by_key(|&(domain, count)| (count, domain));
        let shown: Vec<_> =
            domains.iter().take(MAX_EXAMPLES).map(|(domain, count)| format!("{domain} ({count})")).collect();
        let more = domains.len().saturating_sub(MAX_EXAMPLES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        found.push(format!(
            "the mailboxes have {} domains, the rarest first: {}{more}; check for misspelt domains and private addresses",
            domains.len(),
            shown.join(", ")
        ));
    }
    let many: Vec<_> = mailboxes.into_iter().filter(|(_, numbers)| *numbers > USUAL_NUMBERS_PER_MAILBOX).collect();
    for (address, numbers) in many.iter().take(MAX_EXAMPLES) {
        found.push(format!(
            "{numbers} numbers have the mailbox {address}: check whether a cell was filled down by mistake"
        ));
    }
    if many.len() > MAX_EXAMPLES {
        found.push(format!(
            "and {} more mailboxes have more than {USUAL_NUMBERS_PER_MAILBOX} numbers",
            many.len() - MAX_EXAMPLES
        ));
    }
    found
}

/// Reads a file, up to the size limit of a user map.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    // One byte over the limit makes the parser report that the file is too large.
    let limit = UserMap::MAX_BYTES as u64 + 1;
    opened.take(limit).read_to_end(&mut bytes).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(bytes)
}

/// Returns the numbers of users and mailboxes in a map.
fn counts(map: &UserMap) -> (usize, usize) {
    let mut mailboxes: Vec<_> = map.people().into_iter().map(|(_, address)| address).collect();
    mailboxes.sort_unstable();
    mailboxes.dedup();
    (map.len(), mailboxes.len())
}

/// Returns the mailboxes of a map that do not exist.
async fn missing_mailboxes(
    connection: &Connection,
    ministack: &Path,
    map: &UserMap,
) -> anyhow::Result<Vec<(u64, MailboxAddress)>> {
    let bar = ProgressBar::new(map.mailboxes().len() as u64);
    let lookup = async {
        let mailboxes = mailboxes::connect(connection, ministack).await.map_err(anyhow::Error::msg)?;
        Ok::<_, anyhow::Error>(mailboxes::missing(mailboxes.as_ref(), map, |count| bar.set_position(count)).await?)
    };
    let missing = lookup.await.context("the file is valid, but looking up its mailboxes in the mail system failed");
    bar.finish_and_clear();
    missing
}

fn missing_mailbox_line((line, address): &(u64, MailboxAddress)) -> String {
    format!(
        "line {line}: mailbox {address} not found: correct the address or create the mailbox; until then items are resolved by the \
         user's own e-mail property, if any"
    )
}

#[expect(clippy::print_stdout, reason = "this is the command's own output")]
async fn check(arguments: &CheckArguments, connection: Option<&Connection>) -> anyhow::Result<ExitCode> {
    let bytes = read(&arguments.file)?;
    let deployed = match connection {
        Some(connection) => UserMapSettings::deployed(connection)?.default_region,
        None => None,
    };
    match UserMap::parse(&bytes, arguments.default_region.or(deployed)) {
        Ok(map) => {
            let (numbers, mailboxes) = counts(&map);
            let warnings = warnings(&map);
            let missing = match connection {
                Some(connection) => Some(missing_mailboxes(connection, &arguments.deployment.ministack, &map).await?),
                None => None,
            };
            if arguments.json {
                let mut result =
                    json!({"valid": true, "numbers": numbers, "mailboxes": mailboxes, "warnings": warnings});
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

#[expect(clippy::print_stdout, reason = "this is the command's own output")]
fn print_errors(file: &Path, errors: &UserMapErrors, json: bool) -> anyhow::Result<()> {
    if json {
        let row =
            |row: &RowError| json!({"line": row.line, "kind": row.problem.kind(), "problem": row.problem.to_string()});
        let rows: Vec<_> = errors.rows().iter().map(row).collect();
        println!("{}", text::json(&json!({"valid": false, "wrong_rows": errors.count(), "errors": rows}))?);
    } else {
        println!("{}", visible(&errors.to_string()));
        println!("{} is invalid: wrong rows: {}", file.display(), errors.count());
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "this is the command's own output")]
fn print_warnings(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {}", shown_up_to(warning, 2_000));
    }
}

/// Differences that an upload makes, in numbers of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Change {
    numbers_before: Option<usize>,
    numbers_after: usize,
    added: usize,
    removed: usize,
    to_another_mailbox: usize,
}

impl Change {
    /// `before` is `None` where the present map is invalid.
    fn between(before: Option<&UserMap>, after: &UserMap) -> Self {
        let empty = UserMap::empty();
        let old = before.unwrap_or(&empty);
        let now = Timestamp::now();
        let (mut added, mut moved) = (0, 0);
        for (number, address) in after.people() {
            match old.address_of(&number, now) {
                None => added += 1,
                Some(other) if other != address => moved += 1,
                Some(_) => {}
            }
        }
        let removed = old.people().into_iter().filter(|(number, _)| after.address_of(number, now).is_none()).count();
        Self {
            numbers_before: before.map(UserMap::len),
            numbers_after: after.len(),
            added,
            removed,
            to_another_mailbox: moved,
        }
    }
}

async fn upload(arguments: &UploadArguments) -> anyhow::Result<ExitCode> {
    let bytes = read(&arguments.file)?;
    let connection = Connection::open(&arguments.deployment).await?;
    let done = upload_to(&connection, arguments, bytes).await;
    connection.close().await?;
    done
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command's own output")]
async fn upload_to(connection: &Connection, arguments: &UploadArguments, bytes: Vec<u8>) -> anyhow::Result<ExitCode> {
    let UserMapSettings { key, default_region } = UserMapSettings::of(&arguments.user_map, connection)?;
    let key = key.as_str();
    let map = match UserMap::parse(&bytes, default_region) {
        Ok(map) => map,
        Err(errors) => {
            print_errors(&arguments.file, &errors, arguments.json)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    print_warnings(&warnings(&map));
    if arguments.mailboxes {
        let missing = missing_mailboxes(connection, &arguments.deployment.ministack, &map).await?;
        missing.iter().for_each(|missing| eprintln!("{}", shown_up_to(&missing_mailbox_line(missing), 1_000)));
        if !missing.is_empty() {
            eprintln!("Nothing was changed.");
            return Ok(ExitCode::FAILURE);
        }
    }
    let before = connection.store.get(key, UserMap::MAX_BYTES as u64).await?;
    let in_use = match &before {
        None => Some(UserMap::empty()),
        Some(object) => UserMap::parse(&object.bytes, default_region).ok(),
    };
    let change = Change::between(in_use.as_ref(), &map);
    match change.numbers_before {
        Some(numbers) => eprintln!(
            "{key}: {numbers} numbers now, {} after: {} added, {} removed, {} to another mailbox",
            change.numbers_after, change.added, change.removed, change.to_another_mailbox
        ),
        None => eprintln!("{key}: the present map is invalid, and import files nothing; {} numbers after", map.len()),
    }
    if before.as_ref().is_some_and(|object| object.bytes == bytes) {
        eprintln!("The bucket has the same file already; nothing was changed.");
        return Ok(ExitCode::SUCCESS);
    }
    let record = UserMapRecord::of(&map, Some(&bytes));
    let last = last_used(&connection.store).await?;
    let shrunk = last.as_ref().and_then(|(last, _)| record.follows(last.as_ref()).err());
    if let Some(shrunk) = shrunk.filter(|_| !arguments.confirm_shrink) {
        eprintln!(
            "The last map that import used had {} numbers, this one has {}: over 10 % fewer. Nothing was changed; upload it \
             with --confirm-shrink if that is intended.",
            shrunk.before, shrunk.after
        );
        return Ok(ExitCode::FAILURE);
    }
    if !confirmed("Upload it?", arguments.yes)? {
        eprintln!("Nothing was changed.");
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    let condition = before.as_ref().map_or(Condition::Absent, |Object { etag, .. }| Condition::Unchanged(etag));
    let put = Put { key, bytes: bytes.into(), content_type: "text/csv", sha256: None };
    match connection.store.put(put, condition).await? {
        Written::Yes(_) => {}
        Written::Conflict => {
            bail!("another writer has just changed {key}; nothing was uploaded: run the command again")
        }
    }
    if shrunk.is_some() {
        record_as_used(&connection.store, &record, last.and_then(|(_, object)| object)).await?;
    }
    if arguments.json {
        println!("{}", text::json(&change)?);
    } else {
        println!("{key} uploaded: {} numbers. Import reads it with its next batch.", map.len());
    }
    Ok(ExitCode::SUCCESS)
}

async fn confirm(arguments: &ConfirmArguments) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&arguments.deployment).await?;
    let done = confirm_in(&connection, arguments).await;
    connection.close().await?;
    done
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command's own output")]
async fn confirm_in(connection: &Connection, arguments: &ConfirmArguments) -> anyhow::Result<ExitCode> {
    let UserMapSettings { key, default_region } = UserMapSettings::of(&arguments.user_map, connection)?;
    let object = connection.store.get(&key, UserMap::MAX_BYTES as u64).await?;
    let map = match &object {
        None => UserMap::empty(),
        Some(object) => match UserMap::parse(&object.bytes, default_region) {
            Ok(map) => map,
            Err(errors) => {
                println!("{errors}");
                eprintln!("{key} is invalid and cannot be confirmed: correct it and upload it");
                return Ok(ExitCode::FAILURE);
            }
        },
    };
    let record = UserMapRecord::of(&map, object.as_ref().map(|object| &object.bytes[..]));
    let (last, before) = match last_used(&connection.store).await? {
        Some(last) => last,
        // An unreadable record is replaced.
        None => (None, connection.store.get(keys::USER_MAP_RECORD, UserMap::MAX_BYTES as u64).await?),
    };
    if last.as_ref() == Some(&record) {
        println!("{key}: nothing to confirm; import uses it, with {} numbers", map.len());
        return Ok(ExitCode::SUCCESS);
    }
    let had = last.map_or("no map".to_owned(), |last| format!("{} numbers", last.numbers));
    let has = if object.is_some() { format!("{} numbers", map.len()) } else { "no file".to_owned() };
    eprintln!("{key}: {has} now; the last map that import used: {had}");
    if !confirmed("Use this map?", arguments.yes)? {
        eprintln!("Nothing was changed.");
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    record_as_used(&connection.store, &record, before).await?;
    println!("{key} confirmed: {has}. Import uses it with its next batch.");
    Ok(ExitCode::SUCCESS)
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

/// Resolves the mailbox of a user, without a request to the mail system.
pub fn resolve_user<'a>(
    user: &'a User,
    map: &'a UserMap,
    automatic: bool,
    catch_all: Option<&'a MailboxAddress>,
) -> (Rule, Option<&'a MailboxAddress>) {
    let direct = match user {
        User::Phone(number) => map.address_of(number, Timestamp::now()).map(|address| (Rule::UserMap, address)),
        User::Email(address) => automatic.then_some((Rule::EmailProperty, address)),
    };
    match direct.or_else(|| Some((Rule::CatchAll, catch_all?))) {
        Some((rule, address)) => (rule, Some(address)),
        None => (Rule::None, None),
    }
}

async fn resolve(arguments: &ResolveArguments) -> anyhow::Result<ExitCode> {
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
    let map = match settings.read(&connection.store).await? {
        None => UserMap::empty(),
        Some(Ok(map)) => map,
        Some(Err(problem)) => {
            bail!("the user map is invalid, and import files nothing until it is fixed:\n{problem}")
        }
    };
    let variables = connection.mapping();
    let automatic = variables.or("AUTOMATIC_MAPPING", "true or false", true)?;
    let catch_all = variables.optional("CATCH_ALL_MAILBOX", "an e-mail address")?;
    let automatic = arguments.automatic_mapping.unwrap_or(automatic);
    let (rule, mailbox) = resolve_user(&user, &map, automatic, arguments.catch_all.as_ref().or(catch_all.as_ref()));
    print_resolution(arguments.json, &user, automatic, (rule, mailbox))
}

const MAILBOX_NOT_CHECKED: &str = "Not checked: whether the mailbox exists; `archiver mapping check FILE --mailboxes` checks it. If it does not \
                         exist, the next rule applies.";

#[expect(clippy::print_stdout, reason = "this is the command's own output")]
fn print_resolution(
    json: bool,
    user: &User,
    automatic: bool,
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
            (Rule::None, User::Phone(_)) if automatic => {
                "the user map does not contain this number; an item is filed only if its participant also has an e-mail property"
            }
            (Rule::None, _) => "no rule applies: neither the user map nor an e-mail property gives this user a mailbox",
        };
        match mailbox {
            Some(mailbox) => println!("{}\n  {why}.\n{MAILBOX_NOT_CHECKED}", shown(mailbox.as_str())),
            None => println!(
                "no mailbox\n  {why}.\nAn item without another participant who has a mailbox becomes a dead letter: unmapped."
            ),
        }
    }
    Ok(if mailbox.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
