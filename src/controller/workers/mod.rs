//! Rendering that cannot hurt: worker processes of this binary, one for each core, that may be killed.
//!
//! ```text
//!  Fleet, Pairs ─▶ [call] ─▶ [queue] ─▶ [share] ─▶ [pool] ─ [process] ══ frames ══ [serve] ─ [sandbox]
//!                    │                  whole hosts                  (protocol)      │
//!  Outcomes ◀────────┤ ids, diagnostics, [verdict]                       [work]: render → chunk
//!  Objects ◀─────────┘ chunks
//! ```
//!
//! A template is somebody's program. [`crate::render`] counts its steps and its output; what cannot be
//! counted there ends here. A worker has no environment, files or network and little memory; one that
//! takes too much time is killed. The deployment that it was rendering then is told so (`verdict`),
//! and a fresh worker renders the rest.
//!
//! Workers stay, and remember the templates and deployments that they were sent: a change of one host
//! costs one small frame. Where one dies for another reason, its share is rendered by the next; where
//! none can be started there is an error, and nothing is rendered outside of the sandbox.
//!
//! `titan render`, `validate`, `plan` and the checks of a change render in their own process
//! ([`crate::plan`]), with what `render` counts: who runs them on a laptop or in CI has chosen the
//! repository, and gives it no more than an editor or a build would. A machine that renders for others
//! is a controller's.

mod call;
mod pool;
mod process;
mod protocol;
mod queue;
mod sandbox;
mod serve;
mod share;
mod verdict;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

pub use process::SUBCOMMAND;
pub use sandbox::{Confinement, Probe};
pub use serve::serve;

use crate::git::{GitError, Objects};
use crate::model::{
    AssignmentRef, DeploymentRef, Diagnostic, Fleet, Limits, Name, Pairs, TreeId, Trees,
};
use crate::parallel::processors;
use call::Call;
use pool::Pool;
use queue::Proven;

/// What rendering a pair came to: the tree id of its folder (the empty tree where there is no file),
/// or what is wrong.
type Outcome = Result<TreeId, Vec<Diagnostic>>;

/// What all pairs came to: each is in one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// The tree of each folder; the empty tree where there is no file.
    pub made: Trees,
    /// What is wrong.
    pub failed: BTreeMap<AssignmentRef, Vec<Diagnostic>>,
}

impl Outcomes {
    fn add(&mut self, deployment: &DeploymentRef, host: &Name, outcome: Outcome) {
        let tree = match outcome {
            Ok(tree) => Some(tree),
            Err(problems) => {
                self.failed.insert(deployment.on(host), problems);
                None
            }
        };
        self.made.set(deployment, host, tree);
    }

    /// Takes over what other pairs came to.
    fn append(&mut self, other: Self) {
        self.made.append(other.made);
        self.failed.extend(other.failed);
    }
}

/// Where what is made goes.
#[derive(Debug, Clone, Copy)]
pub struct Onto<'a> {
    pub objects: &'a Objects,
    /// What the branch has: it is there, and not written again.
    pub there: &'a Trees,
}

/// Those who render; kept from one call to the next. Dropped, their processes end.
#[derive(Debug)]
pub struct Workers {
    count: usize,
    /// `None`: threads of this process.
    pool: Option<Pool>,
    proven: Proven,
}

impl Workers {
    /// Processes of this very binary, even if the file was replaced in the meantime. It must answer
    /// to [`SUBCOMMAND`] by calling [`serve()`]. They start when they are needed.
    ///
    /// # Errors
    /// When the system does not say which binary this is.
    pub fn processes() -> io::Result<Self> {
        let own = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe()?
        };
        Ok(Self::processes_of(own))
    }

    /// Processes of another binary of titan.
    #[must_use]
    pub fn processes_of(program: PathBuf) -> Self {
        let count = processors();
        Self { count, pool: Some(Pool::new(program, count)), proven: Proven::default() }
    }

    /// Threads of this process, one for each core: nothing holds a template back but the steps and
    /// bytes that [`crate::render`] counts. For tests, and for people who render their own templates.
    #[must_use]
    pub fn threads() -> Self {
        Self { count: processors(), pool: None, proven: Proven::default() }
    }

    /// Starts a process that tries to break out: what holds it, and what it could do all the same.
    /// `None` where there are threads only.
    ///
    /// # Errors
    /// When it cannot be started, or does not answer.
    pub fn probe(&self) -> io::Result<Option<(Confinement, Probe)>> {
        let memory = Limits::default().render_memory;
        self.pool.as_ref().map(|pool| pool.probe(memory)).transpose()
    }

    /// What is wrong with `pairs`, each problem once: for a change that is not committed yet.
    ///
    /// # Errors
    /// As [`Workers::render`].
    pub fn problems(&self, fleet: &Fleet, pairs: &Pairs) -> Result<Vec<Diagnostic>, GitError> {
        let mut known = BTreeSet::new();
        let all = self.render(fleet, pairs, None)?.failed.into_values().flatten();
        Ok(all.filter(|problem| known.insert(problem.to_string())).collect())
    }

    /// Renders `pairs`, all of which are of `fleet`. Files and trees go `onto` a branch; without one only
    /// ids are wanted.
    ///
    /// # Errors
    /// When objects cannot be written, or processes cannot be started: rendering in this process
    /// instead would give up what they are there for. What is wrong with a template is an outcome.
    ///
    /// # Panics
    /// When a pair is not of `fleet`.
    pub fn render(
        &self,
        fleet: &Fleet,
        pairs: &Pairs,
        onto: Option<Onto<'_>>,
    ) -> Result<Outcomes, GitError> {
        let call = Call::new(fleet, onto, self.pool.as_ref(), &self.proven);
        call.render(pairs, self.count)
    }
}
