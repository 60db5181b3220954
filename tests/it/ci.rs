//! The CI jobs of `examples/ci`: what they run is there, and they give away no rights.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn job(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(path);
    let text = std::fs::read_to_string(path).expect("the example is there");
    serde_saphyr::from_str(&text).expect("it is YAML")
}

fn github() -> Value {
    job("github/titan-plan.yml")
}

fn gitlab() -> Value {
    job("gitlab/titan-plan.yml")
}

/// The scripts of a job.
fn scripts(job: &Value) -> Vec<String> {
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(|line| line.as_str().map(str::to_owned)).collect()
    };
    let steps = job["steps"].as_array().into_iter().flatten();
    let runs = steps.filter_map(|step| step["run"].as_str().map(str::to_owned));
    runs.chain(texts(&job["before_script"])).chain(texts(&job["script"])).collect()
}

/// A clone of a fleet, on the merge of a branch, as the jobs see it.
struct Checkout {
    dir: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let checkout = Self { dir: tempfile::tempdir().expect("a folder") };
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/retail");
        let setup = r#"
            cp -R "$EXAMPLE" origin && cd origin
            git init --quiet --initial-branch=main . && git add --all && git commit --quiet -m fleet
            titan reconcile
            git checkout --quiet -b change
            titan set deployment web/storefront/prod spec.values.replicas=9
            git checkout --quiet main
            cd .. && git clone --quiet origin checkout && cd checkout
            git merge --quiet --no-ff -m merge origin/change
        "#;
        let output = checkout.sh(setup, &[("EXAMPLE", &examples.display().to_string())]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        checkout
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("checkout")
    }

    fn sh(&self, script: &str, env: &[(&str, &str)]) -> Output {
        let bin = Path::new(env!("CARGO_BIN_EXE_titan")).parent().expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let stubs = self.dir.path().join("stubs");
        let folder = if self.path().is_dir() { self.path() } else { self.dir.path().to_owned() };
        Command::new("sh")
            .args(["-euc", script])
            .current_dir(folder)
            .env_clear()
            .env("PATH", format!("{}:{}:{path}", stubs.display(), bin.display()))
            .env("HOME", self.dir.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Ann")))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "a@example.com")))
            .env("GITHUB_STEP_SUMMARY", self.dir.path().join("summary.md"))
            .envs(env.iter().copied())
            .output()
            .expect("sh runs")
    }

    /// A program that notes its arguments, and answers with `answer`.
    fn stub(&self, name: &str, answer: &str) {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.dir.path().join("stubs");
        std::fs::create_dir_all(&folder).expect("a folder");
        let log = self.dir.path().join("calls");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{answer}\n", log.display());
        std::fs::write(folder.join(name), text).expect("a file");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.join(name), mode).expect("it may be run");
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default()
    }

    #[track_caller]
    fn runs(&self, scripts: &[String], env: &[(&str, &str)]) {
        for script in scripts {
            let output = self.sh(script, env);
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{script}: {}\n{error}", output.status);
        }
    }

    fn has_plan(&self) {
        for name in ["comment.md", "plan.md"] {
            let text = std::fs::read_to_string(self.path().join(name)).expect("it was written");
            assert!(text.starts_with("<!-- titan plan -->\n"), "{text}");
            assert!(text.contains("replicas 4 → 9"), "{text}");
        }
    }
}

#[test]
fn the_job_for_github_runs() {
    let checkout = Checkout::new();
    let (job, runs) = (github(), scripts(&github()["jobs"]["plan"]));
    assert_eq!(runs.iter().filter(|run| run.starts_with("titan ")).count(), 2);
    checkout.runs(&runs, &[]);
    checkout.has_plan();
    let summary = std::fs::read_to_string(checkout.dir.path().join("summary.md"));
    assert!(summary.expect("it was written").contains("titan plan"));

    let env =
        [("COMMENTS", "repos/o/r/issues/7/comments"), ("COMMENT", "repos/o/r/issues/comments")];
    let comment = scripts(&job["jobs"]["comment"]);
    checkout.stub("gh", ":");
    checkout.runs(&comment, &env);
    assert!(checkout.calls().contains("--method POST repos/o/r/issues/7/comments --field body=@"));
    checkout.stub("gh", "case \"$*\" in *--jq*) echo 41; echo 42;; esac");
    checkout.runs(&comment, &env);
    assert!(
        checkout.calls().contains("--method PATCH repos/o/r/issues/comments/41 --field body=@")
    );
}

