//! The server and its interface for tests.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{header, request::Parts},
    response::Response,
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    connection::{BreakableListener, ConnectionBreaker},
    fault::{Fault, Gate, On, Script},
    graph::GraphRequest,
    login::Login,
    mailbox::{DELETED_ITEMS, Quirks, StoredMessage, Tenant, User},
    reply::{Rejection, Reply},
    route::{Kind, Route},
};

/// The tenant's id.
pub const TENANT_ID: &str = "3f2c9a54-6a0e-4b0c-9a3e-0d6b7a1f2c11";

/// The application's id.
pub const CLIENT_ID: &str = "b7d0e1a2-94c3-4f5e-8d21-5c6f7e8a9b10";

/// The application's first client secret.
pub const CLIENT_SECRET: &str = "first~client.secret";

/// Maximum number of concurrent requests to one mailbox.
const MAX_CONCURRENT_REQUESTS: usize = 4;

/// Upper bound of a request body that is read, above every limit of Graph.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A running fake. It ends when it is dropped.
#[derive(Debug)]
pub struct GraphFake {
    url: String,
    shared: Arc<Shared>,
    server: JoinHandle<io::Result<()>>,
}

struct Shared {
    url: String,
    login: Mutex<Login>,
    tenant: Mutex<Tenant>,
    script: Mutex<Script>,
    traffic: Mutex<Traffic>,
    latency: Mutex<Duration>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Traffic {
    seen: Vec<Kind>,
    in_progress: HashMap<String, usize>,
    peak: HashMap<String, usize>,
    longest: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GraphFake {
    /// Starts a fake on a free port of the loopback interface, with an empty tenant.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            url: url.clone(),
            login: Mutex::new(Login::new(TENANT_ID, CLIENT_ID, CLIENT_SECRET)),
            tenant: Mutex::default(),
            script: Mutex::default(),
            traffic: Mutex::default(),
            latency: Mutex::default(),
        });
        let app = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let service = app.into_make_service_with_connect_info::<ConnectionBreaker>();
        let server = tokio::spawn(async move { axum::serve(BreakableListener(listener), service).await });
        Ok(Self { url, shared, server })
    }

    /// Returns the URL of Graph, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the URL of the login endpoint, without a path.
    pub fn login_url(&self) -> &str {
        &self.url
    }

    /// Adds a user to the tenant.
    pub fn add(&self, user: User) {
        lock(&self.shared.tenant).users.push(user);
    }

    /// Adds a group with these addresses to the tenant.
    pub fn add_group(&self, addresses: &[&str]) {
        lock(&self.shared.tenant).groups.push(addresses.iter().map(|&address| address.to_owned()).collect());
    }

    /// Revokes the application's permission to read groups.
    pub fn deny_groups(&self) {
        lock(&self.shared.tenant).denies_groups = true;
    }

    /// Rejects messages with this recipient or sender. The error does not name the address.
    pub fn reject_recipient(&self, address: &str) {
        lock(&self.shared.tenant).rejected_recipients.insert(address.to_ascii_lowercase());
    }

    /// Rejects filters with this address in lookups of the directory.
    pub fn reject_address(&self, address: &str) {
        lock(&self.shared.tenant).rejected_addresses.insert(address.to_owned());
    }

    /// Returns the length of the longest request body, uploads included, in bytes.
    pub fn longest_request(&self) -> usize {
        lock(&self.shared.traffic).longest
    }

    /// Removes a user and their mailbox.
    pub fn remove(&self, name: &str) {
        lock(&self.shared.tenant).users.retain(|user| user.name != name);
    }

    /// Gives a user another user name and address, as the rename of a domain does. The id and the mailbox stay.
    pub fn rename(&self, name: &str, to: &str) {
        for user in lock(&self.shared.tenant).users.iter_mut().filter(|user| user.name == name) {
            (user.name, user.mail, user.proxies) = (to.to_owned(), Some(to.to_owned()), vec![format!("SMTP:{to}")]);
        }
    }

    /// Moves a folder with its messages to Deleted Items, as its owner does. Its id stays valid.
    pub fn delete_folder(&self, user: &str, folder: &str) {
        let mut tenant = lock(&self.shared.tenant);
        let Ok(mailbox) = tenant.mailbox(user) else { return };
        for deleted in
            mailbox.folders.iter_mut().filter(|candidate| candidate.parent.is_none() && candidate.name == folder)
        {
            deleted.parent = Some(DELETED_ITEMS.to_owned());
        }
    }

    /// Removes a folder with its messages permanently, as an owner does who empties Deleted Items.
    pub fn remove_folder(&self, user: &str, folder: &str) {
        let mut tenant = lock(&self.shared.tenant);
        let Ok(mailbox) = tenant.mailbox(user) else { return };
        let has_name = |candidate: &crate::mailbox::Folder| candidate.name == folder;
        let removed: Vec<_> =
            mailbox.folders.iter().filter(|folder| has_name(folder)).map(|folder| folder.id.clone()).collect();
        let is_removed = |folder: &crate::mailbox::Folder| {
            removed.contains(&folder.id) || folder.parent.as_ref().is_some_and(|parent| removed.contains(parent))
        };
        let removed_ids: Vec<_> =
            mailbox.folders.iter().filter(|folder| is_removed(folder)).map(|folder| folder.id.clone()).collect();
        mailbox.folders.retain(|folder| !removed_ids.contains(&folder.id));
        mailbox.messages.retain(|message| !removed_ids.contains(&message.folder_id));
    }

    /// Sets an extended property of all messages of a mailbox.
    pub fn set_property(&self, user: &str, id: &str, value: &str) {
        let mut tenant = lock(&self.shared.tenant);
        let Ok(mailbox) = tenant.mailbox(user) else { return };
        for message in &mut mailbox.messages {
            message.properties.insert(id.to_owned(), value.to_owned());
        }
    }

    /// Changes the quirks of the tenant.
    pub fn set_quirks(&self, quirks: Quirks) {
        lock(&self.shared.tenant).quirks = quirks;
    }

    /// Replaces the application's client secret.
    pub fn set_client_secret(&self, secret: &str) {
        lock(&self.shared.login).secret = Some(secret.into());
    }

    /// Registers a certificate (X.509, PEM) and removes the client secret.
    pub fn set_certificate(&self, pem: &str) {
        lock(&self.shared.login).set_certificate(pem);
    }

    /// Grants the application `Mail-Advanced.ReadWrite.All`.
    pub fn grant_mime_import(&self) {
        lock(&self.shared.tenant).may_import_mime = true;
    }

    /// Sets the permissions that an administrator has granted the application in the whole tenant, and that new tokens
    /// contain. The default is `User.Read.All`.
    pub fn set_roles(&self, roles: &[&str]) {
        lock(&self.shared.login).roles = roles.iter().map(|&role| role.to_owned()).collect();
    }

    /// Sets the lifetime of new tokens.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        lock(&self.shared.login).lifetime = lifetime;
    }

    /// Revokes all tokens.
    pub fn revoke_tokens(&self) {
        lock(&self.shared.login).revoke_tokens();
    }

    /// Delays every response.
    pub fn set_latency(&self, latency: Duration) {
        *lock(&self.shared.latency) = latency;
    }

    /// Adds a fault to the script.
    pub fn fault(&self, on: On, fault: Fault) {
        lock(&self.shared.script).add(on, fault);
    }

    /// Replaces the script with one fault, atomically.
    pub fn only_fault(&self, on: On, fault: Fault) {
        let mut script = lock(&self.shared.script);
        script.clear();
        script.add(on, fault);
    }

    /// Returns the number of faults in the script that no request has had.
    pub fn unused_faults(&self) -> usize {
        lock(&self.shared.script).unused()
    }

    /// Empties the script.
    pub fn clear_faults(&self) {
        lock(&self.shared.script).clear();
    }

    /// Returns all messages of a mailbox, in every folder. Empty if the mailbox does not exist.
    pub fn messages(&self, user: &str) -> Vec<StoredMessage> {
        lock(&self.shared.tenant).mailbox(user).map(|mailbox| mailbox.all_messages()).unwrap_or_default()
    }

    /// Returns the messages that the owner of the mailbox sees, without those in Deleted Items.
    pub fn visible(&self, user: &str) -> Vec<StoredMessage> {
        self.messages(user).into_iter().filter(|message| message.visible).collect()
    }

    /// Returns the names of the folders that the owner of the mailbox sees, in the order of their creation, without
    /// Deleted Items.
    pub fn visible_folders(&self, user: &str) -> Vec<String> {
        let mut tenant = lock(&self.shared.tenant);
        let Ok(mailbox) = tenant.mailbox(user) else { return Vec::new() };
        let visible = mailbox.folders.iter().filter(|folder| mailbox.is_visible(folder));
        visible.map(|folder| folder.name.clone()).collect()
    }

    /// Returns the received requests in order, including those with a fault.
    pub fn requests(&self) -> Vec<Kind> {
        lock(&self.shared.traffic).seen.clone()
    }

    /// Returns the number of received requests of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.requests().into_iter().filter(|seen| *seen == kind).count()
    }

    /// Clears the list of received requests.
    pub fn forget_requests(&self) {
        lock(&self.shared.traffic).seen.clear();
    }

    /// Returns the maximum number of concurrent requests that one mailbox has had.
    pub fn peak(&self, user: &str) -> usize {
        let id = lock(&self.shared.tenant).user(user).map(|user| user.id.clone()).unwrap_or_default();
        lock(&self.shared.traffic).peak.get(&id).copied().unwrap_or_default()
    }
}

