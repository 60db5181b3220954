//! A config repository in a temporary folder, and titan run on it without anything of this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The folder that a test works in.
pub(super) struct World {
    dir: TempDir,
    /// Where `titan` runs, and `TITAN_FLEET` if it is set.
    cwd: PathBuf,
    fleet: Option<PathBuf>,
}

/// What a command did.
pub(super) struct Done {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl World {
    /// With an empty bare repository, named by `TITAN_FLEET`.
    pub(super) fn bare() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let fleet = dir.path().join("fleet.git");
        let world = Self { cwd: dir.path().to_path_buf(), dir, fleet: Some(fleet.clone()) };
        world.git(&["init", "--quiet", "--bare", "--initial-branch=main", "fleet.git"]);
        world
    }

    /// With a checkout that `titan init` made, as the current folder.
    pub(super) fn checkout() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut world = Self { cwd: dir.path().to_path_buf(), dir, fleet: None };
        world.titan(&["init", "fleet"]).fine();
        world.cwd = world.dir.path().join("fleet");
        world
    }

    /// A checkout with three hosts, two workspaces, and a workload with two deployments.
    pub(super) fn shop() -> Self {
        let world = Self::checkout();
        for (name, kind, rest) in SHOP {
            world.write(name, &format!("apiVersion: titan.dev/v1\nkind: {kind}\n{rest}\n"));
        }
        world.write("templates/app/files/app.txt.tera", "{{ values.size }} on {{ host.name }}\n");
        world.write("templates/app/files/_part.tera", "a partial\n");
        world.commit("a shop");
        world
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.cwd.join(name)
    }

    fn hermetic(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ann")
            .env("GIT_AUTHOR_EMAIL", "ann@example.com")
            .env("GIT_COMMITTER_NAME", "Ann")
            .env("GIT_COMMITTER_EMAIL", "ann@example.com")
            .current_dir(&self.cwd);
        if let Some(fleet) = &self.fleet {
            command.env("TITAN_FLEET", fleet);
        }
        command
    }

    /// `titan` with these arguments, not yet started.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.hermetic(env!("CARGO_BIN_EXE_titan"));
        command.args(arguments);
        command
    }

    pub(super) fn titan(&self, arguments: &[&str]) -> Done {
        Done::of(self.command(arguments).output().expect("titan runs"))
    }

    /// Runs a line of a transcript; arguments may stand in single quotes.
    pub(super) fn run(&self, line: &str) -> Done {
        let mut arguments = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => arguments.push(String::new()),
                c => arguments.last_mut().expect("there is always one").push(c),
            }
        }
        self.titan(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(super) fn git(&self, arguments: &[&str]) -> String {
        let done = Done::of(self.hermetic("git").args(arguments).output().expect("git runs"));
        assert_eq!(done.code, 0, "git {arguments:?}: {}", done.err);
        done.out
    }

    /// `git` in the bare repository.
    pub(super) fn git_fleet(&self, arguments: &[&str]) -> String {
        self.git(&[&["--git-dir", "fleet.git"], arguments].concat())
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    /// Commits everything in the checkout.
    pub(super) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", message]);
    }
}

impl Done {
    pub(super) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Asserts on the exit code; returns itself.
    #[track_caller]
    pub(super) fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(super) fn fine(self) -> Self {
        self.code(0)
    }

    /// Asserts that an error says `part`.
    #[track_caller]
    pub(super) fn says(self, part: &str) -> Self {
        assert!(self.err.contains(part), "`{part}` is not in: {}", self.err);
        self
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).expect("stdout is JSON")
    }
}

/// The files of [`World::shop`], each without its first two lines.
const SHOP: [(&str, &str, &str); 12] = [
    (
        "hosts/eu/berlin.yaml",
        "Host",
        "metadata: {labels: {region: eu, platform: docker, ring: canary}}\nspec: {runtime: docker, values: {tills: 8}}",
    ),
    (
        "hosts/eu/paris.yaml",
        "Host",
        "metadata: {labels: {region: eu, platform: kubernetes, ring: stable}}\nspec: {}",
    ),
    (
        "hosts/us/austin.yaml",
        "Host",
        "metadata: {labels: {region: us, platform: docker, ring: stable}}\nspec: {runtime: docker}",
    ),
    ("templates/app/template.yaml", "Template", "spec: {defaults: {size: 1}}"),
    (
        "workspaces/stores/workspace.yaml",
        "Workspace",
        "spec: {hosts: {matchLabels: {platform: docker}}, values: {office: main}, members: [{group: a, role: owner}]}",
    ),
    ("workspaces/stores/targets/all.yaml", "Target", "spec: {selector: {}}"),
    (
        "workspaces/stores/targets/early.yaml",
        "Target",
        "spec: {selector: {matchExpressions: [{key: ring, operator: In, values: [canary, early]}]}}",
    ),
    ("workspaces/stores/workloads/till/workload.yaml", "Workload", "spec: {template: app}"),
    (
        "workspaces/stores/workloads/till/deployments/prod.yaml",
        "Deployment",
        "spec: {target: all, values: {size: 2}}",
    ),
    (
        "workspaces/stores/workloads/till/deployments/next.yaml",
        "Deployment",
        "spec: {target: early, replicas: 1}",
    ),
    ("workspaces/web/workloads/shop/workload.yaml", "Workload", "spec: {}"),
    ("workspaces/web/workspace.yaml", "Workspace", "spec: {}"),
];

/// A folder of the package.
pub(super) fn package(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
