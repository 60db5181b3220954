//! `titan bench change`.

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::random::Random;
use super::write_commit;
use crate::change::edit::{FieldEdit, apply, field};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::git::{Repository, TreeEdit};
use crate::model::{RepoPath, Revision, TreeId};

/// Commit changes as people make them, to a fleet of `titan bench fleet`
///
/// What is changed is chosen by the commit before, so that the same calls give the same history. Nothing
/// is checked. Several commits arrive together: the branch moves once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  titan bench change move --fleet /tmp/fleet.git
  titan bench change mixed --commits 10 --fleet /tmp/fleet.git")]
pub(crate) struct Args {
    /// What changes
    #[arg(value_enum)]
    kind: Kind,
    /// How many commits
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    commits: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A value of one host that the deployments of one template show
    Value,
    /// A value of one host that all its deployments show
    Host,
    /// The ring of one host: some of its deployments come from other targets then
    Move,
    /// A new host
    Add,
    /// A host less
    Remove,
    /// The image of one deployment, on all its hosts
    Deployment,
    /// A comment in the file of a host: nothing that is rendered
    Nothing,
    /// One commit after the other: a deployment, then nine of single hosts
    Mixed,
}

impl Kind {
    /// The kind of the commit with this number, of several.
    fn at(self, number: u32) -> Self {
        const MIXED: [Kind; 10] = [
            Kind::Deployment,
            Kind::Value,
            Kind::Move,
            Kind::Host,
            Kind::Add,
            Kind::Value,
            Kind::Remove,
            Kind::Host,
            Kind::Move,
            Kind::Value,
        ];
        let place = usize::try_from(number % 10).expect("because it is small");
        if self == Self::Mixed { MIXED[place] } else { self }
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let fleet = context.open()?;
    let git = &fleet.repository;
    // Nobody else changes the files of a checkout meanwhile.
    let _held = git.hold_worktree()?;
    let branch = &fleet.branch;
    let before = git.branch(branch)?;
    let start = before.ok_or_else(|| Failure::no(format!("branch `{branch}` has no commit")))?;
    let objects = git.begin();
    let (mut head, mut paths, mut told) = (start, Vec::new(), Vec::new());
    for number in 0..args.commits {
        let mut step = Step::after(objects.repository(), head)?;
        let subject = step.change(args.kind.at(number))?;
        let tree = step.edit.write()?;
        head = write_commit(objects.repository(), tree, Some(head), &subject)?;
        told.push(json!({"revision": head, "subject": subject}));
        paths.extend(step.paths);
    }
    objects.finish()?;
    git.advance(branch, before, head)?;
    if git.worktree().is_some() {
        git.check_out(head, &paths)?;
    }
    if !context.output.value(&json!({"revision": head, "branch": branch, "commits": told}))? {
        context.output.print(&format!("{branch} {head}\n"))?;
    }
    Ok(Exit::Fine)
}

/// One commit in the making.
struct Step<'a> {
    git: &'a Repository,
    tree: TreeId,
    edit: TreeEdit<'a>,
    paths: Vec<RepoPath>,
    random: Random,
    /// In every value that is set: none was there before.
    mark: String,
}

impl<'a> Step<'a> {
    fn after(git: &'a Repository, head: Revision) -> Result<Self> {
        let tree = git.commit(head)?.tree;
        let head = head.to_string();
        Ok(Self {
            git,
            tree,
            edit: TreeEdit::new(git, Some(tree)),
            paths: Vec::new(),
            random: Random::of(0, &head),
            mark: head[..10].to_owned(),
        })
    }

    /// Makes the change; returns the commit's subject.
    fn change(&mut self, kind: Kind) -> Result<String> {
        let mark = self.mark.clone();
        if kind == Kind::Deployment {
            let (path, text) = self.deployment()?;
            let text = set(&text, IMAGE, &format!("registry.example/bench:{mark}"))?;
            self.put(&path, &text)?;
            return Ok(format!("set the image of {path}"));
        }
        let (path, text) = self.host()?;
        let name = path.file_name().trim_end_matches(".yaml").to_owned();
        match kind {
            Kind::Value => self.put(&path, &set(&text, "spec.values.note", &mark)?)?,
            Kind::Host => self.put(&path, &set(&text, "spec.values.site", &mark)?)?,
            Kind::Nothing => self.put(&path, &format!("{}\n# {mark}\n", text.trim_end()))?,
            Kind::Remove => {
                self.edit.remove(&path)?;
                self.paths.push(path);
            }
            Kind::Move => {
                let ring = field(&text, &RING.parse()?)?;
                let canary = ring == Some(Value::String("canary".into()));
                self.put(&path, &set(&text, RING, if canary { "main" } else { "canary" })?)?;
            }
            Kind::Add => {
                let new = format!("host-{mark}");
                let path: RepoPath = path.as_str().replace(&name, &new).parse()?;
                self.put(&path, &set(&text.replace(&name, &new), "spec.values.site", &mark)?)?;
            }
            Kind::Deployment | Kind::Mixed => unreachable!("resolved by the caller, or above"),
        }
        let kind = kind.to_possible_value().expect("because none is skipped");
        Ok(format!("{} {name}", kind.get_name()))
    }

    /// The file of some host.
    fn host(&mut self) -> Result<(RepoPath, String)> {
        let paths = self.files("hosts", |path| path.as_str().ends_with(".yaml"))?;
        if paths.is_empty() {
            return Err(Failure::no("the fleet has no host").into());
        }
        let path = self.random.among(&paths);
        self.read(path)
    }

    /// The file of some deployment that shows an image and is not of one ring only.
    fn deployment(&mut self) -> Result<(RepoPath, String)> {
        let mut paths = self.files("workspaces", |path| path.file_name() == "prod.yaml")?;
        while !paths.is_empty() {
            let path = self.random.among(&paths);
            let (path, text) = self.read(path)?;
            let image = field(&text, &IMAGE.parse()?)?;
            // A digest cannot be made up.
            if image.is_some_and(|image| !image.to_string().contains('@')) {
                return Ok((path, text));
            }
            paths.retain(|other| *other != path);
        }
        Err(Failure::no("no deployment called `prod` has an image to change").into())
    }

    fn files(&self, top: &str, wanted: impl Fn(&RepoPath) -> bool) -> Result<Vec<RepoPath>> {
        let top = RepoPath::new(top)?;
        let Some(folder) = self.git.entry(self.tree, &top)? else { return Ok(Vec::new()) };
        let paths = self.git.walk(folder.id)?.into_iter().map(|(path, _)| top.join(path.as_str()));
        Ok(paths.filter(|path| path.as_ref().map_or(true, &wanted)).collect::<Result<_, _>>()?)
    }

    fn read(&self, path: &RepoPath) -> Result<(RepoPath, String)> {
        let bytes = self.git.file(self.tree, path)?.context("it was listed")?;
        Ok((path.clone(), String::from_utf8(bytes.to_vec())?))
    }

    fn put(&mut self, path: &RepoPath, text: &str) -> Result<()> {
        self.edit.put(path, text.as_bytes())?;
        self.paths.push(path.clone());
        Ok(())
    }
}

const RING: &str = "metadata.labels.ring";
const IMAGE: &str = "spec.values.image";

fn set(text: &str, path: &str, value: &str) -> Result<String> {
    Ok(apply(text, &FieldEdit::Set(path.parse()?, value.into()))?)
}