impl Drop for GraphFake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A request to a mailbox, counted while it is in progress.
struct RequestInProgress {
    shared: Arc<Shared>,
    mailbox: Option<String>,
}

impl RequestInProgress {
    fn begin(shared: &Arc<Shared>, route: &Route) -> Self {
        let mailbox = shared.mailbox_of(route);
        if let Some(mailbox) = &mailbox {
            let mut traffic = lock(&shared.traffic);
            let now = traffic.in_progress.entry(mailbox.clone()).or_default();
            *now += 1;
            let now = *now;
            let peak = traffic.peak.entry(mailbox.clone()).or_default();
            *peak = now.max(*peak);
        }
        Self { shared: Arc::clone(shared), mailbox }
    }

    fn exceeds_limit(&self) -> bool {
        let Some(mailbox) = &self.mailbox else { return false };
        lock(&self.shared.traffic)
            .in_progress
            .get(mailbox)
            .is_some_and(|in_progress| *in_progress > MAX_CONCURRENT_REQUESTS)
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        if let Some(mailbox) = &self.mailbox
            && let Some(in_progress) = lock(&self.shared.traffic).in_progress.get_mut(mailbox)
        {
            *in_progress -= 1;
        }
    }
}

impl Shared {
    /// Returns the mailbox of a request; `None` for requests to the directory.
    fn mailbox_of(&self, route: &Route) -> Option<String> {
        let mut tenant = lock(&self.tenant);
        let owner = match route.kind {
            Kind::Token | Kind::UserByName | Kind::UserSearch | Kind::GroupSearch | Kind::Unknown => return None,
            Kind::Upload => tenant.uploads.get(&route.owner)?.user.clone(),
            _ => route.owner.clone(),
        };
        tenant.user(&owner).ok().map(|user| user.id.clone())
    }

