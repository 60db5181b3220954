use std::collections::BTreeMap;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::git::{EntryKind, Repository};
use crate::model::{
    AssignmentRef, Assignments, Deployment, DeploymentSpec, Hold, Host, HostSpec, Labels,
    TargetRef, TemplateRef,
};

const WORLD: &str = "iot/sensor/prod";

/// A repository with a rendered history, and what the next commit is to be made of.
struct Scene {
    _dir: TempDir,
    repository: Repository,
    rendered: Rendered,
    fleet: Fleet,
    schedule: Schedule,
    made: Trees,
    held: BTreeMap<String, String>,
    commits: i64,
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn path(text: &str) -> RepoPath {
    RepoPath::new(text).expect("a path")
}

fn deployment(text: &str) -> DeploymentRef {
    text.parse().expect("a deployment")
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let repository = Repository::create_bare(&dir.path().join("x.git"), "main").expect("made");
        Self {
            _dir: dir,
            repository,
            rendered: Rendered::default(),
            fleet: Fleet::default(),
            schedule: Schedule::default(),
            made: Trees::default(),
            held: BTreeMap::new(),
            commits: 0,
        }
    }

    fn host(mut self, file: &str) -> Self {
        let path = path(&format!("hosts/{file}.yaml"));
        let name = name(file.rsplit('/').next().expect("a name"));
        let host =
            Host { name: name.clone(), path, labels: Labels::new(), spec: HostSpec::default() };
        self.fleet.hosts.insert(name, Arc::new(host));
        self
    }

    fn no_host(mut self, host: &str) -> Self {
        self.fleet.hosts.remove(host);
        self
    }

    fn assign(mut self, pair: &str, text: &str) -> Self {
        let pair: AssignmentRef = pair.parse().expect("a pair");
        self.schedule.assignments.insert(&pair.deployment, &pair.host);
        let mut edit = TreeEdit::new(&self.repository, None);
        edit.put(&path("app.yaml"), text.as_bytes()).expect("put");
        let tree = edit.write().expect("written");
        self.made.set(&pair.deployment, &pair.host, Some(tree));
        self
    }

    /// The schedule for the next commit starts empty.
    fn reschedule(mut self) -> Self {
        self.schedule = Schedule::default();
        self.made = Trees::default();
        self
    }

    fn source(&self) -> CommitInfo {
        let who = |name: &str| Signature {
            name: name.into(),
            email: format!("{name}@example.com"),
            seconds: 1_700_000_000 + self.commits,
            offset: 3600,
        };
        CommitInfo {
            id: Revision::from_bytes([u8::try_from(7 + self.commits).expect("few"); 20]),
            tree: empty_tree(),
            parents: Vec::new(),
            author: who("ann"),
            committer: who("forge"),
            subject: "raise the version".into(),
            body: "Why.\n\nArgocd-reference-commit-sha: abc\nSigned-off-by: ann".into(),
            trailers: vec![
                ("Argocd-reference-commit-sha".into(), "abc".into()),
                ("Signed-off-by".into(), "ann".into()),
            ],
        }
    }

    /// Everything may differ, as far as the plan says.
    fn try_publish(&mut self) -> Published {
        let (schedule, fleet) = (&self.schedule, &self.fleet);
        let mut touched = Pairs::default();
        let now = self.rendered.trees.iter().map(|(deployment, host, _)| (deployment, host));
        let all = now.chain(schedule.assignments.iter()).chain(schedule.kept.iter());
        all.for_each(|(deployment, host)| touched.insert(deployment, host));
        let hosts = self.rendered.folders.keys().chain(fleet.hosts.keys()).cloned().collect();
        let recorded = self.rendered.records.iter().chain(schedule.recorded.hosts.keys());
        let plan = RenderedPlan {
            fleet,
            schedule,
            touched: [&touched, &Pairs::default()],
            hosts: &hosts,
            recorded: &recorded.cloned().collect(),
            made: &self.made,
            held: &self.held,
            removals: None,
        };
        let source = self.source();
        let objects = self.repository.begin();
        let published = publish(&objects, &mut self.rendered, &plan, &source).expect("published");
        objects.finish().expect("durable");
        published
    }

    /// Publishes, and reads the result back: that is what is known of it without reading.
    fn publish(mut self) -> Self {
        let Published::Committed(commit) = self.try_publish() else { panic!("nothing changed") };
        let read = read(&self.repository, Some(commit.revision)).expect("read");
        assert_eq!(self.rendered, read);
        for (deployment, host, tree) in commit.changed.iter() {
            assert_eq!(self.rendered.trees.get(deployment, host), tree, "{deployment}@{host}");
        }
        self.commits += 1;
        self
    }

    fn assert_unchanged(mut self) -> Self {
        assert_eq!(self.try_publish(), Published::Unchanged);
        self
    }

    fn commit(&self) -> CommitInfo {
        self.repository.commit(self.rendered.revision.expect("published")).expect("read")
    }

