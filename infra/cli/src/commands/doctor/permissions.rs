//! What a token of Graph lets the application do in the whole tenant: neither too little nor too much.

use mailbox::graph::Way;

use super::finding::Finding;

pub(super) const CHECK: &str = "Graph's permissions";

/// What importMime needs of Entra beside.
const IMPORT_MIME: &str = "Mail-Advanced.ReadWrite.All";

/// What the application needs of Entra. What it needs of mailboxes is Exchange's to give, and is in no token.
const NEEDED: &str = "User.Read.All";

/// Shows whether an address that is only a user name is the address of a group. Without it such an address is not resolved.
const GROUPS: &str = "GroupMember.Read.All";

/// What lets it do the same, and more.
const MORE: [&str; 3] = ["User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"];

/// Looks at what is granted, where the token says it.
pub(super) fn check(granted: Option<&[String]>, way: Way) -> Finding {
    let Some(granted) = granted else {
        return Finding::skipped(CHECK, "the token is of a kind that does not say");
    };
    let has = |name: &str| granted.iter().any(|granted| granted == name);
    if !has(NEEDED) && !MORE.iter().any(|more| has(more)) {
        let seen = if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") };
        return Finding::not_ok(
            CHECK,
            format!("{NEEDED} is missing, so no address is found. Granted in Entra: {seen}"),
            format!("{}. The next token has it: within the hour in the function", grant()),
        );
    }
    let by_mime = way == Way::Mime;
    if by_mime && !has(IMPORT_MIME) {
        return Finding::not_ok(
            CHECK,
            format!("{IMPORT_MIME} is missing, which importMime takes. Granted in Entra: {}", granted.join(", ")),
            format!("grant {IMPORT_MIME} in Entra, with admin consent, or deploy with Mailbox=graph"),
        );
    }
    let needed = |name: &str| name == NEEDED || name == GROUPS || (by_mime && name == IMPORT_MIME);
    let extra: Vec<&str> = granted.iter().map(String::as_str).filter(|name| !needed(name)).collect();
    if extra.is_empty() {
        let granted = if by_mime {
            format!("{NEEDED}, and {IMPORT_MIME}, which is good for every mailbox of the tenant; no more")
        } else {
            format!("{NEEDED} and no more; which mailboxes it may write to is Exchange's (RBAC for Applications)")
        };
        let groups = if has(GROUPS) {
            String::new()
        } else {
            format!("; without {GROUPS} an address that is only a user name is not resolved")
        };
        return Finding::ok(CHECK, format!("{granted}{groups}"));
    }
    too_much(&extra, has(NEEDED))
}

fn grant() -> String {
    format!(
        "Entra admin centre › App registrations › API permissions › Microsoft Graph › Application permissions: {NEEDED}, then \
         grant admin consent"
    )
}

/// What is to be removed by name, and what has to be there before that: with the last one that finds addresses removed,
/// nothing would be filed.
fn too_much(extra: &[&str], needed_is_granted: bool) -> Finding {
    let mail = extra.iter().any(|name| name.starts_with("Mail"));
    let why = if mail {
        ". Mail permissions that are granted in Entra are good for every mailbox of the tenant, and a scope in Exchange does not \
         narrow them"
    } else {
        ""
    };
    let names = extra.join(", ");
    let first = if needed_is_granted { String::new() } else { format!("first grant {NEEDED}: {}\n", grant()) };
    let instead = if mail {
        "; access to mailboxes is given by RBAC for Applications: the runbook, First deployment, 2"
    } else {
        ""
    };
    Finding::warning(
        CHECK,
        format!("more than is needed is granted in Entra: {names}{why}"),
        format!("{first}remove there exactly: {names}{instead}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Verdict;

    fn found(granted: &[&str], way: Way) -> (Verdict, String, String) {
        let granted: Vec<String> = granted.iter().map(|name| (*name).to_owned()).collect();
        let finding = check(Some(&granted), way);
        (finding.verdict, finding.detail, finding.remedy.unwrap_or_default())
    }

    #[test]
    fn what_a_token_grants_is_neither_too_little_nor_too_much() {
        let (ok, says, _) = found(&["User.Read.All"], Way::Json);
        assert!(ok == Verdict::Ok && says.contains("without GroupMember.Read.All"), "{says}");
        let (ok, says, _) = found(&["User.Read.All", "GroupMember.Read.All"], Way::Json);
        assert!(ok == Verdict::Ok && !says.contains("without"), "{says}");
        let (missing, says, _) = found(&["Mail.ReadWrite"], Way::Json);
        assert!(missing == Verdict::NotOk && says.contains("User.Read.All is missing"), "{says}");
        assert_eq!(found(&[], Way::Json).0, Verdict::NotOk);
        let (wide, says, _) = found(&["User.Read.All", "Mail.ReadWrite"], Way::Json);
        assert!(wide == Verdict::Warning && says.contains("every mailbox of the tenant"), "{says}");
        let (more, says, _) = found(&["Directory.Read.All"], Way::Json);
        assert!(more == Verdict::Warning && !says.contains("mailbox"), "{says}");
        assert_eq!(check(None, Way::Json).verdict, Verdict::Skipped);
    }

    #[test]
    fn nothing_that_is_needed_is_to_be_removed() {
        let (_, _, remedy) = found(&["User.Read.All", "Mail-Advanced.ReadWrite.All", "Mail.Send"], Way::Mime);
        assert!(remedy.starts_with("remove there exactly: Mail.Send;"), "{remedy}");
        let (_, _, remedy) = found(&["User.Read.All", "Mail-Advanced.ReadWrite.All"], Way::Json);
        assert!(remedy.starts_with("remove there exactly: Mail-Advanced.ReadWrite.All;"), "{remedy}");
        let (_, _, remedy) = found(&["Directory.Read.All"], Way::Json);
        let [first, then] = remedy.lines().collect::<Vec<_>>()[..] else { panic!("{remedy}") };
        assert!(first.starts_with("first grant User.Read.All: Entra admin centre"), "{first}");
        assert_eq!(then, "remove there exactly: Directory.Read.All");
    }
}
