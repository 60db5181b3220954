//! The state directory: the inventory, the copies of the last good manifests, the lock.
//!
//! ```text
//! inventory.json           see `Inventory`
//! agent.json               what the agent must not forget: written through `save`
//! keys.json                the host's private keys, mode 0600: written through `save_secret`
//! last-good/<tree>/**      the manifests of a tree
//! last-good/<tree>.json    their digests: written last, so that a copy without it does not count
//! lock                     held while an agent runs; the kernel lets go of it when the process ends
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, FlockOperation};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::folder::{Durability, Folder};
use super::{DeliverError, Digest, Inventory};
use crate::model::{Manifests, Name, RepoPath, TreeId};

const INVENTORY: &str = "inventory.json";

/// How long the lock is waited for: a process that a killed agent was just about to start holds it
/// until it has started.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

/// Where an agent keeps what it must know after a restart.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    copies: Folder,
    _lock: Lock,
}

/// Released at once: a program that is being started holds a copy of every open file for an instant.
#[derive(Debug)]
struct Lock(OwnedFd);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

impl Store {
    /// Opens the state directory below `dest` and locks it.
    ///
    /// # Errors
    /// [`DeliverError::Locked`] while another agent runs there.
    pub fn open(dest: &Path) -> Result<Self, DeliverError> {
        let folder = Folder::root(dest)?.make(".titan")?;
        let lock = folder.lock_file("lock")?;
        let start = Instant::now();
        loop {
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                Err(Errno::WOULDBLOCK) => {
                    return Err(DeliverError::Locked { path: dest.to_owned() });
                }
                Err(error) => return Err(DeliverError::io("lock", folder.path())(error.into())),
            }
        }
        let copies = folder.make("last-good")?;
        Ok(Self { folder, copies, _lock: Lock(lock) })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The inventory; a new one where there is none.
    ///
    /// # Errors
    /// [`DeliverError::OtherHost`] and [`DeliverError::Newer`] rather than touching what is not ours.
    pub fn inventory(&self, host: &Name) -> Result<Inventory, DeliverError> {
        let path = self.folder.path().join(INVENTORY);
        let Some(inventory) = self.load::<Inventory>(INVENTORY)? else {
            return Ok(Inventory::new(host.clone()));
        };
        if inventory.version > Inventory::VERSION {
            return Err(DeliverError::Newer { path, version: inventory.version });
        }
        if inventory.host != *host {
            return Err(DeliverError::OtherHost { path, host: inventory.host });
        }
        Ok(inventory)
    }

    /// Writes the inventory so that it survives a power failure.
    pub fn save_inventory(&self, inventory: &Inventory) -> Result<(), DeliverError> {
        self.save(INVENTORY, inventory)
    }

