//! Refused requests, on the status branch. The newest stay in its tree; history has all of them.

use std::collections::BTreeMap;

use super::draft::Draft;
use crate::git::{GitError, Repository, Sibling, TreeEdit};
use crate::model::{RepoPath, RequestStatus, Timestamp, TreeId};
use crate::observe::files;

/// So many stay in each of the 256 folders.
const STAY: usize = 64;

impl Draft {
    /// Puts refused requests there, and takes the oldest out of folders that are full.
    pub(super) fn put_requests(
        &self,
        repository: &Repository,
        base: Option<TreeId>,
        edit: &mut TreeEdit<'_>,
    ) -> Result<(), GitError> {
        let mut folders = BTreeMap::<RepoPath, Vec<RepoPath>>::new();
        for request in self.dirty.requests.values() {
            let path = files::request_path(&request.id);
            edit.put_sibling(&path, &files::write(request), Sibling::of(&"request"))?;
            let folder = path.parent().and_then(|folder| RepoPath::new(folder).ok());
            folders.entry(folder.expect("because it lies in one")).or_default().push(path);
        }
        for (folder, new) in folders {
            let mut old = self.there(repository, base, &folder)?;
            old.retain(|(_, path)| !new.contains(path));
            old.sort();
            let surplus = (old.len() + new.len()).saturating_sub(STAY);
            for (_, path) in old.into_iter().take(surplus) {
                edit.remove(&path)?;
            }
        }
        Ok(())
    }

    /// What lies in a folder, with its time. What is no status comes first.
    fn there(
        &self,
        repository: &Repository,
        base: Option<TreeId>,
        folder: &RepoPath,
    ) -> Result<Vec<(Option<Timestamp>, RepoPath)>, GitError> {
        let entry = base.map(|base| repository.entry(base, folder)).transpose()?.flatten();
        let Some(entry) = entry else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (path, file) in repository.walk(entry.id)? {
            let status = files::read::<RequestStatus>(&repository.blob(file.id)?).ok();
            let path = folder.join(path.as_str()).ok();
            found.extend(path.map(|path| (status.map(|status| status.since), path)));
        }
        Ok(found)
    }
}
