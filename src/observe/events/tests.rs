use tempfile::TempDir;

use super::*;
use crate::git::{CommitDraft, Signature, TreeEdit};
use crate::model::{
    API_VERSION, AssignmentStatus, Desired, FleetStatus, RepoPath, RequestStatus, Trail,
};
use crate::observe::files;
use crate::observe::fold::ASSIGNMENT_KIND;

struct World {
    git: Repository,
    _folder: TempDir,
    seconds: i64,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let git = Repository::init(folder.path(), "main").unwrap();
        Self { git, _folder: folder, seconds: 0 }
    }

    /// A commit on top of `parent` with these files; an empty one goes.
    fn commit(
        &mut self,
        parent: Option<Revision>,
        files: &[(&str, &str)],
        trailers: &str,
    ) -> Option<Revision> {
        self.seconds += 1;
        let base = parent.map(|parent| self.git.commit(parent).unwrap().tree);
        let mut tree = TreeEdit::new(&self.git, base);
        for (path, text) in files {
            let path = RepoPath::new(path).unwrap();
            match *text {
                "" => tree.remove(&path).unwrap(),
                text => tree.put(&path, text.as_bytes()).unwrap(),
            }
        }
        let seconds = self.seconds;
        let who = Signature { name: "a".into(), email: "a@b".into(), seconds, offset: 0 };
        let draft = CommitDraft {
            tree: tree.write().unwrap(),
            parents: parent.into_iter().collect(),
            author: who.clone(),
            committer: who,
            message: format!("change\n\n{trailers}"),
        };
        Some(self.git.write_commit(&draft).unwrap())
    }

    fn told(&self, branch: Branch, from: Option<Revision>, head: Option<Revision>) -> String {
        let from = Position::default().with(branch, from);
        let events = events(&self.git, &Move { from, branch, head }).unwrap();
        events.expect("not too many").iter().map(drawn).collect::<Vec<_>>().join("\n")
    }
}

fn drawn(event: &Event) -> String {
    match event {
        Event::Object { object, action, labels, .. } => {
            format!("{} {object} {labels:?}", action.as_str())
        }
        Event::Change { id, stage, actor, .. } => {
            format!("{} {} of {}", id.as_str(), stage.as_str(), actor.as_deref().unwrap_or("-"))
        }
        Event::Host { host, action, connection, .. } => {
            format!("{} host {host} {connection}", action.as_str())
        }
        Event::Assignment { assignment, action, phase, .. } => {
            format!("{} {assignment} {phase}", action.as_str())
        }
        Event::Diagnostic { action, diagnostic } => {
            format!("{} {}", action.as_str(), diagnostic.code)
        }
        Event::Revision { branch, .. } => format!("{} moved", branch.as_str()),
    }
}

fn host(labels: &str) -> String {
    format!(
        "apiVersion: titan.dev/v1\nkind: Host\nmetadata: {{labels: {{{labels}}}}}\nspec: {{}}\n"
    )
}

