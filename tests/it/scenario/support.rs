//! A config repository and the processes around it, to tell a story with.

use std::fs;
use std::io::{Read, Seek, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use titan::git::{CommitDraft, Repository, Signature, TreeEdit};
use titan::model::{RepoPath, Revision};

const QUICK: &str = "\
apiVersion: titan.dev/v1
kind: Fleet
spec:
  limits: {statusFlush: 50ms, reportsPerMinute: 100000}
";

/// Longest wait for anything; a story that needs longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bare config repository in a folder of its own. Edits are collected until `commit`.
pub(crate) struct ConfigRepo {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) git: Repository,
    edits: Vec<(String, Option<Vec<u8>>)>,
    clock: i64,
}

impl ConfigRepo {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("fleet.git");
        let made = Command::new("git")
            .args(["init", "--quiet", "--bare", "--initial-branch=main"])
            .arg(&path)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .status()
            .expect("git runs");
        assert!(made.success(), "git init");
        let git = Repository::open(&path).expect("it opens");
        Self { folder, path, git, edits: Vec::new(), clock: 1_700_000_000 }
    }

    /// Settings that do not make a test wait.
    pub(crate) fn quick(self) -> Self {
        self.file("titan.yaml", QUICK)
    }

    /// As [`ConfigRepo::quick`], and a commit may remove a fifth of all assignments.
    pub(crate) fn guarded(self) -> Self {
        self.file("titan.yaml", &format!("{QUICK}  guards: {{maxRemovals: 20%}}\n"))
    }

    pub(crate) fn edit(&mut self, path: &str, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.edits.push((path.to_owned(), Some(bytes.as_ref().to_vec())));
        self
    }

    pub(crate) fn remove(&mut self, path: &str) -> &mut Self {
        self.edits.push((path.to_owned(), None));
        self
    }

    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.edit(path, text);
        self
    }

    /// A directory host with labels such as `region=eu,ring=1`.
    pub(crate) fn host(mut self, path: &str, labels: &str) -> Self {
        self.edit_host(path, labels);
        self
    }

    pub(crate) fn edit_host(&mut self, path: &str, labels: &str) -> &mut Self {
        let labels = labels.replace('=', ": \"").replace(',', "\", ");
        let labels = if labels.is_empty() { labels } else { labels + "\"" };
        let text = format!(
            "apiVersion: titan.dev/v1\nkind: Host\nmetadata:\n  labels: {{{labels}}}\nspec:\n  runtime: directory\n"
        );
        self.edit(&format!("hosts/{path}.yaml"), &text)
    }

    /// The shared template `app`: two files that both show `values.version`.
    pub(crate) fn template(self) -> Self {
        self.file(
            "templates/app/template.yaml",
            "apiVersion: titan.dev/v1\nkind: Template\nspec:\n  defaults: {version: \"0\"}\n",
        )
        .file(
            "templates/app/files/a.txt.tera",
            "{{ deployment.name }} {{ values.version }} on {{ host.name }}\n",
        )
        .file("templates/app/files/sub/b.txt.tera", "{{ values.version }}\n")
    }

    /// Target `all` and workload `web` with template `app` in workspace `default`.
    pub(crate) fn workload(self) -> Self {
        self.file(
            "workspaces/default/targets/all.yaml",
            "apiVersion: titan.dev/v1\nkind: Target\nspec:\n  selector: {}\n",
        )
        .file(
            "workspaces/default/workloads/web/workload.yaml",
            "apiVersion: titan.dev/v1\nkind: Workload\nspec:\n  template: app\n",
        )
    }

    /// Deployment `default/web/<name>` on target `all`; `more` are further lines of its spec.
    pub(crate) fn deployment(mut self, name: &str, version: &str, more: &str) -> Self {
        self.edit_deployment(name, version, more);
        self
    }

    pub(crate) fn edit_deployment(&mut self, name: &str, version: &str, more: &str) -> &mut Self {
        let text = format!(
            "apiVersion: titan.dev/v1\nkind: Deployment\nspec:\n  target: all\n  values: {{version: \"{version}\"}}\n{more}"
        );
        self.edit(&format!("workspaces/default/workloads/web/deployments/{name}.yaml"), &text)
    }

    /// Commits the collected edits to `main`, as a push would, a second after the one before.
    pub(crate) fn commit(&mut self, subject: &str) -> Revision {
        self.commit_on("main", &format!("{subject}\n"))
    }

    pub(crate) fn commit_on(&mut self, branch: &str, message: &str) -> Revision {
        self.clock += 1;
        let head = self.git.branch(branch).expect("the branch is readable");
        let base = head.map(|head| self.git.commit(head).expect("the head is readable").tree);
        let mut tree = TreeEdit::new(&self.git, base);
        for (path, text) in self.edits.drain(..) {
            let path = RepoPath::new(&path).expect("a path");
            match text {
                Some(bytes) => tree.put(&path, &bytes).expect("it is put"),
                None => tree.remove(&path).expect("it is removed"),
            }
        }
        let somebody = Signature {
            name: "somebody".into(),
            email: "somebody@example.com".into(),
            seconds: self.clock,
            offset: 0,
        };
        let draft = CommitDraft {
            tree: tree.write().expect("the tree is written"),
            parents: head.into_iter().collect(),
            author: somebody.clone(),
            committer: somebody,
            message: message.to_owned(),
        };
        let new = self.git.write_commit(&draft).expect("the commit is written");
        self.git.advance(branch, head, new).expect("nobody else pushes");
        new
    }

    /// Runs `titan` with `arguments` on this fleet, to its end.
    pub(crate) fn titan(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("titan runs")
    }

    /// As [`ConfigRepo::titan`]; it must succeed. Returns what it printed.
    pub(crate) fn titan_ok(&self, arguments: &[&str]) -> String {
        let output = self.titan(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "titan {arguments:?}: {}\n{error}", output.status);
        String::from_utf8(output.stdout).expect("output is text")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_titan"));
        command
            .args(arguments)
            .env("TITAN_FLEET", &self.path)
            .env("TITAN_CACHE", self.folder.path().join("cache"))
            .env("HOME", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Starts a long-running `titan`; its log is shown when the test fails.
    pub(crate) fn spawn(&self, name: &str, arguments: &[&str]) -> Process {
        let log = self.folder.path().join(format!("{name}.log"));
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let mut command = self.command(arguments);
        command.stdout(file.try_clone().expect("the log again")).stderr(file);
        let child = command.spawn().expect("titan starts");
        Process { child, log }
    }

    /// The controller, listening on `address`.
    pub(crate) fn controller(&self, address: &str) -> Process {
        self.spawn("controller", &["controller", "--listen", address])
    }

    /// The agent of `host`, with its folder below this repository's.
    pub(crate) fn agent(&self, host: &str, address: &str, token: &str) -> Process {
        self.agent_with(host, ["--controller", address], token)
    }

    /// The same where nothing but the controller can be reached.
    pub(crate) fn agent_without_git(&self, host: &str, address: &str, token: &str) -> Process {
        self.agent_with(host, ["--server", address], token)
    }

    fn agent_with(&self, host: &str, [option, address]: [&str; 2], token: &str) -> Process {
        let destination = self.destination(host);
        let url = format!("http://{address}");
        let log = self.folder.path().join(format!("agent-{host}.log"));
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let mut command = self.command(&["agent", "--host", host, "--runtime", "directory"]);
        command
            .args(["--interval", "1s", "--heartbeat", "1s", option, &url, "--dest"])
            .arg(destination)
            .env("TITAN_HOST_TOKEN", token)
            .stdout(file.try_clone().expect("the log again"))
            .stderr(file);
        if option == "--server" {
            command.env_remove("TITAN_FLEET").current_dir("/");
        }
        Process { child: command.spawn().expect("titan starts"), log }
    }

    pub(crate) fn destination(&self, host: &str) -> PathBuf {
        self.folder.path().join("dest").join(host)
    }

    /// A new token of `host`.
    pub(crate) fn token(&self, host: &str) -> String {
        self.titan_ok(&["host", "token", host]).trim().to_owned()
    }

    /// The text of a file on a branch.
    pub(crate) fn read(&self, branch: &str, path: &str) -> Option<String> {
        let head = self.git.branch(branch).ok()??;
        let tree = self.git.commit(head).ok()?.tree;
        let bytes = self.git.file(tree, &RepoPath::new(path).expect("a path")).ok()??;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// All files of a branch, one path a line.
    pub(crate) fn tree(&self, branch: &str) -> String {
        let Some(head) = self.git.branch(branch).expect("the branch is readable") else {
            return String::new();
        };
        let tree = self.git.commit(head).expect("the head is readable").tree;
        let files = self.git.walk(tree).expect("the tree is readable");
        files.iter().map(|(path, _)| format!("{path}\n")).collect()
    }

    /// The phase of an assignment on the status branch.
    pub(crate) fn phase(&self, assignment: &str) -> Option<String> {
        let (deployment, host) = assignment.split_once('@').expect("an assignment's name");
        let text = self.read("titan/status", &format!("hosts/{host}/{deployment}.yaml"))?;
        text.lines().find_map(|line| line.strip_prefix("phase: ").map(str::to_owned))
    }

    pub(crate) fn head(&self, branch: &str) -> Option<Revision> {
        self.git.branch(branch).expect("the branch is readable")
    }

    /// `git fsck` finds nothing. It reads objects first and branches last: what a push brings meanwhile
    /// looks as if it were missing, so it is asked again. What is missing stays so.
    pub(crate) fn assert_sound(&self) {
        let mut said = String::new();
        for _ in 0..5 {
            let output = Command::new("git")
                .args(["fsck", "--full", "--strict", "--no-dangling"])
                .current_dir(&self.path)
                .output()
                .expect("git runs");
            if output.status.success() {
                return;
            }
            said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            std::thread::sleep(Duration::from_millis(300));
        }
        panic!("{said}");
    }
}

/// A running `titan`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let text = tail(&self.log, 4000);
            // The test's own output shows it beside the failure.
            let _ = writeln!(std::io::stderr(), "--- {}\n{text}", self.log.display());
        }
    }
}

fn tail(path: &Path, bytes: u64) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = fs::File::open(path) {
        let length = file.metadata().map_or(0, |data| data.len());
        let _ = file.seek(std::io::SeekFrom::Start(length.saturating_sub(bytes)));
        let _ = file.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A loopback address that nobody listens on.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").to_string()
}

/// Waits until `condition` holds, and says what was waited for when it never does.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// All files below a folder but titan's own, as `path: content` lines.
pub(crate) fn drawn(folder: &Path) -> String {
    let mut lines = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        let Ok(entries) = fs::read_dir(&current) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let below = path.strip_prefix(folder).expect("it lies below").to_owned();
            if below == Path::new(".titan") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap_or_default();
                lines.push(format!("{}: {}", below.display(), text.trim_end()));
            }
        }
    }
    lines.sort();
    lines.join("\n")
}

/// A small deterministic random number generator (SplitMix64), so that a failure can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
