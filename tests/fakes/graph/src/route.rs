//! Recognizes requests.

use axum::http::{Method, Uri};
use percent_encoding::percent_decode_str;

/// The supported kinds of request. Others are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `POST /{tenant}/oauth2/v2.0/token`.
    Token,
    /// `GET /v1.0/users/{name or id}`.
    UserByName,
    /// `GET /v1.0/users?$filter=…`.
    UserSearch,
    /// `GET /v1.0/groups?$filter=…`.
    GroupSearch,
    /// `GET …/mailFolders` or `…/childFolders`.
    FolderSearch,
    /// `POST …/mailFolders` or `…/childFolders`.
    FolderCreate,
    /// `GET …/mailFolders/{id}/messages`.
    MessageSearch,
    /// `GET …/messages/{id}`.
    MessageGet,
    /// `POST …/mailFolders/{id}/messages`.
    MessageCreate,
    /// `POST /beta/…/mailFolders/{id}/importMime`.
    MimeImport,
    /// `DELETE …/mailFolders/{id}/messages/{id}`.
    MessageDelete,
    /// `POST …/messages/{id}/move`.
    MessageMove,
    /// `GET …/messages/{id}/attachments`.
    AttachmentList,
    /// `POST …/messages/{id}/attachments`.
    AttachmentCreate,
    /// `POST …/messages/{id}/attachments/createUploadSession`.
    SessionCreate,
    /// `PUT` to an upload session.
    Upload,
    /// An unsupported request.
    Unknown,
}

/// A request's kind and the ids in its path, percent-decoded.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) kind: Kind,
    /// The mailbox's owner, or the tenant of a token request, or the upload session.
    pub(crate) owner: String,
    /// The folder, or the parent folder.
    pub(crate) folder: Option<String>,
    pub(crate) message: Option<String>,
}

impl Route {
    pub(crate) fn of(method: &Method, uri: &Uri) -> Self {
        let decoded: Option<Vec<String>> = uri
            .path()
            .trim_start_matches('/')
            .split('/')
            .map(|segment| Some(percent_decode_str(segment).decode_utf8().ok()?.into_owned()))
            .collect();
        let decoded = decoded.unwrap_or_default();
        let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let route = |kind, owner: &str, folder: Option<&str>, message: Option<&str>| Self {
            kind,
            owner: owner.into(),
            folder: folder.map(Into::into),
            message: message.map(Into::into),
        };
        match (method.as_str(), segments.as_slice()) {
            ("POST", [tenant, "oauth2", "v2.0", "token"]) => route(Kind::Token, tenant, None, None),
            ("PUT", ["upload", session]) => route(Kind::Upload, session, None, None),
            ("POST", ["beta", "users", user, "mailFolders", folder, "importMime"]) => {
                route(Kind::MimeImport, user, Some(folder), None)
            }
            ("GET", ["v1.0", "groups"]) => route(Kind::GroupSearch, "", None, None),
            ("GET", ["v1.0", "users"]) => route(Kind::UserSearch, "", None, None),
            ("GET", ["v1.0", "users", user]) => route(Kind::UserByName, user, None, None),
            (method, ["v1.0", "users", user, rest @ ..]) => match (method, rest) {
                ("GET", ["mailFolders"]) => route(Kind::FolderSearch, user, None, None),
                ("POST", ["mailFolders"]) => route(Kind::FolderCreate, user, None, None),
                ("GET", ["mailFolders", parent, "childFolders"]) => route(Kind::FolderSearch, user, Some(parent), None),
                ("POST", ["mailFolders", parent, "childFolders"]) => {
                    route(Kind::FolderCreate, user, Some(parent), None)
                }
                ("GET", ["mailFolders", folder, "messages"]) => route(Kind::MessageSearch, user, Some(folder), None),
                ("POST", ["mailFolders", folder, "messages"]) => route(Kind::MessageCreate, user, Some(folder), None),
                ("DELETE", ["mailFolders", folder, "messages", message]) => {
                    route(Kind::MessageDelete, user, Some(folder), Some(message))
                }
                ("GET", ["messages", message]) => route(Kind::MessageGet, user, None, Some(message)),
                ("POST", ["messages", message, "move"]) => route(Kind::MessageMove, user, None, Some(message)),
                ("GET", ["messages", message, "attachments"]) => route(Kind::AttachmentList, user, None, Some(message)),
                ("POST", ["messages", message, "attachments"]) => {
                    route(Kind::AttachmentCreate, user, None, Some(message))
                }
                ("POST", ["messages", message, "attachments", "createUploadSession"]) => {
                    route(Kind::SessionCreate, user, None, Some(message))
                }
                _ => route(Kind::Unknown, user, None, None),
            },
            _ => route(Kind::Unknown, "", None, None),
        }
    }
}