    /// All files of the branch, with the first line of each.
    fn draw(&self) -> String {
        let files = self.repository.walk(self.commit().tree).expect("read");
        let mut drawn = String::new();
        for (path, entry) in files {
            assert_eq!(entry.kind, EntryKind::File);
            let blob = self.repository.blob(entry.id).expect("read");
            let text = String::from_utf8_lossy(&blob).into_owned();
            let line = text.lines().next().unwrap_or_default();
            drawn.push_str(&format!("{path}: {line}\n"));
        }
        drawn
    }
}

#[test]
fn first_commit_has_everything() {
    let mut scene = Scene::new().host("eu/a").host("b").assign("iot/sensor/prod@a", "v1");
    scene.schedule.recorded.insert(&deployment(WORLD), &name("a"));
    scene.fleet.settings.repo_url = Some("https://example.com/fleet".into());
    scene.held.insert("deployment iot/x/y".into(), "a.yaml:1:1: bad\nTitan-Generation: 9".into());
    let scene = scene.publish().assert_unchanged();
    insta::assert_snapshot!(scene.draw(), @r"
    assignments/iot/sensor/prod.yaml: apiVersion: titan.dev/v1
    hosts/b/.titan: host: b
    hosts/eu/a/.titan: host: a
    hosts/eu/a/iot/sensor/prod/app.yaml: v1
    hydrator.metadata: {
    ");
    let commit = scene.commit();
    insta::assert_snapshot!(format!("{}\n\n{}", commit.subject, commit.body), @r"
    render iot/sensor/prod to 1 host

    Titan-Source-Commit: 0707070707070707070707070707070707070707
    Titan-Generation: 1
    Titan-Renderer: 0.1.0
    Titan-Changed-Hosts: 2
    Titan-Held: deployment iot/x/y: a.yaml:1:1: bad Titan-Generation: 9
    Argocd-reference-commit-sha: abc
    ");
    assert_eq!(commit.committer.seconds, 1_700_000_000);
    assert_eq!(commit.author, commit.committer);
    assert_eq!(scene.rendered.source, Some(Revision::from_bytes([7; 20])));
    let metadata = scene.repository.file(commit.tree, &path("hydrator.metadata")).expect("read");
    insta::assert_snapshot!(String::from_utf8_lossy(&metadata.expect("there")), @r#"
    {
      "repoURL": "https://example.com/fleet",
      "drySha": "0707070707070707070707070707070707070707",
      "author": "ann <ann@example.com>",
      "date": "2023-11-14T22:13:20Z",
      "subject": "raise the version",
      "body": "Why.\n\nSigned-off-by: ann",
      "references": [
        {
          "commit": {
            "sha": "abc"
          }
        }
      ]
    }
    "#);
}

#[test]
fn the_same_plan_gives_the_same_commit_everywhere() {
    let make = || Scene::new().host("a").assign("iot/sensor/prod@a", "v1").publish();
    assert_eq!(make().rendered.revision, make().rendered.revision);
}

#[test]
fn an_empty_fleet_writes_nothing() {
    Scene::new().assert_unchanged();
}

#[test]
fn what_is_kept_or_fails_to_render_stays() {
    let mut scene = Scene::new()
        .host("a")
        .assign("iot/kept/prod@a", "v1")
        .assign("iot/failed/prod@a", "v1")
        .assign("iot/held/prod@a", "v1")
        .assign("iot/gone/prod@a", "v1")
        .publish()
        .reschedule();
    scene.schedule.kept.insert(&deployment("iot/kept/prod"), &name("a"));
    scene.schedule.assignments.insert(&deployment("iot/failed/prod"), &name("a"));
    let hold = Hold { code: "x".into(), reason: "x".into() };
    scene.fleet.held.deployments.insert(deployment("iot/held/prod"), hold);
    let scene = scene.publish();
    insta::assert_snapshot!(scene.draw(), @r"
    hosts/a/.titan: host: a
    hosts/a/iot/failed/prod/app.yaml: v1
    hosts/a/iot/held/prod/app.yaml: v1
    hosts/a/iot/kept/prod/app.yaml: v1
    hydrator.metadata: {
    ");
    assert_eq!(scene.commit().subject, "remove iot/gone/prod from 1 host");
}

#[test]
fn a_held_host_keeps_its_folder_and_a_deleted_one_loses_it() {
    let mut scene = Scene::new()
        .host("a")
        .host("b")
        .assign("iot/sensor/prod@a", "v1")
        .assign("iot/sensor/prod@b", "v1")
        .publish()
        .reschedule()
        .no_host("a")
        .no_host("b");
    let hold = Hold { code: "x".into(), reason: "x".into() };
    scene.fleet.held.hosts.insert(name("a"), hold);
    insta::assert_snapshot!(scene.publish().draw(), @r"
    hosts/a/.titan: host: a
    hosts/a/iot/sensor/prod/app.yaml: v1
    hydrator.metadata: {
    ");
}

#[test]
fn an_emptied_host_keeps_its_marker() {
    let scene = Scene::new().host("a").assign("iot/sensor/prod@a", "v1").publish().reschedule();
    insta::assert_snapshot!(scene.publish().draw(), @r"
    hosts/a/.titan: host: a
    hydrator.metadata: {
    ");
}

#[test]
fn nothing_moves_while_the_fleet_is_held() {
    let mut scene = Scene::new().host("a").assign("iot/sensor/prod@a", "v1").publish().reschedule();
    scene.fleet.held.all = Some(Hold { code: "x".into(), reason: "x".into() });
    scene.assert_unchanged();
}

#[test]
fn a_moved_host_takes_what_it_keeps_along() {
    let mut scene = Scene::new()
        .host("a")
        .host("a/nested")
        .assign("iot/sensor/prod@a", "v1")
        .assign("iot/sensor/prod@nested", "v1")
        .publish()
        .assert_unchanged();
    assert_eq!(scene.rendered.folders.len(), 2);
    let before = scene.rendered.trees.clone();
    scene = scene.no_host("a").host("eu/a").publish();
    assert_eq!(scene.rendered.trees, before);
    insta::assert_snapshot!(scene.draw(), @r"
    hosts/a/nested/.titan: host: nested
    hosts/a/nested/iot/sensor/prod/app.yaml: v1
    hosts/eu/a/.titan: host: a
    hosts/eu/a/iot/sensor/prod/app.yaml: v1
    hydrator.metadata: {
    ");
}

#[test]
fn hosts_may_swap_folders() {
    let mut scene = Scene::new().host("x/a").host("y/b").assign("iot/sensor/prod@a", "for a");
    scene = scene.assign("iot/sensor/prod@b", "for b").publish();
    // `x/a` and `x/a/b`: one folder moves into the old place of the other, and below it.
    scene = scene.host("y/b/a").host("x/a/b").publish().assert_unchanged();
    insta::assert_snapshot!(scene.draw(), @r"
    hosts/x/a/b/.titan: host: b
    hosts/x/a/b/iot/sensor/prod/app.yaml: for b
    hosts/y/b/a/.titan: host: a
    hosts/y/b/a/iot/sensor/prod/app.yaml: for a
    hydrator.metadata: {
    ");
}

#[test]
fn an_unchanged_host_keeps_its_tree() {
    let scene = Scene::new().host("a").host("b").assign("iot/sensor/prod@a", "v1");
    let scene = scene.assign("iot/sensor/prod@b", "v1").publish();
    let tree = |scene: &Scene, host: &str| {
        let path = path(&format!("hosts/{host}"));
        scene.repository.entry(scene.commit().tree, &path).expect("read").expect("there").id
    };
    let before = (tree(&scene, "a"), tree(&scene, "b"));
    let scene = scene.assign("iot/sensor/prod@b", "v2").publish();
    assert_eq!(tree(&scene, "a"), before.0);
    assert_ne!(tree(&scene, "b"), before.1);
    assert_eq!(scene.commit().trailer("Titan-Changed-Hosts"), Some("1"));
}

#[test]
fn recorded_choices_follow_the_schedule_unless_suspended() {
    let world = deployment(WORLD);
    let mut scene = Scene::new().host("a").assign("iot/sensor/prod@a", "v1");
    scene.schedule.recorded.insert(&world, &name("a"));
    scene.schedule.recorded.insert(&deployment("iot/old/prod"), &name("a"));
    let mut scene = scene.publish();
    assert_eq!(scene.rendered.current.hosts.len(), 2);
    let suspended = Deployment {
        id: world.clone(),
        path: path("x"),
        labels: Labels::new(),
        spec: DeploymentSpec { suspend: true, ..DeploymentSpec::default() },
        template: TemplateRef { workspace: None, name: name("t") },
        target: TargetRef { workspace: name("iot"), name: name("t") },
    };
    scene.fleet.deployments.insert(world.clone(), Arc::new(suspended));
    scene.schedule.recorded = Assignments::default();
    scene.schedule.recorded.insert(&world, &name("b"));
    let scene = scene.publish();
    assert_eq!(scene.commit().subject, "record assignments");
    let expected = Assignments::from_iter([world.on(&name("a"))]);
    assert_eq!(scene.rendered.current, expected);
}

#[test]
fn generations_survive_the_commits_of_others() {
    let scene = Scene::new().host("a").assign("iot/sensor/prod@a", "v1").publish();
    let mut foreign = scene.source();
    foreign.committer.seconds += 10;
    let draft = CommitDraft {
        tree: scene.commit().tree,
        parents: scene.rendered.revision.into_iter().collect(),
        author: foreign.author,
        committer: foreign.committer,
        message: "by hand".into(),
    };
    let by_hand = scene.repository.write_commit(&draft).expect("written");
    let rendered = read(&scene.repository, Some(by_hand)).expect("read");
    assert_eq!((rendered.generation, rendered.source), (1, scene.rendered.source));
}
