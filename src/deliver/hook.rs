//! The command that is told of changes.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::PendingHook;
use crate::model::{DeploymentRef, Name, Revision};

/// A command for `sh -c`, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub command: String,
    pub limit: Duration,
    /// Variables of the agent's own environment that are no business of the hook: secrets.
    pub hidden: Vec<&'static str>,
}

/// What the hook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    pub host: Name,
    pub dest: PathBuf,
    pub rendered: Option<Revision>,
    pub changes: PendingHook,
}

/// How a hook fails. `output` is the end of what it wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    #[error("the hook cannot be started: {0}")]
    Start(String),
    #[error("the hook ended with {status}{}", tail(.output))]
    Failed { status: ExitStatus, output: String },
    #[error("the hook did not end within {seconds} s{}", tail(.output))]
    Timeout { seconds: u64, output: String },
}

/// Longest text that a report carries, in characters.
const OUTPUT: usize = 1024;

fn tail(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(": {output}") }
}

impl Hook {
    /// Runs it. Dropping the future kills it with all its children.
    ///
    /// # Errors
    /// When it cannot be started, fails, or takes too long.
    pub async fn run(&self, call: &HookCall) -> Result<(), HookError> {
        let start = |error: std::io::Error| HookError::Start(error.to_string());
        let (reader, writer) = std::io::pipe().map_err(start)?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(start)?;
        let mut command = self.command(call);
        command.stdout(Stdio::from(writer.try_clone().map_err(start)?)).stderr(Stdio::from(writer));
        let child = command.spawn().map_err(start)?;
        // Our own ends of the pipe go with the command, so that the end of output can be seen.
        drop(command);
        let mut running = Running { child, output, tail: Vec::new() };
        let ended = tokio::time::timeout(self.limit, running.wait()).await;
        let output = clean(&String::from_utf8_lossy(&running.tail));
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(HookError::Failed { status, output }),
            Ok(Err(error)) => Err(start(error)),
            Err(_) => Err(HookError::Timeout { seconds: self.limit.as_secs(), output }),
        }
    }

    fn command(&self, call: &HookCall) -> Command {
        let mut command = Command::new("sh");
        let names = |refs: &std::collections::BTreeSet<DeploymentRef>| {
            refs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        command
            .arg("-c")
            .arg(&self.command)
            .env("TITAN_HOST", call.host.as_str())
            .env("TITAN_DEST", &call.dest)
            .env("TITAN_RENDERED", call.rendered.map(|id| id.to_string()).unwrap_or_default())
            .env("TITAN_CHANGED", names(&call.changes.changed))
            .env("TITAN_REMOVED", names(&call.changes.removed))
            .stdin(Stdio::null())
            .process_group(0);
        for name in &self.hidden {
            command.env_remove(name);
        }
        command
    }
}

/// A hook under way.
struct Running {
    child: Child,
    output: pipe::Receiver,
    tail: Vec<u8>,
}

impl Running {
    /// Waits for the shell, not for the end of its output: a service that it started may keep that open.
    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let mut open = true;
        loop {
            tokio::select! {
                status = self.child.wait() => {
                    while self.read() == Read::More {}
                    return status;
                }
                ready = self.output.readable(), if open => {
                    ready?;
                    open = self.read() != Read::End;
                }
            }
        }
    }

    /// Reads some of what is there and keeps its end.
    fn read(&mut self) -> Read {
        let mut buffer = [0; 8192];
        match self.output.try_read(&mut buffer) {
            Ok(0) => Read::End,
            Ok(count) => {
                self.tail.extend_from_slice(&buffer[..count]);
                let excess = self.tail.len().saturating_sub(4 * OUTPUT);
                self.tail.drain(..excess);
                Read::More
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Read::Nothing,
            Err(_) => Read::End,
        }
    }
}

/// What a read found.
#[derive(PartialEq, Eq)]
enum Read {
    More,
    /// Nothing for now.
    Nothing,
    End,
}

impl Drop for Running {
    fn drop(&mut self) {
        // `id` is `None` once the shell has been waited for: then its number may be another's.
        let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(id) = id {
            // It may just have ended by itself.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// The end of a text, fit for a report and a terminal: no control characters but line feeds.
#[must_use]
pub fn clean(text: &str) -> String {
    let plain = text.trim().chars().filter(|c| *c == '\n' || !c.is_control()).collect::<String>();
    let excess = plain.chars().count().saturating_sub(OUTPUT);
    plain.chars().skip(excess).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(command: &str, limit: Duration) -> Hook {
        Hook { command: command.to_owned(), limit, hidden: vec!["PATH_TO_SECRET"] }
    }

    fn call() -> HookCall {
        let name = |text: &str| text.parse().expect("a deployment");
        HookCall {
            host: "tim-pi".parse().expect("a name"),
            dest: "/srv/x".into(),
            rendered: Some(Revision::NONE),
            changes: PendingHook {
                changed: [name("a/b/c"), name("a/b/d")].into(),
                removed: [name("x/y/z")].into(),
            },
        }
    }

    async fn run(command: &str) -> Result<(), HookError> {
        hook(command, Duration::from_secs(30)).run(&call()).await
    }

    #[tokio::test]
    async fn it_is_told_what_changed() {
        let script = "echo \"$TITAN_HOST $TITAN_DEST $TITAN_CHANGED|$TITAN_REMOVED\"; \
                      echo ${#TITAN_RENDERED} >&2; exit 3";
        let Err(HookError::Failed { status, output }) = run(script).await else {
            panic!("it should fail");
        };
        assert_eq!(status.code(), Some(3));
        assert_eq!(output, "tim-pi /srv/x a/b/c a/b/d|x/y/z\n40");
        run("exit 0").await.expect("it succeeds");
    }

    #[tokio::test]
    async fn the_end_of_its_output_is_kept_and_clean() {
        let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; \
                      printf '\\033[31mred\\a'; exit 1";
        let Err(HookError::Failed { output, .. }) = run(script).await else {
            panic!("it should fail");
        };
        assert!(output.ends_with("line 2999\n[31mred"), "{output:?}");
        assert_eq!(output.chars().count(), OUTPUT);
    }

    #[tokio::test]
    async fn it_ends_in_time() {
        let slow = hook("echo begun; sleep 1000 & wait", Duration::from_millis(300));
        let error = slow.run(&call()).await.expect_err("it takes too long");
        assert_eq!(error, HookError::Timeout { seconds: 0, output: "begun".into() });
        // A service that it leaves behind keeps the output open, and nobody waiting.
        run("sleep 20 &").await.expect("it succeeds");
    }
}
