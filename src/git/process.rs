//! Running `git(1)` with a fixed environment, for what gix does not do: talking to remotes.
//!
//! Nothing of the operator's Git configuration and nothing that a remote sends may change what the
//! command does: the environment is emptied, system and user configuration, hooks, prompts and
//! redirects are off, and only the scheme in use is allowed. What operators may set for titan's git:
//! [`PASSED`], told to them in the docs of [`super`].

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::GitError;
use crate::model::Recovery;

/// Variables that are passed on: how to reach a remote, and with which identity.
const PASSED: [&str; 22] = [
    "PATH",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "GIT_SSH_COMMAND",
    "GIT_ASKPASS",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    // Read by askpass programs and credential brokers of CI systems.
    "GIT_USERNAME",
    "GIT_PASSWORD",
    "GIT_TOKEN",
];

/// Configuration of every call.
const CONFIG: [&str; 12] = [
    // The clone is titan's own, even when another user owns the volume that it lies on.
    "safe.directory=*",
    "protocol.allow=never",
    "core.hooksPath=/dev/null",
    "core.symlinks=false",
    "core.fsmonitor=false",
    "transfer.fsckObjects=true",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "http.followRedirects=false",
    // With `http.lowSpeedTime`: ends also where nobody is left to kill it.
    "http.lowSpeedLimit=1",
    "fetch.writeCommitGraph=false",
];

/// A folder that does not exist, so that nothing in it is read.
const NO_HOME: &str = "/nonexistent";

/// Most of what git says on stderr that goes into an error.
const STDERR: usize = 2048;

/// What ssh is unless the operator says otherwise. It ends when the other side is gone, also where
/// nobody is left to kill it.
const SSH: &str =
    "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15 -oServerAliveCountMax=4";

/// How long the output is waited for after git has ended. A connection that ssh shares with later
/// calls (`ControlPersist`) keeps it open.
const GRACE: Duration = Duration::from_secs(2);

/// The niceness of what is last in line for the processor; see `nice(1)`.
const NICEST: i32 = 19;

/// What stands between its lines in an error.
const LINE: &str = "; ";

/// Most of what git may print; the refs of a large remote fit many times.
const STDOUT: usize = 64 << 20;

/// A call of git.
#[derive(Debug)]
pub(super) struct Git {
    command: Command,
    /// The subcommand, for errors.
    name: String,
    limit: Duration,
    /// Nobody waits for it: it is last in line for the processor.
    behind: bool,
}

/// How git failed: an exit code other than 0.
#[derive(Debug)]
pub(super) struct Failure {
    name: String,
    /// What it says, redacted and shortened.
    pub(super) stderr: String,
}

impl Git {
    /// `git [--git-dir=<dir>] <name>`, to be killed after `limit`.
    pub(super) fn new(dir: Option<&Path>, name: &str, limit: Duration) -> Self {
        let mut command = Command::new("git");
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(PASSED.iter().filter_map(|key| Some((*key, std::env::var_os(key)?))));
        command.envs([
            ("HOME", NO_HOME),
            ("XDG_CONFIG_HOME", NO_HOME),
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_PROTOCOL_FROM_USER", "0"),
        ]);
        if std::env::var_os("GIT_SSH_COMMAND").is_none() {
            command.env("GIT_SSH_COMMAND", SSH);
        }
        // Signals to the process group reach what git starts (ssh, remote helpers) as well.
        command.process_group(0);
        for setting in CONFIG {
            command.args(["-c", setting]);
        }
        command.arg("-c").arg(format!("http.lowSpeedTime={}", limit.as_secs().max(1)));
        if let Some(dir) = dir {
            command.arg("--git-dir").arg(dir);
        }
        Self { command, name: name.to_owned(), limit, behind: false }
    }

    /// Allows the scheme of `url`, which must have been checked.
    pub(super) fn remote(mut self, url: &str) -> Self {
        self.command.arg("-c").arg(format!("protocol.{}.allow=always", scheme(url)));
        self
    }

    /// Sets one more `key=value` of configuration.
    pub(super) fn config(mut self, setting: &str) -> Self {
        self.command.args(["-c", setting]);
        self
    }

    /// Its process has `lock` open, and so holds it, until it ends: also where titan is killed before.
    pub(super) fn holding(mut self, lock: std::fs::File) -> Self {
        // It reads nothing.
        self.command.stdin(lock);
        self
    }

    /// Puts it last in line for the processor.
    pub(super) fn behind(mut self) -> Self {
        self.behind = true;
        self
    }

