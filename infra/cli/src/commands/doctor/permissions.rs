//! Checks the tenant-wide permissions in a token of Graph: none may be missing, and none should be in excess.

use mailbox::graph::Way;

use super::finding::Finding;

pub(super) const CHECK: &str = "Graph's permissions";

/// Additional permission for importMime.
const IMPORT_MIME: &str = "Mail-Advanced.ReadWrite.All";

/// Permission that the application needs in Entra. Exchange grants access to mailboxes, which no token shows.
const NEEDED: &str = "User.Read.All";

/// Permission to check whether an address that is only a user name belongs to a group. Without it, such an address is not
/// resolved.
const GROUPS: &str = "GroupMember.Read.All";

/// Permissions that include `NEEDED`.
const BROADER: [&str; 3] = ["User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"];

/// Checks the granted permissions, if the token lists them.
pub(super) fn check(granted: Option<&[String]>, way: Way) -> Finding {
    let Some(granted) = granted else {
        return Finding::skipped(CHECK, "not checked: this kind of token does not list permissions");
    };
    let has = |name: &str| granted.iter().any(|granted| granted == name);
    if !has(NEEDED) && !BROADER.iter().any(|more| has(more)) {
        let seen = if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") };
        return Finding::not_ok(
            CHECK,
            format!("{NEEDED} is missing, so no address can be looked up. Granted in Entra: {seen}"),
            format!("{}. The function receives it with its next token, within an hour", grant()),
        );
    }
    let by_mime = way == Way::Mime;
    if by_mime && !has(IMPORT_MIME) {
        return Finding::not_ok(
            CHECK,
            format!("{IMPORT_MIME} is missing, which importMime needs. Granted in Entra: {}", granted.join(", ")),
            format!("grant {IMPORT_MIME} in Entra, with admin consent, or deploy with Mailbox=graph"),
        );
    }
    let needed = |name: &str| name == NEEDED || name == GROUPS || (by_mime && name == IMPORT_MIME);
    let extra: Vec<&str> = granted.iter().map(String::as_str).filter(|name| !needed(name)).collect();
    if extra.is_empty() {
        let granted = if by_mime {
            format!("{NEEDED}, and {IMPORT_MIME}, which is valid for every mailbox of the tenant; nothing in excess")
        } else {
            format!("{NEEDED}, nothing in excess; Exchange grants access to mailboxes (RBAC for Applications)")
        };
        let groups = if has(GROUPS) {
            String::new()
        } else {
            format!("; without {GROUPS} an address that is only a user name is not resolved")
        };
        return Finding::ok(CHECK, format!("{granted}{groups}"));
    }
    excess(&extra, has(NEEDED))
}

fn grant() -> String {
    format!(
        "Entra admin centre › App registrations › API permissions › Microsoft Graph › Application permissions: {NEEDED}, then \
         grant admin consent"
    )
}

/// Names the permissions to remove, and the one to grant before: without a permission to look up addresses, nothing
/// would be filed.
fn excess(extra: &[&str], needed_is_granted: bool) -> Finding {
    let mail = extra.iter().any(|name| name.starts_with("Mail"));
    let why = if mail {
        ". Mail permissions that are granted in Entra are valid for every mailbox of the tenant, and a scope in Exchange does not \
         restrict them"
    } else {
        ""
    };
    let names = extra.join(", ");
    let first = if needed_is_granted { String::new() } else { format!("first grant {NEEDED}: {}\n", grant()) };
    let instead = if mail {
        "; RBAC for Applications grants access to mailboxes: see the runbook, First deployment, 2"
    } else {
        ""
    };
    Finding::warning(
        CHECK,
        format!("permissions in excess are granted in Entra: {names}{why}"),
        format!("{first}remove exactly these permissions: {names}{instead}"),
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
    fn missing_and_excess_permissions_are_reported() {
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
    fn remedy_never_removes_a_needed_permission() {
        let (_, _, remedy) = found(&["User.Read.All", "Mail-Advanced.ReadWrite.All", "Mail.Send"], Way::Mime);
        assert!(remedy.starts_with("remove exactly these permissions: Mail.Send;"), "{remedy}");
        let (_, _, remedy) = found(&["User.Read.All", "Mail-Advanced.ReadWrite.All"], Way::Json);
        assert!(remedy.starts_with("remove exactly these permissions: Mail-Advanced.ReadWrite.All;"), "{remedy}");
        let (_, _, remedy) = found(&["Directory.Read.All"], Way::Json);
        let [first, then] = remedy.lines().collect::<Vec<_>>()[..] else { panic!("{remedy}") };
        assert!(first.starts_with("first grant User.Read.All: Entra admin centre"), "{first}");
        assert_eq!(then, "remove exactly these permissions: Directory.Read.All");
    }
}
