//! A good deployment's release, alone and in one commit with a hostile template on all hosts.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use titan::git::{CommitDraft, Repository, TreeEdit};
use titan::model::{RepoPath, Revision};

use super::Bench;
use crate::controller::Controller;
use crate::sample::Samples;

const GATE: &str = "hostile/good";
const CONFIG: &str = "main";
const HEAD: &str = "apiVersion: titan.dev/v1\nkind: ";
const TEMPLATE: &str = "templates/hostile/template.yaml";
const FILE: &str = "templates/hostile/files/a.yaml.tera";
const DEPLOYMENT: &str = "workspaces/team-1/workloads/app-000/deployments/hostile.yaml";

/// What each does, and its template.
const TEMPLATES: [(&str, &str); 4] = [
    (
        "a loop that does not end",
        "{% for x in range(end=99999) %}{% for y in range(end=99999) %}{% endfor %}{% endfor %}",
    ),
    (
        "a text that doubles",
        "{% set_global a = \"0123456789abcdef\" %}{% for x in range(end=40) %}{% set_global a = a ~ a %}{% endfor %}",
    ),
    (
        "too much output",
        "{% for x in range(end=99999) %}{{ \"0123456789012345678901234567890123456789012345678901234567890123456789\" }}{% endfor %}",
    ),
    (
        "steps that take long",
        "{% set_global a = \"0123456789abcdef\" %}{% for x in range(end=14) %}{% set_global a = a ~ a %}{% endfor %}{% for x in range(end=9999) %}{% set y = a | replace(from=\"a\", to=\"b\") | title | upper %}{% endfor %}",
    ),
];

pub(super) fn hostile(bench: &mut Bench) -> Result<()> {
    let fleet = bench.rendered(bench.report.sizes.small)?;
    // Others shall not meet what is left in it.
    let fleet = bench.scratch(&fleet, "hostile.git")?;
    if !bench.titan.tells_times {
        bench.report.absent(GATE, "this titan does not say when a deployment is rendered");
        return Ok(());
    }
    let controller = Controller::start(&bench.titan, &fleet, &["--verbose"])?;
    controller.ready(&bench.titan, &fleet)?;
    controller.checked()?;
    let release = |hostile: Option<&str>| -> Result<f64> {
        let revision = commit(&fleet, hostile)?;
        let good = controller.good()?;
        controller.rendered(&revision, Instant::now())?;
        Ok(good)
    };
    // The first meets cold caches.
    release(None)?;
    let (mut worst, mut shown) = (0.0, String::new());
    let mut all = Samples::default();
    for (what, template) in TEMPLATES {
        let mut alone = Samples::default();
        let beside = bench.times(bench.runs).take(|| {
            alone.push(release(None)?);
            release(Some(template))
        })?;
        let (alone, beside) = (alone.median(), beside.median());
        bench.say(&format!("{what}: {beside:.1} ms, alone {alone:.1} ms"));
        all.push(beside / alone);
        if beside / alone > worst {
            worst = beside / alone;
            shown = format!("{what}: {beside:.1} ms ÷ {alone:.1} ms");
        }
    }
    drop(controller);
    std::fs::remove_dir_all(&fleet)?;
    bench.report.measured(GATE, worst, shown, &all);
    Ok(())
}

/// Commits another release of a deployment that all hosts run; in the same commit the hostile template
/// comes, another than before, or goes.
fn commit(fleet: &Path, hostile: Option<&str>) -> Result<String> {
    let git = Repository::open(fleet)?;
    let before = git.branch(CONFIG)?.context("there is a config branch")?;
    let info = git.commit(before)?;
    let mark = before.to_string();
    let mut edit = TreeEdit::new(&git, Some(info.tree));
    let path = good(&git, before)?;
    let text = git.file(info.tree, &path)?.context("it was listed")?;
    let text = String::from_utf8(text.to_vec())?;
    let (kept, _) = text.rsplit_once(':').context("it ends with its image's tag")?;
    edit.put(&path, format!("{kept}:{}\n", &mark[..10]).as_bytes())?;
    let paths = [TEMPLATE, FILE, DEPLOYMENT].map(RepoPath::new);
    let [template, file, deployment] = paths;
    let (template, file, deployment) = (template?, file?, deployment?);
    match hostile {
        Some(hostile) => {
            edit.put(&template, format!("{HEAD}Template\nspec: {{}}\n").as_bytes())?;
            edit.put(&file, format!("# {mark}\n{hostile}\n").as_bytes())?;
            let spec = "spec: {target: all, template: hostile}";
            edit.put(&deployment, format!("{HEAD}Deployment\n{spec}\n").as_bytes())?;
        }
        None => [template, file, deployment].iter().try_for_each(|path| edit.remove(path))?,
    }
    let tree = edit.write()?;
    let mut author = info.committer;
    author.seconds += 1;
    let draft = CommitDraft {
        tree,
        parents: vec![before],
        author: author.clone(),
        committer: author,
        message: "a release\n".into(),
    };
    let objects = git.begin();
    let revision = objects.repository().write_commit(&draft)?;
    objects.finish()?;
    git.advance(CONFIG, Some(before), revision)?;
    Ok(revision.to_string())
}

/// The last deployment that runs on all hosts.
fn good(git: &Repository, revision: Revision) -> Result<RepoPath> {
    let top = RepoPath::new("workspaces")?;
    let folder = git.entry(git.commit(revision)?.tree, &top)?.context("there are workspaces")?;
    let mut files = git.walk(folder.id)?.into_iter().map(|(path, _)| path);
    let path = files.rfind(|path| path.file_name() == "prod.yaml");
    Ok(top.join(path.context("a deployment is called `prod`")?.as_str())?)
}