    /// Runs it. `options` are titan's own; `arguments` may come from people and follow a `--`.
    ///
    /// # Errors
    /// [`GitError::Timeout`], or [`GitError::Io`] when git is not there.
    pub(super) fn run<O, A>(
        mut self,
        options: O,
        arguments: A,
    ) -> Result<Result<String, Failure>, GitError>
    where
        O: IntoIterator<Item: AsRef<std::ffi::OsStr>>,
        A: IntoIterator<Item: AsRef<std::ffi::OsStr>>,
    {
        self.command.arg(&self.name).args(options).arg("--").args(arguments);
        let failed = |source| GitError::io("run", Path::new("git"), source);
        let mut child = self.command.spawn().map_err(failed)?;
        if self.behind {
            // What it starts takes after it. Where that is refused, it is only a little in the way.
            let id = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::setpriority_process(Some(id), NICEST);
        }
        let stdout = drain(child.stdout.take().expect("because it is piped"), STDOUT);
        let stderr = drain(child.stderr.take().expect("because it is piped"), STDOUT);
        let status = wait(&mut child, self.limit).map_err(failed)?;
        let Some(status) = status else {
            let seconds = self.limit.as_secs();
            return Err(GitError::Timeout { command: self.name, seconds });
        };
        let (stdout, stderr) = (stdout.text(), stderr.text());
        if status.success() {
            return Ok(Ok(stdout));
        }
        // `git push --porcelain` tells on stdout which refs were refused, and why.
        let refused = stdout.lines().filter(|line| line.starts_with("!\t"));
        let text = refused.chain(stderr.lines()).collect::<Vec<_>>().join("\n");
        Ok(Err(Failure { name: self.name, stderr: shorten(&redact(&text)) }))
    }
}

impl From<Failure> for GitError {
    fn from(failure: Failure) -> Self {
        let recovery = failure.recovery();
        Self::Command { command: failure.name, detail: failure.stderr, recovery }
    }
}

const FSCK: &str = "fsck error";

/// What git says, in any version since 2.20, when trying again cannot help.
const PERMANENT: [&str; 19] = [
    "hook declined",
    "push declined",
    // `transfer.fsckObjects`: somebody pushed objects that Git itself would not make.
    FSCK,
    "authentication failed",
    "could not read username",
    "could not read password",
    "permission denied",
    "permission to",
    "access denied",
    "host key verification failed",
    "not found",
    "does not exist",
    "does not appear to be a git repository",
    "not a git repository",
    "dubious ownership",
    "not allowed",
    "returned error: 401",
    "returned error: 403",
    "unsupported url protocol",
];

/// What git says when the local clone is damaged.
const DAMAGED: [&str; 13] = [
    "bad shallow line",
    "inflate",
    "not a git repository: '",
    "bad object",
    "corrupt",
    "broken",
    "is empty",
    "unable to read",
    "unable to find",
    "invalid sha1 pointer",
    "could not parse",
    "missing necessary objects",
    "bad config",
];

impl Failure {
    /// As it stands in a [`GitError::Command`].
    pub(super) fn new(name: &str, stderr: &str) -> Self {
        Self { name: name.to_owned(), stderr: stderr.to_owned() }
    }

    fn says(&self, texts: &[&str]) -> bool {
        let stderr = self.stderr.to_ascii_lowercase();
        texts.iter().any(|text| stderr.contains(text))
    }

    pub(super) fn recovery(&self) -> Recovery {
        if self.says(&PERMANENT) { Recovery::Fix } else { Recovery::Retry }
    }

    /// Whether throwing away the local clone may help.
    pub(super) fn is_damage(&self) -> bool {
        if self.says(&[FSCK]) {
            return false;
        }
        let stderr = self.stderr.to_ascii_lowercase();
        let own = stderr.split(LINE).filter(|line| !line.starts_with("remote:"));
        own.into_iter().any(|line| DAMAGED.iter().any(|text| line.contains(text)))
    }

    /// Whether the way to the remote failed, so that the same may work a little later.
    pub(super) fn may_pass(&self) -> bool {
        self.recovery() == Recovery::Retry && !self.is_damage() && !self.is_lock()
    }

    /// Whether a ref of the local clone was locked, or moved meanwhile.
    pub(super) fn is_lock(&self) -> bool {
        self.says(&["cannot lock ref", "could not lock", ".lock'", "unable to update local ref"])
    }

    /// Whether the remote cannot move several branches at once.
    pub(super) fn is_no_atomic(&self) -> bool {
        self.says(&["does not support --atomic"])
    }