#[test]
fn the_job_for_github_gives_strangers_nothing() {
    let job = github();
    assert_eq!(job["on"], serde_json::json!({"pull_request": null}));
    assert_eq!(job["permissions"], serde_json::json!({}));
    let jobs = &job["jobs"];
    assert_eq!(jobs["plan"]["permissions"], serde_json::json!({"contents": "read"}));
    assert_eq!(jobs["comment"]["permissions"], serde_json::json!({"pull-requests": "write"}));
    let condition = jobs["comment"]["if"].as_str().expect("it has a condition");
    assert!(condition.contains("head.repo.full_name == github.repository"));
    let steps = ["plan", "comment"].map(|name| jobs[name]["steps"].as_array().expect("steps"));
    for step in steps.into_iter().flatten() {
        if let Some(uses) = step["uses"].as_str() {
            let (_, version) = uses.split_once('@').expect("a version");
            let hash = version.len() == 40 && version.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(hash, "`{uses}` is not pinned");
        }
        // What a stranger may name must not become a part of a script.
        let run = step["run"].as_str().unwrap_or_default();
        assert!(!run.contains("${{"), "{run}");
    }
    let checkout = &jobs["plan"]["steps"][0]["with"];
    assert_eq!(checkout["persist-credentials"], false);
    assert_eq!(checkout["fetch-depth"], 0);
}

#[test]
fn the_job_for_gitlab_runs() {
    let checkout = Checkout::new();
    let job = gitlab();
    let head = checkout.sh("git rev-parse origin/change", &[]).stdout;
    let head = String::from_utf8(head).expect("an id");
    let env = [
        ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"),
        ("CI_COMMIT_SHA", head.trim()),
        ("CI_API_V4_URL", "https://gitlab.example/api/v4"),
        ("CI_PROJECT_ID", "3"),
        ("CI_MERGE_REQUEST_IID", "7"),
        ("TITAN_COMMENT_TOKEN", "secret-1"),
    ];
    checkout.runs(&scripts(&job["titan-validate"]), &env);
    checkout.runs(&scripts(&job["titan-plan"]), &env);
    checkout.has_plan();
    assert_eq!(job["titan-plan"]["variables"]["GIT_DEPTH"], "0");

    checkout.stub("apk", ":");
    checkout.stub("jq", "case \"$*\" in .id) echo 5;; *body:*) echo '{}';; esac; cat > /dev/null");
    checkout.stub("curl", ":");
    let comment = scripts(&job["titan-comment"]);
    checkout.runs(&comment, &env);
    let url = "https://gitlab.example/api/v4/projects/3/merge_requests/7/notes";
    let calls = checkout.calls();
    assert!(calls.contains(&format!("--request POST --json @note.json {url}\n")), "{calls}");
    checkout.stub("jq", "cat > /dev/null; echo 5");
    checkout.runs(&comment, &env);
    let calls = checkout.calls();
    assert!(calls.contains(&format!("--request PUT --json @note.json {url}/5\n")), "{calls}");
    assert!(!calls.contains("secret-1"), "the token is in no process list");
    assert!(!checkout.path().join("token.header").exists());
}

/// No other job sees the token, and the one that does runs nothing of the merge request.
#[test]
fn the_job_for_gitlab_gives_strangers_nothing() {
    let jobs = gitlab();
    let jobs = jobs.as_object().expect("jobs");
    let with_token: BTreeSet<&str> = jobs
        .iter()
        .filter(|(_, job)| scripts(job).concat().contains("TITAN_COMMENT_TOKEN"))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(with_token, BTreeSet::from(["titan-comment"]));
    assert_eq!(jobs["titan-comment"]["variables"]["GIT_STRATEGY"], "none");
}
