//! The fleet of the demo: a folder, a repository and processes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use include_dir::{Dir, include_dir};

use crate::cli::exit::Failure;
use crate::git::{CommitDraft, CommitInfo, Repository, Signature, TreeEdit};
use crate::model::{DeploymentRef, Name, Phase, RepoPath, Revision, Timestamp};
use crate::observe::view::{Scope, StatusView};

static EXAMPLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/examples/retail");

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Settings under which nobody has to wait: statuses are written soon, and reports are not rationed.
const QUICK: &str = "    statusFlush: 100ms\n    reportsPerMinute: 6000\n";

pub(super) struct World {
    folder: PathBuf,
    pub(super) fleet: PathBuf,
    git: Repository,
    hosts: Vec<Name>,
    address: String,
    children: Vec<Child>,
}

impl World {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
        let empty = fs::read_dir(folder)?.next().is_none();
        if !empty {
            return Err(Failure::no(format!("`{}` is not empty", folder.display())).into());
        }
        let fleet = folder.join("fleet.git");
        let git = Repository::create_bare(&fleet, "main")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let folder = folder.to_owned();
        Ok(Self { folder, fleet, git, hosts: Vec::new(), address, children: Vec::new() })
    }

    /// The example's files as the first commit; every host becomes a directory.
    pub(super) fn fill(&mut self) -> Result<()> {
        let mut files = Vec::new();
        collect(&EXAMPLE, &mut files);
        let mut edit = TreeEdit::new(&self.git, None);
        for (path, bytes) in files {
            let path = RepoPath::new(&path)?;
            let text = String::from_utf8(bytes.to_vec()).context("the example is text")?;
            let text = match path.as_str() {
                "titan.yaml" => quick(&text),
                host if host.starts_with("hosts/") && host.ends_with(".yaml") => {
                    let name = path.file_name().trim_end_matches(".yaml");
                    self.hosts.push(Name::new(name)?);
                    with_directory_runtime(&text)
                }
                _ => text,
            };
            edit.put(&path, text.as_bytes())?;
        }
        let tree = edit.write()?;
        self.hosts.sort();
        self.commit_tree(tree, "The fleet")?;
        Ok(())
    }

    /// Starts the controller and all agents.
    pub(super) fn start(&mut self) -> Result<()> {
        let address = self.address.clone();
        let mut tokens = Vec::new();
        for host in &self.hosts {
            let output = self.titan(&["host", "token", host.as_str()])?;
            ensure!(
                output.status.success(),
                "no token: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            tokens.push(String::from_utf8(output.stdout)?.trim().to_owned());
        }
        let controller = self.spawn("controller", &["controller", "--listen", &address], "")?;
        self.children.push(controller);
        for (host, token) in self.hosts.clone().iter().zip(&tokens) {
            let url = format!("http://{address}");
            let destination = self.folder.join("hosts").join(host.as_str());
            let destination = destination.to_str().context("the folder's name is text")?;
            let agent = self.spawn(
                &format!("agent-{host}"),
                &[
                    "agent",
                    "--host",
                    host.as_str(),
                    "--runtime",
                    "directory",
                    "--dest",
                    destination,
                    "--controller",
                    &url,
                ],
                token,
            )?;
            self.children.push(agent);
        }
        Ok(())
    }

    fn spawn(&self, name: &str, arguments: &[&str], token: &str) -> Result<Child> {
        let log = fs::File::create(self.folder.join(format!("{name}.log")))?;
        let mut command = self.command(arguments)?;
        command.env("TITAN_HOST_TOKEN", token).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("cannot start `titan {}`", arguments[0]))
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("TITAN_FLEET", &self.fleet)
            .env("TITAN_LOG", "titan=info")
            .env_remove("TITAN_BRANCH")
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a command to its end.
    pub(super) fn titan(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)?.output().context("cannot run titan")
    }

    /// A commit as a push brings it: nobody has checked it.
    pub(super) fn commit(&self, path: &str, text: &str, subject: &str) -> Result<Revision> {
        let head = self.head("main")?;
        let mut edit = TreeEdit::new(&self.git, Some(self.git.commit(head)?.tree));
        edit.put(&RepoPath::new(path)?, text.as_bytes())?;
        self.commit_tree(edit.write()?, subject)
    }

    fn commit_tree(&self, tree: crate::model::TreeId, subject: &str) -> Result<Revision> {
        let head = self.git.branch("main")?;
        let somebody = Signature {
            name: "Sam Developer".into(),
            email: "sam@example.com".into(),
            seconds: Timestamp::now().as_second(),
            offset: 0,
        };
        let new = self.git.write_commit(&CommitDraft {
            tree,
            parents: head.into_iter().collect(),
            author: somebody.clone(),
            committer: somebody,
            message: format!("{subject}\n"),
        })?;
        self.git.advance("main", head, new)?;
        Ok(new)
    }

    fn head(&self, branch: &str) -> Result<Revision> {
        self.git.branch(branch)?.with_context(|| format!("there is no branch `{branch}`"))
    }

    pub(super) fn rendered(&self) -> Result<Revision> {
        self.head("titan/rendered")
    }

    pub(super) fn heads(&self) -> Result<[Revision; 3]> {
        Ok([self.head("main")?, self.rendered()?, self.head("titan/status")?])
    }

    /// The text of a file at the head of the config branch.
    pub(super) fn file(&self, path: &str) -> Result<String> {
        let tree = self.git.commit(self.head("main")?)?.tree;
        let bytes = self.git.file(tree, &RepoPath::new(path)?)?;
        let bytes = bytes.with_context(|| format!("there is no `{path}`"))?;
        Ok(String::from_utf8(bytes.to_vec())?)
    }

    pub(super) fn changed(&self, before: Revision, after: Revision) -> Result<Vec<RepoPath>> {
        let tree = |revision| self.git.commit(revision).map(|commit| commit.tree);
        Ok(self.git.changed_paths(Some(tree(before)?), Some(tree(after)?))?)
    }

    pub(super) fn log(&self, branch: &str, count: usize) -> Result<Vec<CommitInfo>> {
        let ids = self.git.first_parents(self.head(branch)?, None, count)?;
        Ok(ids.into_iter().map(|id| self.git.commit(id)).collect::<Result<_, _>>()?)
    }

    fn view(&self, scope: &Scope) -> Result<StatusView> {
        Ok(StatusView::read(&self.git, self.git.branch("titan/status")?, scope)?)
    }

    /// Whether every assignment is deployed, at the newest source commit.
    pub(super) fn is_deployed(&self) -> Result<bool> {
        let view = self.view(&Scope::Fleet)?;
        let deployed = view.assignments.iter().all(|status| status.phase == Phase::Deployed);
        Ok(deployed && !view.assignments.is_empty() && self.is_seen()?)
    }

    /// Whether the controller has taken the newest source commit into account.
    pub(super) fn is_seen(&self) -> Result<bool> {
        let view = self.view(&Scope::Host(self.hosts[0].clone()))?;
        Ok(view.fleet.map(|fleet| fleet.source) == self.git.branch("main")?)
    }

    /// Whether a deployment runs everywhere as `source` wants it.
    pub(super) fn is_deployed_from(&self, deployment: &str, source: Revision) -> Result<bool> {
        let deployment: DeploymentRef = deployment.parse()?;
        let view = self.view(&Scope::Deployment(deployment))?;
        let done = view
            .assignments
            .iter()
            .all(|status| status.phase == Phase::Deployed && status.desired.source == source);
        Ok(done && !view.assignments.is_empty())
    }

    /// Waits until `condition` holds.
    pub(super) fn until(
        &mut self,
        what: &str,
        condition: impl Fn(&Self) -> Result<bool>,
    ) -> Result<()> {
        let start = Instant::now();
        while !condition(self)? {
            if start.elapsed() > PATIENCE {
                bail!("waited in vain until {what}");
            }
            if let Some(child) = self.children.first_mut()
                && let Some(status) = child.try_wait()?
            {
                bail!("the controller has ended ({status})");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends the processes: politely, then not.
    pub(super) fn stop(&mut self) {
        for child in &self.children {
            if let Some(id) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
            }
        }
        let end = Instant::now() + Duration::from_secs(5);
        for mut child in self.children.drain(..) {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn logs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "log")).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
    }
}

fn collect<'a>(folder: &'a Dir<'_>, files: &mut Vec<(String, &'a [u8])>) {
    for file in folder.files() {
        files.push((file.path().to_string_lossy().into_owned(), file.contents()));
    }
    folder.dirs().for_each(|below| collect(below, files));
}

/// The settings with quick limits, whether they had limits or not.
fn quick(text: &str) -> String {
    match text.split_once("  limits:\n") {
        Some((before, after)) => format!("{before}  limits:\n{QUICK}{after}"),
        None => format!("{}\n  limits:\n{QUICK}", text.trim_end()),
    }
}

fn with_directory_runtime(text: &str) -> String {
    let lines = text.lines().map(|line| match line.trim_start().starts_with("runtime:") {
        true => format!("{}runtime: directory\n", &line[..line.len() - line.trim_start().len()]),
        false => format!("{line}\n"),
    });
    lines.collect()
}