#[test]
fn what_differs_on_the_config_branch_is_told_by_object() {
    let mut world = World::new();
    let (eu, us) = (host("region: eu"), host("region: us"));
    let one = world.commit(None, &[("hosts/a.yaml", &eu), ("hosts/b.yaml", &eu)], "");
    let files = [
        ("hosts/a.yaml", ""),
        ("hosts/far/a.yaml", us.as_str()),
        ("hosts/b.yaml", ""),
        ("templates/app/files/x/y.txt", "1"),
        ("workspaces/iot/workspace.yaml", "broken: ["),
        ("workspaces/iot/notes.txt", "x"),
        ("README.md", "x"),
    ];
    let two = world.commit(one, &files, "Titan-Request-Id: r-1\nTitan-Actor: ada");
    let three = world.commit(two, &[], "Titan-Request-Id: r-2");
    let three = world.commit(three, &[("README.md", "y")], "Titan-Request-Id: no id");
    insta::assert_snapshot!(world.told(Branch::Config, one, three), @r#"
    updated host a [{"region": "eu"}, {"region": "us"}]
    deleted host b [{"region": "eu"}]
    created workspace iot [{}]
    updated template app []
    r-1 Committed of ada
    r-2 Committed of -
    config moved
    "#);
    insta::assert_snapshot!(world.told(Branch::Config, None, one), @r#"
    created host a [{"region": "eu"}]
    created host b [{"region": "eu"}]
    config moved
    "#);
    assert_eq!(world.told(Branch::Rendered, one, three), "rendered moved");
}

fn status(assignment: &str, phase: Phase, message: &str) -> (String, String) {
    let assignment: AssignmentRef = assignment.parse().unwrap();
    let path = format!("hosts/{}/{}.yaml", assignment.host, assignment.deployment);
    let status = AssignmentStatus {
        api_version: API_VERSION.into(),
        kind: ASSIGNMENT_KIND.into(),
        assignment,
        desired: Desired { source: Revision::NONE, rendered: Revision::NONE, tree: None },
        observed: None,
        phase,
        reason: "Because".into(),
        message: message.into(),
        since: Timestamp::UNIX_EPOCH,
        last: None,
        trail: Trail::default(),
    };
    (path, written(&status))
}

fn written(status: &impl serde::Serialize) -> String {
    String::from_utf8(files::write(status)).unwrap()
}

fn refused(id: &str) -> RequestStatus {
    RequestStatus {
        api_version: API_VERSION.into(),
        kind: files::REQUEST_KIND.into(),
        id: id.parse().unwrap(),
        digest: "x".into(),
        actor: "ada".into(),
        answer: 422,
        reason: "it breaks the fleet".into(),
        diagnostics: Vec::new(),
        since: Timestamp::UNIX_EPOCH,
    }
}

fn fleet(source: Option<Revision>) -> String {
    let status = FleetStatus {
        api_version: API_VERSION.into(),
        kind: files::FLEET_KIND.into(),
        source: source.unwrap(),
        rendered: None,
        hosts: 0,
        assignments: 0,
        phases: std::collections::BTreeMap::default(),
        held: std::collections::BTreeMap::default(),
        unplaced: std::collections::BTreeMap::default(),
    };
    written(&status)
}

#[test]
fn what_differs_on_the_status_branch_is_told_by_assignment() {
    let mut world = World::new();
    let source = world.commit(None, &[], "");
    let next = world.commit(source, &[], "Titan-Request-Id: r-1");
    let of = |statuses: &[(&str, Phase, &str)], source| {
        let mut all = vec![("fleet.yaml".to_owned(), fleet(source))];
        all.extend(statuses.iter().map(|(name, phase, message)| status(name, *phase, message)));
        all
    };
    let mut commit = |parent, files: Vec<(String, String)>| {
        let files: Vec<_> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        world.commit(parent, &files, "")
    };
    let before = [
        ("iot/app/prod@a", Phase::Pending, ""),
        ("iot/app/prod@b", Phase::Pending, ""),
        ("iot/app/prod@c", Phase::Deployed, ""),
    ];
    let one = commit(None, of(&before, source));
    let mut files =
        of(&[("iot/app/prod@a", Phase::Deployed, ""), ("x/y/z@a", Phase::Pending, "")], next);
    files.push(("hosts/c/iot/app/prod.yaml".into(), String::new()));
    // What lies in a foreign place is nobody's word.
    files.push(("hosts/a/iot/app/other.yaml".into(), status("x/y/z@b", Phase::Failed, "").1));
    files.push(("hosts/a/iot/app/none.yaml".into(), "kind: AssignmentStatus\n".into()));
    let refused = refused("r-2");
    files.push((files::request_path(&refused.id).to_string(), written(&refused)));
    files.push(("requests/00/00.yaml".into(), written(&refused)));
    let two = commit(one, files);
    insta::assert_snapshot!(world.told(Branch::Status, one, two), @r"
    r-1 Rendered of -
    r-2 Rejected of ada
    updated iot/app/prod@a Deployed
    deleted iot/app/prod@c Deployed
    created x/y/z@a Pending
    status moved
    ");
    assert_eq!(world.told(Branch::Status, two, two), "status moved");
}

#[test]
fn too_much_is_not_told() {
    let mut world = World::new();
    let hosts: Vec<String> = (0..MOST).map(|n| format!("hosts/h{n}.yaml")).collect();
    let files: Vec<_> = hosts.iter().map(|path| (path.as_str(), "x")).collect();
    let almost = world.commit(None, &files[1..], "");
    let all = world.commit(almost, &files[..1], "");
    let told = |from, head| {
        let from = Position { config: from, ..Position::default() };
        let way = Move { from, branch: Branch::Config, head };
        events(&world.git, &way).unwrap().map(|events| events.len())
    };
    assert_eq!(told(None, almost), Some(MOST));
    assert_eq!(told(None, all), None);
    assert_eq!(told(almost, all), Some(2));
}

#[test]
fn moves_lead_to_the_goal_one_branch_at_a_time() {
    let id = |byte| Some(Revision::from_bytes([byte; 20]));
    let start = Position { config: id(1), rendered: None, status: id(3) };
    let goal = Position { config: id(4), rendered: id(5), status: id(3) };
    let first = start.toward(goal).unwrap();
    assert_eq!((first.branch, first.head), (Branch::Config, id(4)));
    let second = first.to().toward(goal).unwrap();
    assert_eq!((second.branch, second.to()), (Branch::Rendered, goal));
    assert_eq!(goal.toward(goal), None);
}
