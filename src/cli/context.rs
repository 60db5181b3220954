//! Finding and opening the fleet's repository, the same way for every command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;

use super::exit::Failure;
use super::output::{Color, Format, Output};
use crate::change::{ChangeError, Edit, Mode, Options, Proposed, propose};
use crate::controller::workers::Workers;
use crate::git::{FleetRepository, Location, Repository, settings_at};
use crate::model::{Fleet, Limits, ObjectRef, Revision, SourceFile, Timestamp};
use crate::observe::view::{Scope, StatusView};
use crate::parse::{self, Parsed, parse};
use crate::publish::{self, Rendered};

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The config repository: a path or a URL [default: the repository around the current folder]
    #[arg(
        long,
        global = true,
        env = "TITAN_FLEET",
        hide_env_values = true,
        value_name = "PATH|URL"
    )]
    pub(crate) fleet: Option<String>,
    /// The config branch [default: the branch that HEAD names]
    #[arg(long, global = true, env = "TITAN_BRANCH", hide_env_values = true)]
    pub(crate) branch: Option<String>,
    /// Form of the result
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORM",
        hide_possible_values = false
    )]
    pub(crate) output: Format,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
    /// Say more; twice for even more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// What a command needs of the world.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
    pub(crate) now: Timestamp,
}

/// The config branch, as it is now.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) repository: FleetRepository,
    pub(crate) files: Vec<SourceFile>,
    pub(crate) parsed: Parsed,
}

impl Context {
    #[must_use]
    pub(crate) fn new(mut global: Global) -> Self {
        // An empty variable is as good as none.
        global.fleet = global.fleet.filter(|fleet| !fleet.is_empty());
        global.branch = global.branch.filter(|branch| !branch.is_empty());
        let output = Output { format: global.output, quiet: global.quiet, verbose: global.verbose };
        Self { global, output, now: Timestamp::now() }
    }

    /// Opens the repository that `--fleet`, `TITAN_FLEET` or the current folder name.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub(crate) fn open(&self) -> Result<FleetRepository> {
        let location = self.location()?;
        self.open_at(&location)
    }

    /// Where the repository is that `--fleet`, `TITAN_FLEET` or the current folder name.
    ///
    /// # Errors
    /// When none of them names one.
    pub(crate) fn location(&self) -> Result<Location> {
        match &self.global.fleet {
            Some(fleet) => Ok(fleet.parse()?),
            None => self.around(),
        }
    }

    /// Opens the repository at `location`, on the branch that was asked for.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn open_at(&self, location: &Location) -> Result<FleetRepository> {
        let branch = self.global.branch.as_deref();
        Ok(FleetRepository::open(location, branch, &cache_folder(), &Limits::default())?)
    }

    /// The repository around the current folder, if it is a fleet's.
    fn around(&self) -> Result<Location> {
        const HINT: &str =
            "give `--fleet <path or URL>`, set `TITAN_FLEET`, or make one with `titan init`";
        let none =
            || Failure::no("there is no config repository around the current folder").hint(HINT);
        let repository = Repository::discover(Path::new(".")).map_err(|_| none())?;
        let root = repository.worktree().unwrap_or_else(|| repository.git_dir()).to_path_buf();
        // Some other project's repository must not become a fleet by accident.
        let branch = match &self.global.branch {
            Some(branch) => Some(branch.clone()),
            None => repository.head_branch()?,
        };
        let head = branch.map(|branch| repository.branch(&branch)).transpose()?.flatten();
        if let Some(head) = head {
            let tree = repository.commit(head)?.tree;
            let marks = ["titan.yaml", "hosts", "workspaces"];
            let entries = repository.entries(tree)?;
            if !entries.iter().any(|entry| marks.contains(&entry.name.as_str())) {
                let message = format!("the repository `{}` holds no fleet", root.display());
                return Err(Failure::no(message).hint(HINT).into());
            }
        }
        Ok(Location::Local(root))
    }

    /// Reads the config branch.
    ///
    /// # Errors
    /// When there is no repository, or it cannot be read.
    pub(crate) fn config(&self) -> Result<Config> {
        let repository = self.open()?;
        let revision = repository.repository.branch(&repository.branch)?;
        self.config_at(repository, revision)
    }

    /// Reads the config branch at a revision.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn config_at(
        &self,
        repository: FleetRepository,
        revision: Option<Revision>,
    ) -> Result<Config> {
        let git = &repository.repository;
        let files =
            revision.map(|revision| git.source_files(revision, parse::limits)).transpose()?;
        let files = files.unwrap_or_default();
        let mut parsed = parse(revision, &files);
        if let Some(revision) = revision.filter(|_| parsed.fleet.held.all.is_some()) {
            Arc::make_mut(&mut parsed.fleet).settings = settings_at(git, revision)?;
        }
        Ok(Config { repository, files, parsed })
    }

    /// Commits edits, and says what happened.
    ///
    /// # Errors
    /// When the change was not made.
    pub(crate) fn commit(
        &self,
        repository: &FleetRepository,
        edits: &[Edit],
        message: &str,
    ) -> Result<Proposed, ChangeError> {
        self.propose(repository, edits, message, Mode::Commit)
    }

    /// Commits edits or, in a dry run, tells what it would commit.
    ///
    /// # Errors
    /// When the change cannot be made.
    pub(crate) fn propose(
        &self,
        repository: &FleetRepository,
        edits: &[Edit],
        message: &str,
        mode: Mode,
    ) -> Result<Proposed, ChangeError> {
        let author = repository.repository.user(self.now);
        let committer = author.clone();
        let message = message.to_owned();
        let options = Options { author, committer, message, trailers: Vec::new(), mode };
        propose(repository, edits, &options)
    }
}