    fn perform(&self, request: &GraphRequest<'_>) -> Reply {
        let header = |name: header::HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok());
        if request.route.kind == Kind::Token {
            let content_type = header(header::CONTENT_TYPE);
            return lock(&self.login).token(&request.route.owner, content_type, request.body, &self.url);
        }
        if request.route.kind != Kind::Upload
            && let Err(refused) = lock(&self.login).check_token(header(header::AUTHORIZATION))
        {
            return refused.into();
        }
        lock(&self.tenant).respond(request).unwrap_or_else(Reply::from)
    }
}

fn graph_request<'a>(route: &'a Route, head: &'a Parts, body: &'a [u8], url: &'a str) -> GraphRequest<'a> {
    GraphRequest { route, path: head.uri.path(), query: head.uri.query(), headers: &head.headers, body, url }
}

/// Carries a request out when the gate opens. A separate task, because that of the request ends with the response, or
/// when the client closes the connection.
fn perform_later(
    gate: Gate,
    shared: Arc<Shared>,
    (route, head, body): (Route, Parts, Bytes),
    in_progress_guard: RequestInProgress,
) {
    tokio::spawn(async move {
        gate.pass().await;
        shared.perform(&graph_request(&route, &head, &body, &shared.url));
        gate.note_done();
        drop(in_progress_guard);
    });
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(breaker): ConnectInfo<ConnectionBreaker>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let route = Route::of(&head.method, &head.uri);
    let in_progress_guard = RequestInProgress::begin(&shared, &route);
    lock(&shared.traffic).seen.push(route.kind);
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return Reply::from(Rejection(413, "RequestEntityTooLarge")).into_response();
    };
    let fault = lock(&shared.script).next(route.kind, &head.uri, &body);
    {
        let mut traffic = lock(&shared.traffic);
        traffic.longest = traffic.longest.max(body.len());
    }
    if in_progress_guard.exceeds_limit() {
        return Reply::error(429, "ApplicationThrottled").with("retry-after", "1").into_response();
    }
    let latency = *lock(&shared.latency);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let request = graph_request(&route, &head, &body, &shared.url);
    let refuse = |refusal: crate::Refusal| {
        let reply = Reply::error_with(refusal.status, &refusal.code, &refusal.text);
        match &refusal.retry_after {
            Some(value) => reply.with("retry-after", value),
            None => reply,
        }
    };
    let reply = match fault {
        None => shared.perform(&request),
        Some(Fault::Refuse(refusal)) => refuse(refusal),
        Some(Fault::DoAndRefuse(refusal)) => {
            let done = shared.perform(&request);
            if done.is_success() { refuse(refusal) } else { done }
        }
        Some(Fault::Reset) => {
            breaker.break_connection();
            Reply::empty(500)
        }
        Some(Fault::LoseResponse) => {
            let done = shared.perform(&request);
            breaker.break_connection();
            done
        }
        Some(Fault::Respond { status, headers, body }) => Reply::raw(status, headers, body),
        Some(Fault::HoldBefore(gate)) => {
            gate.pass().await;
            shared.perform(&request)
        }
        Some(Fault::HoldAfter(gate)) => {
            let done = shared.perform(&request);
            gate.pass().await;
            done
        }
        Some(Fault::DoLater(gate)) => {
            breaker.break_connection();
            perform_later(gate, shared, (route, head, body), in_progress_guard);
            return Reply::empty(500).into_response();
        }
        Some(Fault::RefuseAndDoLater(refusal, gate)) => {
            perform_later(gate, shared, (route, head, body), in_progress_guard);
            return refuse(refusal).into_response();
        }
    };
    drop(in_progress_guard);
    reply.into_response()
}
