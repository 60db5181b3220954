//! Exit codes, and how errors are told.

use std::fmt;
use std::io;
use std::process::ExitCode;

use super::account::AccountError;
use super::output::Output;
use crate::agent::AgentError;
use crate::change::ChangeError;
use crate::deliver::DeliverError;
use crate::git::GitError;
use crate::model::Recovery;

/// What a command's exit code means; `titan help exit-codes` prints this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All is well, or the answer is yes.
    Fine = 0,
    /// The input is wrong, or the answer is no.
    No = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// Git or the network failed, after retries.
    Git = 3,
    /// Not yet: still pending, or the time to wait ran out; something would change.
    Pending = 4,
    /// Deployed nowhere near fine: failed, stalled or held.
    Failed = 5,
    /// In Git for Flux or Argo CD, which tell titan nothing; the rest is deployed.
    Unreported = 6,
    /// An error inside titan: please report it.
    Internal = 70,
}

impl Exit {
    pub(crate) const ALL: [Self; 8] = [
        Self::Fine,
        Self::No,
        Self::Usage,
        Self::Git,
        Self::Pending,
        Self::Failed,
        Self::Unreported,
        Self::Internal,
    ];

    /// For people.
    #[must_use]
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Fine => "all is well, or the answer is yes",
            Self::No => "the input is wrong, or the answer is no; nothing was changed",
            Self::Usage => "the command line cannot be understood",
            Self::Git => "Git or the network failed, after retries",
            Self::Pending => {
                "not yet: still pending, or the time to wait ran out (trace, status); something would change (plan)"
            }
            Self::Failed => "deployment failed, stalled or is held back (trace, status)",
            Self::Unreported => {
                "in Git for Flux or Argo CD, which tell titan nothing; the rest is deployed (trace, status)"
            }
            Self::Internal => "an error inside titan: please report it",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error of a command itself, with the way out.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// The input is wrong, or the answer is no.
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self { exit: Exit::No, message: message.into(), hint: None }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::no(message) }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Tells an error on stderr, and returns its exit code. A closed pipe is no error: who reads has
/// seen enough.
pub(crate) fn tell(error: &anyhow::Error, output: &Output) -> Exit {
    let closed = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(closed) {
        return Exit::Fine;
    }
    let (exit, hint) = judge(error);
    if let Some(ChangeError::Invalid { diagnostics }) = error.downcast_ref() {
        output.diagnostics(diagnostics);
    }
    let mut chain = String::new();
    // Many errors tell their cause themselves.
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if chain.is_empty() {
            chain = cause;
        } else if !chain.ends_with(&cause) {
            chain = format!("{chain}: {cause}");
        }
    }
    let code = code(error).map(|code| format!("[{code}] ")).unwrap_or_default();
    output.error(&format!("{code}{chain}"), hint.as_deref());
    exit
}

/// The code of a mistake that Git's part found.
fn code(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| match cause.downcast_ref::<ChangeError>() {
        Some(ChangeError::Git(git)) => git.code(),
        _ => cause.downcast_ref::<GitError>()?.code(),
    })
}

/// The exit code and the way out, by the kind of error.
fn judge(error: &anyhow::Error) -> (Exit, Option<String>) {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return (failure.exit, failure.hint.clone());
        }
        if let Some(account) = cause.downcast_ref::<AccountError>() {
            return (account.exit(), account.hint());
        }
        if let Some(change) = cause.downcast_ref::<ChangeError>() {
            return judge_change(change);
        }
        if let Some(git) = cause.downcast_ref::<GitError>() {
            return judge_git(git);
        }
        // The agent's folder (in use, not writable, no folder at all) or the controller's address.
        match cause.downcast_ref::<AgentError>() {
            None | Some(AgentError::Deliver(DeliverError::Interrupted)) => {}
            Some(AgentError::Away { .. }) => return (Exit::Git, None),
            Some(AgentError::Enroll { .. }) => {
                return (Exit::No, Some("`titan host enroll NAME` makes a new token".into()));
            }
            Some(_) => return (Exit::No, None),
        }
        if cause.downcast_ref::<io::Error>().is_some() {
            return (Exit::No, None);
        }
    }
    (Exit::Internal, None)
}

fn judge_change(error: &ChangeError) -> (Exit, Option<String>) {
    let hint = match error {
        ChangeError::Git(error) => return judge_git(error),
        ChangeError::Exists { object, .. } => {
            let kind = object.kind().as_str().to_ascii_lowercase();
            format!("change it with `titan set {kind} …`, or delete it first")
        }
        ChangeError::Missing { object } => {
            let kind = object.kind().as_str().to_ascii_lowercase();
            format!("`titan get {kind}s` lists what there is")
        }
        ChangeError::Ambiguous { .. } => "remove one of the two files".into(),
        ChangeError::NotEmpty { .. } => "`--recursive` deletes all of it".into(),
        ChangeError::Edit { .. } | ChangeError::Encoding { .. } => {
            "change the file by hand and commit it".into()
        }
        ChangeError::Denied { .. } => "leave it to somebody who may do it".into(),
        ChangeError::Invalid { .. } => "nothing was committed; put it right and try again".into(),
        ChangeError::Unproven { .. } => "`titan host enroll` makes a new token".into(),
        ChangeError::Dirty { .. } => "commit or stash it first".into(),
        ChangeError::Path(_) => return (Exit::No, None),
    };
    (Exit::No, Some(hint))
}

/// Whether git had no user, or the wrong password, for a remote by http.
fn asks_who(detail: &str) -> bool {
    ["Authentication failed", "could not read Username", "could not read Password"]
        .iter()
        .any(|part| detail.contains(part))
}

fn judge_git(error: &GitError) -> (Exit, Option<String>) {
    match error {
        GitError::NotARepository { .. } => {
            (Exit::No, Some("`titan init` makes a config repository".into()))
        }
        GitError::UnknownRevision { .. } => {
            (Exit::No, Some("give a commit id, a branch, or something like `main~2`".into()))
        }
        mistake if mistake.code().is_some() => (Exit::No, None),
        GitError::Command { detail, .. } if asks_who(detail) => (
            Exit::Git,
            Some(
                "for a password, set `GIT_ASKPASS` to a program that answers git's questions"
                    .into(),
            ),
        ),
        other if other.recovery() == Recovery::Fix => (Exit::Git, None),
        _ => (Exit::Git, Some("this may pass: try again".into())),
    }
}
