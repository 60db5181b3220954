//! A generated fleet whose hosts have tokens.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::Digest as _;
use titan::git::{EntryKind, Reader, Repository};
use titan::model::{Revision, TreeId};

use crate::scenario::support::ConfigRepo;

/// A host with what it is to run.
pub(super) struct Host {
    pub(super) name: String,
    /// Deployment and tree of each assignment.
    pub(super) assignments: Vec<(Arc<str>, TreeId)>,
}

/// `titan bench fleet`, and a commit on top of it. The token of each host is its name.
pub(super) fn make(hosts: usize, deployments: usize, limits: &str) -> ConfigRepo {
    let mut repository = ConfigRepo::new();
    let path = repository.folder.path().join("load.git");
    let place = path.to_str().expect("text").to_owned();
    let [hosts, deployments] = [hosts, deployments].map(|number| number.to_string());
    let numbers = ["--hosts", &hosts, "--deployments", &deployments, "--file-size", "200"];
    repository.titan_ok(&[&["bench", "fleet", &place][..], &numbers].concat());
    repository.git = Repository::open(&path).expect("it opens");
    repository.path = path;
    let head = repository.head("main").expect("a commit");
    for (name, id) in children(&repository.git.reader(), top(&repository.git, head, "hosts")) {
        let text = repository.git.blob(id).expect("a file");
        let host = name.strip_suffix(".yaml").expect("a host's file");
        let digest: String =
            sha2::Sha256::digest(host).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = String::from_utf8_lossy(&text);
        let text = format!("{text}  tokens: [\"sha256:{digest}\"]\n");
        repository.edit(&format!("hosts/{name}"), text);
    }
    let settings =
        format!("apiVersion: titan.dev/v1\nkind: Fleet\nspec:\n  limits: {{{limits}}}\n");
    repository.edit("titan.yaml", settings);
    repository.commit("tokens");
    repository
}

/// All hosts, with what the rendered branch has for each of them.
pub(super) fn rendered(git: &Repository) -> Vec<Host> {
    let head = git.branch("titan/rendered").expect("it is readable").expect("it is rendered");
    let (reader, mut known) = (git.reader(), BTreeSet::<Arc<str>>::new());
    let hosts = children(&reader, top(git, head, "hosts"));
    let host = |(name, tree): (String, TreeId)| {
        let mut assignments = Vec::new();
        for (path, tree) in leaves(&reader, tree) {
            let path: Arc<str> = path.into();
            known.insert(Arc::clone(&path));
            let shared = known.get(&path).expect("it is there");
            assignments.push((Arc::clone(shared), tree));
        }
        Host { name, assignments }
    };
    hosts.into_iter().map(host).collect()
}

/// `workspace/workload/deployment` and its tree (or file), for all below a host's folder.
pub(super) fn leaves(reader: &Reader, host: TreeId) -> Vec<(String, TreeId)> {
    let mut found = Vec::new();
    for (workspace, tree) in folders(reader, host) {
        for (workload, tree) in folders(reader, tree) {
            let deployments = children(reader, tree).into_iter();
            found.extend(
                deployments.map(|(name, id)| (format!("{workspace}/{workload}/{name}"), id)),
            );
        }
    }
    found
}

/// What lies in a folder of a branch's top.
pub(super) fn top(git: &Repository, head: Revision, folder: &str) -> TreeId {
    let tree = git.commit(head).expect("it is readable").tree;
    let all = children(&git.reader(), tree);
    all.into_iter().find(|(name, _)| name == folder).expect("it is there").1
}

pub(super) fn children(reader: &Reader, tree: TreeId) -> Vec<(String, TreeId)> {
    let entries = reader.entries(tree).expect("it is readable");
    entries.into_iter().map(|entry| (entry.name, entry.id)).collect()
}

pub(super) fn folders(reader: &Reader, tree: TreeId) -> Vec<(String, TreeId)> {
    let entries = reader.entries(tree).expect("it is readable").into_iter();
    let trees = entries.filter(|entry| entry.kind == EntryKind::Tree);
    trees.map(|entry| (entry.name, entry.id)).collect()
}
