//! The error codes of Graph with a known meaning.
//!
//! The list is closed: other codes are unrecognized, and only codes of the list are permanent. Each code has a source:
//!
//! | name | source |
//! |---|---|
//! | EWS | learn.microsoft.com/exchange/client-developer/web-service-reference/responsecode, whose codes Graph's mail API returns |
//! | errors | learn.microsoft.com/graph/errors |
//! | token | learn.microsoft.com/graph/resolve-auth-errors |
//! | directory | learn.microsoft.com/previous-versions/azure/ad/graph/howto/azure-ad-graph-api-error-codes-and-error-handling |
//! | attachments | learn.microsoft.com/graph/outlook-large-attachments |
//! | sendMail | learn.microsoft.com/graph/api/user-sendmail, "if the request body includes malformed MIME content" |
//! | 4462988 | learn.microsoft.com/exchange/troubleshoot/user-and-shared-mailboxes/rest-api-is-not-yet-supported-for-this-mailbox-error |
//! | throttling | learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange and learn.microsoft.com/graph/throttling-limits |
//! | outlook-rest | learn.microsoft.com/previous-versions/office/office-365-api/api/version-2.0/use-outlook-rest-api |
//! | docs#N | issue N of github.com/microsoftgraph/microsoft-graph-docs: what the service returns, and in 5143 Microsoft's explanation |

/// The meaning of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Too many requests. The request was not executed.
    Throttled,
    /// An outage. The request may have been executed.
    Transient,
    /// A concurrent change. The request may have been executed.
    Conflict,
    /// The configuration or the permissions are wrong.
    Configuration,
    /// The mailbox has reached its quota.
    Full,
    /// The account has no mailbox that Graph can reach.
    NoMailbox,
    /// The folder or message of the request does not exist any more.
    Missing,
    /// The message is rejected permanently.
    Rejected,
    /// An undocumented error, or one without a code.
    Unrecognized,
}

/// Returns whether a server error with this code is a refusal before the request was executed. The list is closed: with
/// any other code the front end may have given up on a mailbox server that is still working, so the request may be in
/// progress. [docs#133], [docs#5288] For one slow request, `UnknownError` comes with status 503 or 504, and the message
/// is created.
pub(super) fn refuses_before_execution(code: &str) -> bool {
    // [throttling] The server is busy, or has too many connections. The request was not executed.
    matches!(code, "ApplicationThrottled" | "ErrorExceededConnectionCount" | "ErrorServerBusy")
}

/// Returns the meaning of a code; `None` if it is not on the list.
pub(super) fn meaning_of_code(code: &str) -> Option<Meaning> {
    Some(match code {
        // [EWS] The mailbox has reached its quota.
        "ErrorQuotaExceeded" => Meaning::Full,
        // [EWS] The message, or an attachment, is larger than allowed.
        "ErrorMessageSizeExceeded" | "ErrorAttachmentSizeLimitExceeded" => Meaning::Rejected,
        // [EWS], [sendMail] The MIME content is invalid, or is not base64.
        "ErrorMimeContentInvalid" | "ErrorMimeContentInvalidBase64String" => Meaning::Rejected,
        // [EWS] The list of recipients is invalid. Filing removes such recipients first.
        "ErrorInvalidRecipients" => Meaning::Rejected,
        // [4462988], [outlook-rest] The mailbox is inactive, soft-deleted, on premises or still being provisioned.
        "MailboxNotEnabledForRESTAPI" | "MailboxNotSupportedForRESTAPI" => Meaning::NoMailbox,
        // [directory] The directory has no such user.
        "Request_ResourceNotFound" => Meaning::NoMailbox,
        // [docs#5143] The mailbox of the user does not exist. [docs#4598] Also returned for some users who have one.
        "ResourceNotFound" => Meaning::NoMailbox,
        // [docs#7909] The user was created a moment ago. [docs#4097]
        "ErrorInvalidUser" => Meaning::NoMailbox,
        // [EWS], [directory] The application lacks a permission. [token] Graph does not accept the token.
        "ErrorAccessDenied" | "Authorization_RequestDenied" | "InvalidAuthenticationToken" => Meaning::Configuration,
        // [EWS] The item or the folder was not found.
        "ErrorItemNotFound" | "ErrorFolderNotFound" => Meaning::Missing,
        // [EWS] The account may not send as the sender of the message: the sender, not our configuration.
        "ErrorSendAsDenied" => Meaning::Unrecognized,
        _ => return None,
    })
}
