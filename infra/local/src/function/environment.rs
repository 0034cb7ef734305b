//! One process of a function, with its Runtime API: what Lambda calls an execution environment.

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
    super::{guard::Guard, ministack::Ministack},
    FunctionOptions, InvokeError, StartError,
    output::Output,
    runtime_api::{Invocation, RuntimeApi, Said},
};

/// A process that is ready for work. Dropped, it is killed.
pub(super) struct Environment {
    hear: mpsc::Receiver<Said>,
    /// The process's open question for work, if it was heard already.
    ready: Option<oneshot::Sender<Invocation>>,
    process: Process,
    arn: Arc<str>,
    timeout: Duration,
    _api: RuntimeApi,
}

/// The least that a start may take: what Lambda gives it.
const INIT: Duration = Duration::from_secs(10);

impl Environment {
    /// Starts a process and returns when it asks for work.
    pub(super) async fn start(
        options: &FunctionOptions,
        output: &Output,
        guard: &Guard,
        processes: &Arc<Processes>,
    ) -> Result<Self, StartError> {
        let name = || options.name.clone();
        let io = |doing| move |source| StartError::Io { name: name(), doing, source };
        let (api, mut hear) = RuntimeApi::start().await.map_err(io("start its Runtime API"))?;
        let mut command = command(options, &api);
        let child = guard.admit(&mut command).spawn().map_err(io("start its process"))?;
        let mut process = Process::watch(child, output.clone(), processes.clone());
        let after = options.timeout.max(INIT);
        let said = tokio::select! {
            biased;
            said = timeout(after, hear.recv()) => said,
            gone = process.gone() => {
                return Err(StartError::Ended { name: name(), how: gone.how, last_words: gone.last_words });
            }
        };
        match said {
            Ok(Some(Said::Ready(ready))) => {
                let arn =
                    format!("arn:aws:lambda:{}:{}:function:{}", Ministack::REGION, Ministack::ACCOUNT, options.name);
                let timeout = options.timeout;
                Ok(Self { hear, ready: Some(ready), process, arn: arn.into(), timeout, _api: api })
            }
            Ok(Some(Said::InitError(said))) => Err(StartError::Refused { name: name(), said }),
            Ok(Some(Said::Answer(_)) | None) | Err(_) => {
                process.0.kill.notify_one();
                let last_words = process.gone().await.last_words;
                Err(StartError::TimedOut { name: name(), after, last_words })
            }
        }
    }

    /// Hands over an event, once the process asks for work. `false`: the process is gone, or does not ask any more,
    /// and never saw the event.
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
            if self.process.is_gone() {
                return false;
            }
            let ready = match self.ready.take() {
                Some(ready) => ready,
                None => match self.hear(deadline).await {
                    Heard::Said(Said::Ready(ready)) => ready,
                    Heard::Said(_) => continue,
                    Heard::Gone(_) | Heard::Nothing => return false,
                },
            };
            match ready.send(invocation) {
                Ok(()) => return true,
                // The connection on which it asked is closed: it asks on another, or it is dead.
                Err(back) => invocation = back,
            }
        }
    }

    /// Waits for the answer to the event that was delivered last.
    pub(super) async fn answer(&mut self, deadline: Instant) -> Result<Bytes, InvokeError> {
        loop {
            match self.hear(deadline).await {
                Heard::Said(Said::Answer(answer)) => return answer.map_err(InvokeError::Function),
                Heard::Said(Said::Ready(ready)) => self.ready = Some(ready),
                Heard::Said(Said::InitError(said)) => return Err(InvokeError::Function(said)),
                Heard::Gone(gone) => return Err(InvokeError::Crashed { how: gone.how, last_words: gone.last_words }),
                Heard::Nothing => {
                    self.process.0.kill.notify_one();
                    self.process.gone().await;
                    return Err(InvokeError::TimedOut(self.timeout));
                }
            }
        }
    }

    /// What the process says, what it said before it went included.
    async fn hear(&mut self, deadline: Instant) -> Heard {
        tokio::select! {
            biased;
            said = self.hear.recv() => said.map_or(Heard::Nothing, Heard::Said),
            gone = self.process.gone() => Heard::Gone(gone),
            () = tokio::time::sleep_until(deadline) => Heard::Nothing,
        }
    }
}

enum Heard {
    Said(Said),
    Gone(Gone),
    Nothing,
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

/// How a process went, and what it wrote last.
#[derive(Debug, Clone, Default)]
struct Gone {
    how: String,
    last_words: String,
}

/// A process that somebody waits for, so that it can be killed from anywhere and its end is known at once. Dropped, it
/// is killed.
struct Process(Handle);

#[derive(Clone)]
struct Handle {
    kill: Arc<Notify>,
    gone: watch::Receiver<Option<Gone>>,
}

impl Process {
    fn watch(mut child: Child, output: Output, processes: Arc<Processes>) -> Self {
        let kill = Arc::new(Notify::new());
        let (tell, gone) = watch::channel(None);
        let pid = child.id();
        if let Some(pid) = pid {
            processes.lock().insert(pid, Handle { kill: kill.clone(), gone: gone.clone() });
        }
        let killed = kill.clone();
        tokio::spawn(async move {
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let words = tokio::spawn(async move {
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
            // What it wrote is in the pipe still. A child of its own may hold the pipe open: not for long.
            let last_words = timeout(Duration::from_secs(1), words).await;
            let last_words = last_words.ok().and_then(Result::ok).unwrap_or_default();
            if let Some(pid) = pid {
                processes.lock().remove(&pid);
            }
            tell.send_replace(Some(Gone { how, last_words }));
        });
        Self(Handle { kill, gone })
    }

    fn is_gone(&self) -> bool {
        self.0.gone.borrow().is_some()
    }

    async fn gone(&mut self) -> Gone {
        match self.0.gone.wait_for(Option::is_some).await {
            Ok(gone) => gone.clone().unwrap_or_default(),
            // The runtime is shutting down.
            Err(_) => Gone::default(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill.notify_one();
    }
}

/// The processes of a function that run, by their ids.
#[derive(Default)]
pub(super) struct Processes(Mutex<BTreeMap<u32, Handle>>);

impl Processes {
    pub(super) fn ids(&self) -> Vec<u32> {
        self.lock().keys().copied().collect()
    }

    pub(super) async fn kill(&self, pid: u32) -> bool {
        let found = self.lock().get(&pid).cloned();
        let Some(Handle { kill, mut gone }) = found else { return false };
        kill.notify_one();
        gone.wait_for(Option::is_some).await.is_ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
