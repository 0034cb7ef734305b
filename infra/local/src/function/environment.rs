//! An execution environment: one process of a function with its Runtime API.

use std::{
    collections::BTreeMap,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{
    process::{Child, Command},
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    super::{ministack::Ministack, process_group::ProcessGroup},
    error::{InvokeError, StartError},
    options::FunctionOptions,
    output::Output,
    runtime_api::{Call, Invocation, RuntimeApi},
};

/// A process that is ready for events. Dropping it kills the process.
pub(super) struct Environment {
    calls: mpsc::Receiver<Call>,
    /// The process's pending request for an event, if it was received already.
    next: Option<oneshot::Sender<Invocation>>,
    process: Process,
    arn: Arc<str>,
    timeout: Duration,
    _api: RuntimeApi,
}

/// Minimum time that a start may take, as in Lambda.
const INIT_LIMIT: Duration = Duration::from_secs(10);

impl Environment {
    /// Starts a process and waits until it requests an event.
    pub(super) async fn start(
        options: &FunctionOptions,
        output: &Output,
        group: &ProcessGroup,
        processes: &Arc<Processes>,
    ) -> Result<Self, StartError> {
        let name = || options.name.clone();
        let io = |doing| move |source| StartError::Io { name: name(), doing, source };
        let (api, mut calls) = RuntimeApi::start().await.map_err(io("start the Runtime API"))?;
        let mut command = command(options, &api);
        let child = group.add(&mut command).spawn().map_err(io("start the process"))?;
        let mut process = Process::watch(child, output.clone(), processes.clone());
        let after = options.timeout.max(INIT_LIMIT);
        let call = tokio::select! {
            biased;
            call = timeout(after, calls.recv()) => call,
            exit = process.exited() => {
                return Err(StartError::Ended { name: name(), how: exit.how, log_tail: exit.log_tail });
            }
        };
        match call {
            Ok(Some(Call::Next(next))) => {
                let arn =
                    format!("arn:aws:lambda:{}:{}:function:{}", Ministack::REGION, Ministack::ACCOUNT, options.name);
                let timeout = options.timeout;
                Ok(Self { calls, next: Some(next), process, arn: arn.into(), timeout, _api: api })
            }
            Ok(Some(Call::InitError(error))) => Err(StartError::Rejected { name: name(), error }),
            Ok(Some(Call::Response(_)) | None) | Err(_) => {
                process.0.kill.notify_one();
                let log_tail = process.exited().await.log_tail;
                Err(StartError::TimedOut { name: name(), after, log_tail })
            }
        }
    }

    /// Passes an event to the process when it requests one. Returns `false` if the process has ended or no longer
    /// requests events, and so did not receive the event.
    pub(super) async fn deliver(&mut self, event: Bytes, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut invocation = Invocation {
            id: Uuid::new_v4(),
            deadline_ms: (since_1970 + left).as_millis(),
            arn: self.arn.clone(),
            event,
        };
        loop {
            if self.process.has_exited() {
                return false;
            }
            let next = match self.next.take() {
                Some(next) => next,
                None => match self.next_call(deadline).await {
                    Waited::Call(Call::Next(next)) => next,
                    Waited::Call(_) => continue,
                    Waited::Exited(_) | Waited::TimedOut => return false,
                },
            };
            match next.send(invocation) {
                Ok(()) => return true,
                // The connection of that request is closed: the process sends another request, or it has ended.
                Err(undelivered) => invocation = undelivered,
            }
        }
    }

    /// Waits for the response to the event that was delivered last.
    pub(super) async fn response(&mut self, deadline: Instant) -> Result<Bytes, InvokeError> {
        loop {
            match self.next_call(deadline).await {
                Waited::Call(Call::Response(response)) => return response.map_err(InvokeError::Function),
                Waited::Call(Call::Next(next)) => self.next = Some(next),
                Waited::Call(Call::InitError(error)) => return Err(InvokeError::Function(error)),
                Waited::Exited(exit) => return Err(InvokeError::Crashed { how: exit.how, log_tail: exit.log_tail }),
                Waited::TimedOut => {
                    self.process.0.kill.notify_one();
                    self.process.exited().await;
                    return Err(InvokeError::TimedOut(self.timeout));
                }
            }
        }
    }

    /// Waits for the next call of the process. Calls made before it ended come first.
    async fn next_call(&mut self, deadline: Instant) -> Waited {
        tokio::select! {
            biased;
            call = self.calls.recv() => call.map_or(Waited::TimedOut, Waited::Call),
            exit = self.process.exited() => Waited::Exited(exit),
            () = tokio::time::sleep_until(deadline) => Waited::TimedOut,
        }
    }
}

enum Waited {
    Call(Call),
    Exited(Exit),
    TimedOut,
}

fn command(options: &FunctionOptions, api: &RuntimeApi) -> Command {
    let mut command = Command::new(&options.program);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "en_US.UTF-8")
        .env("TZ", ":UTC")
        .env("AWS_REGION", Ministack::REGION)
        .env("AWS_DEFAULT_REGION", Ministack::REGION)
        .env("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023")
        .env("AWS_LAMBDA_FUNCTION_NAME", &options.name)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", options.memory_mb.to_string())
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", options.name))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", Uuid::new_v4().simple().to_string())
        .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
        .env("_HANDLER", "bootstrap")
        .envs(options.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Exit status of a process and the end of its output.
#[derive(Debug, Clone, Default)]
struct Exit {
    how: String,
    log_tail: String,
}

/// A process that a task waits for, so that it can be killed from anywhere and its end is noticed at once. Dropping it
/// kills the process.
struct Process(Handle);

#[derive(Clone)]
struct Handle {
    kill: Arc<Notify>,
    exit: watch::Receiver<Option<Exit>>,
}

impl Process {
    fn watch(mut child: Child, output: Output, processes: Arc<Processes>) -> Self {
        let kill = Arc::new(Notify::new());
        let (report, exit) = watch::channel(None);
        let pid = child.id();
        if let Some(pid) = pid {
            processes.lock().insert(pid, Handle { kill: kill.clone(), exit: exit.clone() });
        }
        let killed = kill.clone();
        tokio::spawn(async move {
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let tail = tokio::spawn(async move {
                let (out, err) =
                    tokio::join!(async { Some(output.copy(out?).await) }, async { Some(output.copy(err?).await) });
                out.into_iter().chain(err).flatten().collect::<Vec<_>>().join("\n")
            });
            let status = tokio::select! {
                status = child.wait() => status,
                () = killed.notified() => match child.start_kill() {
                    Ok(()) => child.wait().await,
                    Err(error) => Err(error),
                },
            };
            let how = status.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string());
            // The pipe may still contain output. A child process may hold it open, so the wait is limited.
            let log_tail = timeout(Duration::from_secs(1), tail).await;
            let log_tail = log_tail.ok().and_then(Result::ok).unwrap_or_default();
            if let Some(pid) = pid {
                processes.lock().remove(&pid);
            }
            report.send_replace(Some(Exit { how, log_tail }));
        });
        Self(Handle { kill, exit })
    }

    fn has_exited(&self) -> bool {
        self.0.exit.borrow().is_some()
    }

    async fn exited(&mut self) -> Exit {
        match self.0.exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or_default(),
            // The runtime is shutting down.
            Err(_) => Exit::default(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill.notify_one();
    }
}

/// Running processes of a function, by process id.
#[derive(Default)]
pub(super) struct Processes(Mutex<BTreeMap<u32, Handle>>);

impl Processes {
    pub(super) fn ids(&self) -> Vec<u32> {
        self.lock().keys().copied().collect()
    }

    pub(super) async fn kill(&self, pid: u32) -> bool {
        let found = self.lock().get(&pid).cloned();
        let Some(Handle { kill, mut exit }) = found else { return false };
        kill.notify_one();
        exit.wait_for(Option::is_some).await.is_ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