    /// Reads a JSON file of the state directory. One that cannot be understood (nothing that titan
    /// does leaves one) is set aside under the name `….damaged`, and counts as absent: what is on the
    /// host is then adopted where it is as desired, and nothing is removed.
    pub fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DeliverError> {
        let Some(bytes) = self.folder.read(name)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                tracing::error!(file = name, %error, "the state cannot be understood: set aside");
                self.folder.rename(name, &self.folder, format!("{name}.damaged"))?;
                Ok(None)
            }
        }
    }

    /// Writes a JSON file of the state directory: after any crash it is the old or the new one.
    pub fn save<T: Serialize>(&self, name: &str, value: &T) -> Result<(), DeliverError> {
        let path = self.folder.path().join(name);
        let bytes = serde_json::to_vec_pretty(value)
            .map_err(|source| DeliverError::State { path, source })?;
        self.folder.replace_file(name, &bytes)
    }

    /// As [`Store::save`], for what nobody else may read: mode 0600.
    pub fn save_secret<T: Serialize>(&self, name: &str, value: &T) -> Result<(), DeliverError> {
        let path = self.folder.path().join(name);
        let bytes = serde_json::to_vec_pretty(value)
            .map_err(|source| DeliverError::State { path, source })?;
        self.folder.replace_secret(name, &bytes)
    }

    /// As [`Store::load`]. A file that others can read is closed to them, and that is logged.
    pub fn load_secret<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DeliverError> {
        let open = |mode: u32| mode & 0o077 != 0;
        if self.folder.stat(name)?.is_some_and(|stat| open(stat.st_mode))
            && let Some(bytes) = self.folder.read(name)?
        {
            tracing::warn!(file = name, "others could read this file: it is closed to them now");
            self.folder.replace_secret(name, &bytes)?;
        }
        self.load(name)
    }

    /// Whether there is a copy of a tree.
    pub fn has(&self, tree: TreeId) -> Result<bool, DeliverError> {
        Ok(self.copies.stat(index(tree))?.is_some())
    }

    /// Keeps a copy of a tree's manifests. The index is written last: without it there is no copy.
    pub fn put(&self, tree: TreeId, manifests: &Manifests) -> Result<(), DeliverError> {
        if self.has(tree)? {
            return Ok(());
        }
        let name = tree.to_string();
        self.copies.remove_all(&name)?;
        let folder = self.copies.make(&name)?;
        for (path, bytes) in &manifests.files {
            let parent = Path::new(path.as_str()).parent().unwrap_or(Path::new(""));
            folder.make_all(parent)?.write(path.file_name(), bytes, Durability::Cached)?;
        }
        let path = self.copies.path().join(index(tree));
        let bytes = serde_json::to_vec(&Digest::of_all(manifests))
            .map_err(|source| DeliverError::State { path, source })?;
        self.copies.replace_file(&index(tree), &bytes)
    }

    /// The copy of a tree's manifests; `None` when there is none.
    ///
    /// # Errors
    /// [`DeliverError::Damaged`] when it is not what it was, after which it is gone.
    pub fn get(&self, tree: TreeId) -> Result<Option<Manifests>, DeliverError> {
        let Some(bytes) = self.copies.read(index(tree))? else { return Ok(None) };
        let digests: BTreeMap<RepoPath, Digest> =
            serde_json::from_slice(&bytes).unwrap_or_default();
        let mut manifests = Manifests::default();
        if let Some(folder) = self.copies.child(tree.to_string())? {
            read_all(&folder, "", &mut manifests)?;
        }
        let found = Digest::of_all(&manifests);
        let mut paths = digests.keys().chain(found.keys());
        match paths.find(|path| digests.get(*path) != found.get(*path)) {
            Some(path) => {
                self.forget(tree)?;
                Err(DeliverError::Damaged { tree, path: path.clone() })
            }
            None if found.is_empty() => self.forget(tree).map(|()| None),
            None => Ok(Some(manifests)),
        }
    }

    fn forget(&self, tree: TreeId) -> Result<(), DeliverError> {
        self.copies.remove_file(index(tree))?;
        self.copies.remove_all(tree.to_string())
    }

    /// Removes all copies but those of `trees`.
    pub(super) fn retain(&self, trees: &BTreeSet<TreeId>) -> Result<(), DeliverError> {
        for (name, _) in self.copies.entries()? {
            let text = name.to_string_lossy();
            let tree = text.strip_suffix(".json").unwrap_or(&text).parse().ok();
            if !tree.is_some_and(|tree| trees.contains(&tree)) {
                self.copies.remove_all(&name)?;
            }
        }
        Ok(())
    }
}

/// The file with the digests of a copy.
fn index(tree: TreeId) -> String {
    format!("{tree}.json")
}

fn read_all(folder: &Folder, below: &str, manifests: &mut Manifests) -> Result<(), DeliverError> {
    for (name, kind) in folder.entries()? {
        let Some(name) = name.to_str() else { continue };
        let path = format!("{below}{name}");
        if kind == FileType::Directory {
            if let Some(child) = folder.child(name)? {
                read_all(&child, &format!("{path}/"), manifests)?;
            }
        } else if let (Ok(path), Some(bytes)) = (RepoPath::new(&path), folder.read(name)?) {
            manifests.files.insert(path, bytes.into());
        }
    }
    Ok(())
}
