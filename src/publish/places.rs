//! The tree of every host's folder at one rendered revision: whether anything changed for a host is
//! answered without looking into Git again.

use std::collections::BTreeMap;

use super::GENERATION_TRAILER;
use crate::git::{Entry, EntryKind, GitError, Reader, Repository};
use crate::model::{Name, RepoPath, Revision, TreeId};

/// Where the rendered branch stood, and what each host's folder was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pub revision: Revision,
    /// `Titan-Generation` of that commit; `None`: somebody else made it.
    pub generation: Option<u64>,
    trees: BTreeMap<Name, TreeId>,
}

impl Places {
    /// Reads the commit `revision`, where hosts have the `folders`: the trees that these lie in, each
    /// once, and nothing in them.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn read(
        repository: &Repository,
        revision: Revision,
        folders: &BTreeMap<Name, RepoPath>,
    ) -> Result<Self, GitError> {
        let commit = repository.commit(revision)?;
        let generation = commit.trailer(GENERATION_TRAILER).and_then(|text| text.parse().ok());
        let mut parents: BTreeMap<Option<&str>, Vec<(&Name, &str)>> = BTreeMap::new();
        for (host, folder) in folders {
            parents.entry(folder.parent()).or_default().push((host, folder.file_name()));
        }
        let reader = repository.reader();
        let mut trees = BTreeMap::new();
        for (parent, hosts) in parents {
            let Some(entries) = entries(&reader, commit.tree, parent)? else { continue };
            let below = entries.iter().filter(|entry| entry.kind == EntryKind::Tree);
            let below: BTreeMap<&str, TreeId> =
                below.map(|entry| (entry.name.as_str(), entry.id)).collect();
            for (host, name) in hosts {
                trees.extend(below.get(name).map(|tree| (host.clone(), *tree)));
            }
        }
        Ok(Self { revision, generation, trees })
    }

    /// The tree of a host's folder.
    #[must_use]
    pub fn of(&self, host: &Name) -> Option<TreeId> {
        self.trees.get(host).copied()
    }
}

/// What the folder `path` below `root` holds; `None`: there is no such folder.
fn entries(
    reader: &Reader,
    root: TreeId,
    path: Option<&str>,
) -> Result<Option<Vec<Entry>>, GitError> {
    let mut at = reader.entries(root)?;
    for segment in path.into_iter().flat_map(|path| path.split('/')) {
        let next = at.iter().find(|entry| entry.name == segment && entry.kind == EntryKind::Tree);
        let Some(next) = next else { return Ok(None) };
        at = reader.entries(next.id)?;
    }
    Ok(Some(at))
}
