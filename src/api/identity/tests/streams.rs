//! Who hears of what, and for how long.

use super::*;
use crate::git::{CommitDraft, Signature, TreeEdit};
use crate::model::{Fleet, RepoPath};

impl World {
    /// Commits files (an empty one goes), and shows the fleet that it makes to the API.
    fn commit(&self, files: &[(&str, &str)], change: impl FnOnce(&mut Fleet)) {
        let git = &self.repository.repository;
        let parent = git.branch("main").unwrap();
        let base = parent.map(|parent| git.commit(parent).unwrap().tree);
        let mut tree = TreeEdit::new(git, base);
        for (path, text) in files {
            let path = RepoPath::new(path).unwrap();
            match *text {
                "" => tree.remove(&path).unwrap(),
                text => tree.put(&path, text.as_bytes()).unwrap(),
            }
        }
        let who = Signature { name: "a".into(), email: "a@b".into(), seconds: 1, offset: 0 };
        let message = "change\n\nTitan-Request-Id: r-1\nTitan-Actor: eve\n".into();
        let (parents, tree) = (parent.into_iter().collect(), tree.write().unwrap());
        let draft = CommitDraft { tree, parents, author: who.clone(), committer: who, message };
        let new = git.write_commit(&draft).unwrap();
        git.advance("main", parent, new).unwrap();
        let before = Arc::clone(&self.snapshots.borrow());
        let mut fleet = Fleet::clone(&before.fleet);
        fleet.revision = Some(new);
        change(&mut fleet);
        let snapshot = Snapshot { fleet: Arc::new(fleet), ..Snapshot::clone(&before) };
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    async fn listen(&self, token: &str) -> reqwest::Response {
        let url = format!("{}/api/v1/events", self.url);
        let request = self.client.get(url).bearer_auth(token);
        request.send().await.unwrap()
    }

    fn token(&self, user: &str) -> String {
        self.key.sign(&self.but("sub", user.into()))
    }
}

/// What comes until a line has `last` in it: names of events, and what they are about.
async fn heard(stream: &mut reqwest::Response, last: &str) -> Vec<String> {
    let mut text = String::new();
    loop {
        let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        if whole.lines().any(|line| line.contains(last)) {
            break;
        }
        let piece = tokio::time::timeout(Duration::from_secs(10), stream.chunk()).await;
        let piece = piece.unwrap_or_else(|_| panic!("no `{last}` in {text}")).unwrap();
        let Some(piece) = piece else { break };
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    let mut all = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let data: Value = serde_json::from_str(line).unwrap();
        let word = |key: &str| data[key].as_str().map(str::to_owned);
        all.extend(["name", "id", "branch", "reason"].into_iter().find_map(word));
    }
    all
}

const TARGETS: [(&str, &str); 3] = [
    ("workspaces/iot/targets/a.yaml", "x"),
    ("workspaces/secret/targets/b.yaml", "x"),
    ("hosts/berlin.yaml", "metadata: {labels: {region: eu}}"),
];

#[tokio::test]
async fn nobody_hears_of_what_they_may_not_read() {
    let world = World::new().await;
    assert_eq!(world.listen("x").await.status(), 401);
    world.commit(&[("README.md", "x")], |_| ());
    let mut ada = world.listen(&world.token("ada")).await;
    let mut eve = world.listen(&world.token("eve")).await;
    assert_eq!((ada.status().as_u16(), eve.status().as_u16()), (200, 200));
    heard(&mut ada, "hello").await;
    heard(&mut eve, "hello").await;
    let berlin = FleetBuilder::new().host("berlin", "region=eu").fleet.hosts;
    world.commit(&TARGETS, |fleet| fleet.hosts = berlin);
    let of_ada = heard(&mut ada, "revision\"").await;
    assert_eq!(of_ada, ["berlin", "iot/a", "config"]);
    // It is eve's own request, and all that she may know of.
    assert_eq!(heard(&mut eve, "revision\"").await, ["r-1", "config"]);
    // Who could read a host hears that it is gone.
    world.commit(&[("hosts/berlin.yaml", "")], |fleet| fleet.hosts.clear());
    assert_eq!(heard(&mut ada, "revision\"").await, ["berlin", "config"]);
}

#[tokio::test]
async fn a_stream_ends_with_the_rights_to_it() {
    let world = World::new().await;
    let (mut ada, mut ops) = (world.listen(&world.token("ada")).await, {
        let mut claims = world.but("groups", json!(["ops"]));
        claims["sub"] = "bob".into();
        world.listen(&world.key.sign(&claims)).await
    });
    heard(&mut ada, "hello").await;
    heard(&mut ops, "hello").await;
    world.commit(&TARGETS, |fleet| {
        let members = json!({"members": [{"group": "ops", "role": "owner"}]});
        fleet.workspaces = FleetBuilder::new().workspace("iot", members).fleet.workspaces;
    });
    assert_eq!(heard(&mut ada, "reason").await, ["the rights to read anything are gone"]);
    assert!(ada.chunk().await.unwrap().is_none());
    assert_eq!(heard(&mut ops, "revision\"").await, ["iot/a", "config"]);
    // Nobody is believed who comes from elsewhere from now on.
    world.commit(&[("titan.yaml", "x")], |fleet| {
        fleet.settings.identity[0].audience = "another".into();
    });
    let reason = "the token is not valid: it is for somebody else than titan";
    assert_eq!(heard(&mut ops, "reason").await, [reason]);
}
