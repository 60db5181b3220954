//! Directories that are worked on relative to an open descriptor, so that no link below the
//! destination can lead out of it, not even one that is swapped in meanwhile.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::{DeliverError, Digest};

const FILE_MODE: u32 = 0o644;
/// Of what nobody else may read.
const SECRET_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o755;

/// Whether a file must be on the disk when its writing returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    Synced,
    Cached,
}

/// An open directory. `path` is for messages alone.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the root, which may be reached through links: its path is the user's choice.
    pub(super) fn root(path: &Path) -> Result<Self, DeliverError> {
        std::fs::create_dir_all(path).map_err(DeliverError::io("create", path))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| DeliverError::io("open", path)(error.into()))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, action: &'static str, name: &OsStr) -> impl FnOnce(Errno) -> DeliverError {
        let path = self.path.join(name);
        move |error| DeliverError::io(action, path)(error.into())
    }

    /// The directory `name`; `None` when there is nothing of that name.
    pub(super) fn child(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>, DeliverError> {
        let name = name.as_ref();
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(DeliverError::NotADirectory { path }),
            Err(error) => Err(self.error("open", name)(error)),
        }
    }

    /// The directory at a path below this one.
    pub(super) fn descend(&self, path: &Path) -> Result<Option<Self>, DeliverError> {
        let mut folder = self.again()?;
        for segment in path {
            match folder.child(segment)? {
                Some(child) => folder = child,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }

    /// The directory `name`, made if need be.
    pub(super) fn make(&self, name: impl AsRef<OsStr>) -> Result<Self, DeliverError> {
        let name = name.as_ref();
        let made = match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(self.error("create", name)(error)),
        };
        let gone = || DeliverError::io("open", self.path.join(name))(ErrorKind::NotFound.into());
        let child = self.child(name)?.ok_or_else(gone)?;
        if made {
            // The process's umask has no say in what hosts find.
            rustix::fs::fchmod(&child.fd, Mode::from_raw_mode(DIRECTORY_MODE))
                .map_err(self.error("set the mode of", name))?;
        }
        Ok(child)
    }

    /// The directory at a path below this one, made if need be.
    pub(super) fn make_all(&self, path: &Path) -> Result<Self, DeliverError> {
        path.iter().try_fold(self.again()?, |folder, segment| folder.make(segment))
    }

    fn again(&self) -> Result<Self, DeliverError> {
        let fd = self.fd.try_clone().map_err(DeliverError::io("open", &self.path))?;
        Ok(Self { fd, path: self.path.clone() })
    }

    /// Names and kinds of what is here, in the order of names.
    pub(super) fn entries(&self) -> Result<Vec<(OsString, FileType)>, DeliverError> {
        let here = OsStr::new("");
        let directory = rustix::fs::Dir::read_from(&self.fd).map_err(self.error("read", here))?;
        let mut entries = Vec::new();
        for entry in directory {
            let entry = entry.map_err(self.error("read", here))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match self.stat(name)? {
                    Some(stat) => FileType::from_raw_mode(stat.st_mode),
                    None => continue,
                },
                kind => kind,
            };
            entries.push((name.to_owned(), kind));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }

    /// About `name` itself, not what it may link to.
    pub(super) fn stat(&self, name: impl AsRef<OsStr>) -> Result<Option<Stat>, DeliverError> {
        match rustix::fs::statat(&self.fd, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.error("look at", name.as_ref())(error)),
        }
    }

    /// The content of the regular file `name`; `None` when there is none.
    pub(super) fn read(&self, name: impl AsRef<OsStr>) -> Result<Option<Vec<u8>>, DeliverError> {
        let Some(mut file) = self.open_file(name.as_ref())? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = file.read_to_end(&mut bytes);
        read.map_err(DeliverError::io("read", self.path.join(name.as_ref())))?;
        Ok(Some(bytes))
    }

    fn open_file(&self, name: &OsStr) -> Result<Option<std::fs::File>, DeliverError> {
        // Without NONBLOCK a pipe that somebody put here would stop the agent.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(error) => return Err(self.error("open", name)(error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(self.error("look at", name))?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok(regular.then(|| fd.into()))
    }

    /// The digest of the regular file `name`, however large; `None` when there is none.
    pub(super) fn digest(&self, name: impl AsRef<OsStr>) -> Result<Option<Digest>, DeliverError> {
        let Some(file) = self.open_file(name.as_ref())? else { return Ok(None) };
        let digest = Digest::read(file);
        digest.map(Some).map_err(DeliverError::io("read", self.path.join(name.as_ref())))
    }

    /// Writes a new file; what has that name already is an error.
    pub(super) fn write(
        &self,
        name: impl AsRef<OsStr>,
        bytes: &[u8],
        durability: Durability,
    ) -> Result<(), DeliverError> {
        let name = name.as_ref();
        let file = self.create(name, bytes, FILE_MODE)?;
        if durability == Durability::Synced {
            file.sync_data().map_err(DeliverError::io("sync", self.path.join(name)))?;
        }
        Ok(())
    }

    fn create(&self, name: &OsStr, bytes: &[u8], mode: u32) -> Result<std::fs::File, DeliverError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        let fd =
            rustix::fs::openat(&self.fd, name, flags, mode).map_err(self.error("create", name))?;
        rustix::fs::fchmod(&fd, mode).map_err(self.error("set the mode of", name))?;
        let mut file = std::fs::File::from(fd);
        file.write_all(bytes).map_err(DeliverError::io("write", self.path.join(name)))?;
        Ok(file)
    }

    /// Replaces the file `name` so that after any crash it is the old or the new one, whole.
    pub(super) fn replace_file(&self, name: &str, bytes: &[u8]) -> Result<(), DeliverError> {
        self.replace(name, bytes, FILE_MODE)
    }

    /// The same for what nobody else may read.
    pub(super) fn replace_secret(&self, name: &str, bytes: &[u8]) -> Result<(), DeliverError> {
        self.replace(name, bytes, SECRET_MODE)
    }

    fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), DeliverError> {
        let new = format!("{name}.new");
        self.remove_file(&new)?;
        let file = self.create(new.as_ref(), bytes, mode)?;
        file.sync_all().map_err(DeliverError::io("sync", self.path.join(&new)))?;
        self.rename(&new, self, name)?;
        rustix::fs::fsync(&self.fd).map_err(self.error("sync", OsStr::new("")))
    }

    /// A file that is opened for its lock only.
    pub(super) fn lock_file(&self, name: &str) -> Result<OwnedFd, DeliverError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(FILE_MODE))
            .map_err(self.error("open", name.as_ref()))
    }

    pub(super) fn rename(
        &self,
        name: impl AsRef<OsStr>,
        to: &Self,
        new: impl AsRef<OsStr>,
    ) -> Result<(), DeliverError> {
        rustix::fs::renameat(&self.fd, name.as_ref(), &to.fd, new.as_ref())
            .map_err(self.error("move", name.as_ref()))
    }

    /// Moves `name` unless something stands at its new place; says whether it moved.
    pub(super) fn rename_to_free(
        &self,
        name: impl AsRef<OsStr>,
        to: &Self,
        new: impl AsRef<OsStr>,
    ) -> Result<bool, DeliverError> {
        let (name, new) = (name.as_ref(), new.as_ref());
        match rustix::fs::renameat_with(&self.fd, name, &to.fd, new, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) if is_unsupported(error) => {
                if to.stat(new)?.is_some() {
                    return Ok(false);
                }
                self.rename(name, to, new).map(|()| true)
            }
            Err(error) => Err(self.error("move", name)(error)),
        }
    }

    /// Swaps two names in one step; `false` where the file system cannot.
    pub(super) fn exchange(
        &self,
        name: impl AsRef<OsStr>,
        with: &Self,
        other: impl AsRef<OsStr>,
    ) -> Result<bool, DeliverError> {
        let (name, other) = (name.as_ref(), other.as_ref());
        match rustix::fs::renameat_with(&self.fd, name, &with.fd, other, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(error) if is_unsupported(error) => Ok(false),
            Err(error) => Err(self.error("exchange", name)(error)),
        }
    }

    pub(super) fn remove_file(&self, name: impl AsRef<OsStr>) -> Result<(), DeliverError> {
        match rustix::fs::unlinkat(&self.fd, name.as_ref(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.error("remove", name.as_ref())(error)),
        }
    }

    /// Removes the directory `name` if it is empty; says whether it is gone.
    pub(super) fn remove_empty(&self, name: impl AsRef<OsStr>) -> Result<bool, DeliverError> {
        match rustix::fs::unlinkat(&self.fd, name.as_ref(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(self.error("remove", name.as_ref())(error)),
        }
    }

    /// Removes `name` with all that is below it; links are removed, not followed.
    pub(super) fn remove_all(&self, name: impl AsRef<OsStr>) -> Result<(), DeliverError> {
        let name = name.as_ref();
        let Some(stat) = self.stat(name)? else { return Ok(()) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return self.remove_file(name);
        }
        if let Some(child) = self.child(name)? {
            for (below, _) in child.entries()? {
                child.remove_all(&below)?;
            }
        }
        self.remove_empty(name).map(drop)
    }
}

fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}
