//! The runtime `directory`: manifests as files below a folder.
//!
//! ```text
//! DEST/<ws>/<workload>/<deployment>/**   live: what programs on the host read
//! DEST/.titan/staging/<ws>.<workload>.<deployment>        the next folder; after the swap, the last one
//! DEST/.titan/staging/<ws>.<workload>.<deployment>.last   the last one, where the file system cannot swap
//! DEST/.titan/kept/…                     files of others that found their place taken
//! ```
//!
//! An assignment changes as a unit: the new folder is staged, then exchanged with the live one in one
//! step; what others put there is carried over, and the old folder removed. After a crash, what lies
//! in `staging` is put right by the same rule, as the inventory knows every path that titan may have
//! written. Files of others are never overwritten: a path that titan does not own is adopted if it has
//! the desired content already, and otherwise a conflict that changes nothing.

mod strangers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::folder::{Durability, Folder};
use super::{DeliverError, Digest, Health, Owned, Runtime};
use crate::model::{DeploymentRef, Manifests, RepoPath};
use strangers::{Proof, carry_over, refuse_conflicts, strangers};

/// Delivers into a directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory {
    site: Arc<Site>,
}

/// How a folder takes the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// In one step where the file system can, else by two renames.
    Exchange,
    /// By two renames: for a moment there is no folder.
    Renames,
}

#[derive(Debug)]
struct Site {
    root: Folder,
    swap: Swap,
    seen: Mutex<BTreeMap<DeploymentRef, BTreeMap<RepoPath, Seen>>>,
}

/// A file that was read, so that it need not be read again while it looks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Inode, size, and times of the last change of content and of the inode.
    looks: (u64, i64, (i64, u64), (i64, u64)),
    digest: Digest,
    /// Read twice with the same looks: a change within the clock's tick cannot hide any more.
    confirmed: bool,
}

impl Directory {
    /// # Errors
    /// When `dest` cannot be made or opened.
    pub fn open(dest: &Path, swap: Swap) -> Result<Self, DeliverError> {
        let site = Site { root: Folder::root(dest)?, swap, seen: Mutex::default() };
        Ok(Self { site: Arc::new(site) })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Site) -> Result<T, DeliverError> + Send + 'static,
    ) -> Result<T, DeliverError> {
        let site = Arc::clone(&self.site);
        let result = tokio::task::spawn_blocking(move || work(&site)).await;
        result.unwrap_or(Err(DeliverError::Interrupted))
    }
}

impl Runtime for Directory {
    async fn apply(
        &self,
        deployment: &DeploymentRef,
        owned: &Owned,
        manifests: &Manifests,
    ) -> Result<(), DeliverError> {
        let (deployment, owned, manifests) = (deployment.clone(), owned.clone(), manifests.clone());
        self.run(move |site| Place::of(site, &deployment)?.apply(&owned, &manifests)).await
    }

    async fn remove(&self, deployment: &DeploymentRef, owned: &Owned) -> Result<(), DeliverError> {
        let (deployment, owned) = (deployment.clone(), owned.clone());
        self.run(move |site| Place::of(site, &deployment)?.remove(&owned)).await
    }

    async fn health(
        &self,
        deployment: &DeploymentRef,
        owned: &Owned,
    ) -> Result<Health, DeliverError> {
        let (deployment, owned) = (deployment.clone(), owned.clone());
        self.run(move |site| site.health(&deployment, &owned)).await
    }
}

/// Where one assignment lives.
struct Place<'a> {
    site: &'a Site,
    staging: Folder,
    /// `<ws>/<workload>` below the root.
    parent: PathBuf,
    name: String,
    /// Names of its folders below `staging`; a name has no dot, so they are unambiguous.
    staged: String,
    last: String,
}

impl<'a> Place<'a> {
    fn of(site: &'a Site, deployment: &DeploymentRef) -> Result<Self, DeliverError> {
        let staging = site.root.make(".titan")?.make("staging")?;
        let staged =
            format!("{}.{}.{}", deployment.workspace, deployment.workload, deployment.name);
        Ok(Self {
            site,
            staging,
            parent: Path::new(deployment.workspace.as_str()).join(deployment.workload.as_str()),
            name: deployment.name.to_string(),
            last: format!("{staged}.last"),
            staged,
        })
    }

    fn apply(&self, owned: &Owned, manifests: &Manifests) -> Result<(), DeliverError> {
        self.recover(owned)?;
        let existing = self.site.root.descend(&self.parent)?;
        if let Some(live) = existing.map(|parent| parent.child(&self.name)).transpose()?.flatten() {
            let strangers = strangers(&live, owned, manifests, Proof::Content)?;
            refuse_conflicts(&live, &strangers, manifests)?;
        }
        self.stage(owned, manifests)?;
        self.swap()?;
        self.recover(owned).map_err(|error| DeliverError::Unfinished(Box::new(error)))
    }

    fn remove(&self, owned: &Owned) -> Result<(), DeliverError> {
        self.recover(owned)?;
        let Some(parent) = self.site.root.descend(&self.parent)? else { return Ok(()) };
        let Some(live) = parent.child(&self.name)? else { return self.tidy() };
        let nothing = Manifests::default();
        if strangers(&live, owned, &nothing, Proof::Content)?.is_empty() {
            parent.rename(&self.name, &self.staging, &self.staged)?;
            self.staging.remove_all(&self.staged)?;
        } else {
            self.stage(owned, &nothing)?;
            self.swap()?;
            self.recover(owned)?;
        }
        self.tidy()
    }