    /// Whether the remote does not send parts of a commit.
    pub(super) fn is_no_filter(&self) -> bool {
        self.says(&["filter", "not our ref", "unadvertised object"])
    }
}

/// The name under which git knows the transport of `url`.
fn scheme(url: &str) -> &str {
    match url.split_once("://") {
        Some((scheme, _)) => scheme,
        None if url.split('/').next().is_some_and(|start| start.contains(':')) => "ssh",
        None => "file",
    }
}

/// What comes out of a pipe.
struct Drain {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Disconnected at the pipe's end.
    end: mpsc::Receiver<()>,
}

impl Drain {
    /// What has come until the pipe's end; or until now, when that takes too long.
    fn text(self) -> String {
        // Nothing is ever sent.
        let _ = self.end.recv_timeout(GRACE);
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Reads a pipe to its end, so that git never blocks, but keeps at most `most` bytes.
fn drain(mut pipe: impl Read + Send + 'static, most: usize) -> Drain {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let (ended, end) = mpsc::channel::<()>();
    let kept = Arc::clone(&bytes);
    std::thread::spawn(move || {
        let _ended = ended;
        let mut buffer = [0; 8 << 10];
        // What cannot be read is missing in a message at worst: the exit code decides.
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let room = most.saturating_sub(kept.len()).min(count);
            kept.extend_from_slice(&buffer[..room]);
        }
    });
    Drain { bytes, end }
}

/// Waits for the end; `None` when it took too long and was killed.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            kill_group(child);
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn kill_group(child: &Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // It may have ended just now.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// Replaces what stands between `://` and `@` in any address.
pub(super) fn redact(text: &str) -> String {
    let mut parts = text.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("://");
        let end = part.find(|c: char| c == '/' || c.is_whitespace() || matches!(c, '\'' | '"'));
        let (authority, rest) = part.split_at(end.unwrap_or(part.len()));
        match authority.rsplit_once('@') {
            Some((_, host)) => out.push_str(&format!("***@{host}")),
            None => out.push_str(authority),
        }
        out.push_str(rest);
    }
    out
}

/// The lines that matter, on one line and not too long.
fn shorten(stderr: &str) -> String {
    let lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join(LINE);
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(STDERR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_reach_messages() {
        for (text, expected) in [
            ("fatal: 'https://u:p@h/x' gone", "fatal: 'https://***@h/x' gone"),
            ("https://token@h", "https://***@h"),
            ("https://h/a@b ssh://git@h/x", "https://h/a@b ssh://***@h/x"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn schemes_are_gits_names() {
        for (url, expected) in [
            ("https://h/x", "https"),
            ("ssh://h/x", "ssh"),
            ("git@h:x", "ssh"),
            ("file:///x", "file"),
            ("/x:y", "file"),
            ("./x", "file"),
        ] {
            assert_eq!(scheme(url), expected, "{url}");
        }
    }

    #[test]
    fn failures_say_what_helps() {
        for (stderr, expected) in [
            ("fatal: Authentication failed for 'https://h/x'", Recovery::Fix),
            ("fatal: '/x' does not appear to be a git repository", Recovery::Fix),
            ("fatal: transport 'ext' not allowed", Recovery::Fix),
            ("fatal: unable to access: Could not resolve host: h", Recovery::Retry),
            ("ssh: connect to host h port 22: Connection refused", Recovery::Retry),
        ] {
            let failure = Failure { name: "fetch".into(), stderr: stderr.into() };
            assert_eq!(failure.recovery(), expected, "{stderr}");
        }
    }

    #[test]
    fn output_that_stays_open_is_not_waited_for() {
        let mut git = Git::new(None, "leave", Duration::from_secs(60));
        git.command.args(["-c", "alias.leave=!echo here; sleep 5 & exit 0 #"]);
        let start = Instant::now();
        let text = git.run([] as [&str; 0], [] as [&str; 0]).expect("it ends").expect("it is fine");
        assert_eq!(text, "here\n");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }

    #[test]
    fn a_call_that_hangs_is_killed() {
        let mut git = Git::new(None, "hang", Duration::from_millis(50));
        // An alias of the shell stands for a transport that never answers.
        git.command.args(["-c", "alias.hang=!sleep 1000 #"]);
        let error = git.run([] as [&str; 0], [] as [&str; 0]).expect_err("it hangs");
        assert!(matches!(error, GitError::Timeout { .. }), "{error}");
    }
}