/// Those who render what others wrote, each in a process that can do no harm.
///
/// # Errors
/// When the system does not say which program this is.
pub(super) fn workers() -> Result<Workers> {
    Workers::processes().context("cannot find titan's own program, which renders")
}

impl Config {
    #[must_use]
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.parsed.fleet
    }

    /// What is on the rendered branch.
    ///
    /// # Errors
    /// When the branch cannot be read.
    pub(crate) fn rendered(&self) -> Result<Rendered> {
        let repository = &self.repository.repository;
        let branch = &self.fleet().settings.branches.rendered;
        let revision = repository.branch(branch)?;
        if revision.is_none() {
            return Ok(Rendered::default());
        }
        publish::read(repository, revision).with_context(|| format!("cannot read `{branch}`"))
    }

    /// What the status branch says about a host or a deployment; of another object, nothing.
    ///
    /// # Errors
    /// When the branch cannot be read.
    pub(crate) fn status(&self, of: &ObjectRef) -> Result<StatusView> {
        match of {
            ObjectRef::Host(name) => self.statuses(&Scope::Host(name.clone())),
            ObjectRef::Deployment(id) => self.statuses(&Scope::Deployment(id.clone())),
            _ => Ok(StatusView::default()),
        }
    }

    /// What the status branch says.
    ///
    /// # Errors
    /// When the branch cannot be read.
    pub(crate) fn statuses(&self, scope: &Scope) -> Result<StatusView> {
        let repository = &self.repository.repository;
        let branch = &self.fleet().settings.branches.status;
        let head = repository.branch(branch)?;
        let read = StatusView::read(repository, head, scope);
        read.with_context(|| format!("cannot read `{branch}`"))
    }

    /// Says that something is wrong, without saying what.
    pub(crate) fn mention_errors(&self, output: &Output) {
        let errors = self.parsed.diagnostics.iter().filter(|found| found.is_error()).count();
        if errors > 0 {
            let them = if errors == 1 { "error" } else { "errors" };
            output.warn(&format!(
                "{errors} {them} on the config branch; `titan validate` shows more"
            ));
        }
    }
}

/// Where clones of remotes are kept.
#[must_use]
pub(crate) fn cache_folder() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("TITAN_CACHE") {
        return folder.into();
    }
    let base = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("titan")
}