    /// Writes the next folder. Files at new paths are synced: after a power failure their content is
    /// what tells that they are titan's.
    fn stage(&self, owned: &Owned, manifests: &Manifests) -> Result<(), DeliverError> {
        let folder = self.staging.make(&self.staged)?;
        for (path, bytes) in &manifests.files {
            let known = owned.files.contains_key(path);
            let durability = if known { Durability::Cached } else { Durability::Synced };
            let parent = Path::new(path.as_str()).parent().unwrap_or(Path::new(""));
            folder.make_all(parent)?.write(path.file_name(), bytes, durability)?;
        }
        Ok(())
    }

    /// Makes the staged folder the live one; what was live is in `staging` afterwards.
    fn swap(&self) -> Result<(), DeliverError> {
        let parent = self.site.root.make_all(&self.parent)?;
        if parent.stat(&self.name)?.is_none() {
            return self.staging.rename(&self.staged, &parent, &self.name);
        }
        if self.site.swap == Swap::Exchange
            && self.staging.exchange(&self.staged, &parent, &self.name)?
        {
            return Ok(());
        }
        parent.rename(&self.name, &self.staging, &self.last)?;
        self.staging.rename(&self.staged, &parent, &self.name)
    }

    /// Puts right what lies in `staging`, after a swap or after a crash: what is not titan's goes to
    /// the live folder, the rest away.
    fn recover(&self, owned: &Owned) -> Result<(), DeliverError> {
        if self.staging.stat(&self.last)?.is_some() {
            let parent = self.site.root.make_all(&self.parent)?;
            if parent.stat(&self.name)?.is_none() {
                // Killed between the two renames: back to where it was.
                self.staging.rename(&self.last, &parent, &self.name)?;
            }
        }
        for leftover in [&self.staged, &self.last] {
            let Some(old) = self.staging.child(leftover)? else { continue };
            let strangers = strangers(&old, owned, &Manifests::default(), Proof::Path)?;
            if !strangers.is_empty() {
                let live = self.site.root.make_all(&self.parent)?.make(&self.name)?;
                carry_over(&strangers, &old, &live, || self.kept())?;
            }
            self.staging.remove_all(leftover)?;
        }
        Ok(())
    }

    /// A new folder for files of others that cannot be carried over.
    fn kept(&self) -> Result<Folder, DeliverError> {
        let all = self.site.root.make(".titan")?.make("kept")?;
        let taken = all.entries()?.len();
        let mut names = (taken..).map(|number| format!("{}.{number}", self.staged));
        loop {
            let name = names.next().unwrap_or_default();
            if all.stat(&name)?.is_none() {
                return all.make(&name);
            }
        }
    }

    /// Removes the folder and its parents as far as they are empty.
    fn tidy(&self) -> Result<(), DeliverError> {
        let path = self.parent.join(&self.name);
        for folder in path.ancestors() {
            let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else { break };
            let Some(parent) = self.site.root.descend(parent)? else { continue };
            if !parent.remove_empty(name)? {
                break;
            }
        }
        Ok(())
    }
}

impl Site {
    /// Compares what is live with the inventory.
    fn health(&self, deployment: &DeploymentRef, owned: &Owned) -> Result<Health, DeliverError> {
        let folder = Path::new(deployment.workspace.as_str())
            .join(deployment.workload.as_str())
            .join(deployment.name.as_str());
        let live = match self.root.descend(&folder) {
            Ok(live) => live,
            Err(DeliverError::NotADirectory { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(deployment.clone()).or_default();
        seen.retain(|path, _| owned.files.contains_key(path));
        for (path, digest) in &owned.files {
            let found = live.as_ref().map(|live| look(live, path, seen)).transpose()?.flatten();
            if found != Some(*digest) {
                return Ok(Health::Drifted { path: path.clone() });
            }
        }
        Ok(Health::Healthy)
    }
}

/// The digest of a live file; read only if it does not look as it did.
fn look(
    live: &Folder,
    path: &RepoPath,
    seen: &mut BTreeMap<RepoPath, Seen>,
) -> Result<Option<Digest>, DeliverError> {
    let parent = Path::new(path.as_str()).parent().unwrap_or(Path::new(""));
    let folder = match live.descend(parent) {
        Ok(Some(folder)) => folder,
        Ok(None) | Err(DeliverError::NotADirectory { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(stat) = folder.stat(path.file_name())? else { return Ok(None) };
    #[expect(clippy::useless_conversion, reason = "the widths differ between platforms")]
    let looks = (
        u64::from(stat.st_ino),
        i64::from(stat.st_size),
        (i64::from(stat.st_mtime), stat.st_mtime_nsec.into()),
        (i64::from(stat.st_ctime), stat.st_ctime_nsec.into()),
    );
    let before = seen.get(path).filter(|before| before.looks == looks).copied();
    if let Some(Seen { digest, confirmed: true, .. }) = before {
        return Ok(Some(digest));
    }
    let Some(digest) = folder.digest(path.file_name())? else { return Ok(None) };
    let confirmed = before.is_some_and(|before| before.digest == digest);
    seen.insert(path.clone(), Seen { looks, digest, confirmed });
    Ok(Some(digest))
}
