//! Where accounts are kept: one file that its owner alone can read, replaced as a whole.
//!
//! ```text
//!  $XDG_CONFIG_HOME/titan/   0700
//!    servers.json            0600   servers, how to log in there, and the tokens
//!    servers.lock                   held while the file changes or a token is renewed
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::http::plain;
use super::{AccountError, Session, Settings};

/// Longest file that is read.
const LONGEST: u64 = 4 << 20;
/// Longer than any renewal takes.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// The accounts of the person who runs titan.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    #[serde(flatten)]
    pub(crate) settings: Settings,
    /// `None` when nobody is logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<Session>,
}

/// Accounts by server.
pub(crate) type Accounts = BTreeMap<String, Account>;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    servers: Accounts,
}

/// The store, while nobody else changes it.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    store: &'a Store,
    _lock: File,
}

impl Store {
    /// The store of `XDG_CONFIG_HOME`, or of `HOME`.
    ///
    /// # Errors
    /// When neither is set.
    pub(crate) fn open() -> Result<Self, AccountError> {
        let folder = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute())
        };
        let base = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
        Ok(Self { folder: base.ok_or(AccountError::NoHome)?.join("titan") })
    }

    /// All accounts.
    ///
    /// # Errors
    /// When the file cannot be read, or others can.
    pub(crate) fn read(&self) -> Result<Accounts, AccountError> {
        let path = self.file();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Accounts::new()),
            Err(error) => return Err(AccountError::io("read", &path)(error)),
        };
        if mode(&file.metadata().map_err(AccountError::io("read", &path))?) & 0o077 != 0 {
            return Err(AccountError::Readable(path));
        }
        self.check_folder()?;
        let mut text = Vec::new();
        let read = (&mut file).take(LONGEST).read_to_end(&mut text);
        read.map_err(AccountError::io("read", &path))?;
        let contents: Contents = serde_json::from_slice(&text).map_err(|error| {
            // Where it is, and not what: it may be a token.
            let problem = format!("line {}, column {}", error.line(), error.column());
            AccountError::Malformed { path, problem: plain(&problem) }
        })?;
        Ok(contents.servers)
    }

    /// Changes the accounts, while nobody else does.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Accounts) -> T,
    ) -> Result<T, AccountError> {
        let locked = self.lock()?;
        let mut accounts = self.read()?;
        let result = change(&mut accounts);
        locked.write(accounts)?;
        Ok(result)
    }

    /// Waits until nobody else changes the store. A lock ends with its process.
    pub(super) fn lock(&self) -> Result<Locked<'_>, AccountError> {
        self.make_folder()?;
        let path = self.folder.join("servers.lock");
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let lock = lock.map_err(AccountError::io("open", &path))?;
        let start = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Locked { store: self, _lock: lock }),
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(AccountError::Locked(path)),
                Err(TryLockError::Error(error)) => {
                    return Err(AccountError::io("lock", &path)(error));
                }
            }
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("servers.json")
    }

    /// Whoever can write into the folder can put another file there.
    fn check_folder(&self) -> Result<(), AccountError> {
        let metadata = fs::metadata(&self.folder);
        let metadata = metadata.map_err(AccountError::io("read", &self.folder))?;
        if mode(&metadata) & 0o022 != 0 {
            return Err(AccountError::Writable(self.folder.clone()));
        }
        Ok(())
    }

    fn make_folder(&self) -> Result<(), AccountError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(AccountError::io("make", &self.folder))?;
        self.check_folder()?;
        let closed = fs::set_permissions(&self.folder, Permissions::from_mode(0o700));
        closed.map_err(AccountError::io("close", &self.folder))
    }
}

impl Locked<'_> {
    /// Replaces the file; who reads meanwhile sees the old or the new one.
    pub(super) fn write(&self, servers: Accounts) -> Result<(), AccountError> {
        let path = self.store.file();
        let mut text = serde_json::to_string_pretty(&Contents { servers })
            .expect("accounts are plain text and times");
        text.push('\n');
        replace(&self.store.folder, &path, text.as_bytes())
            .map_err(AccountError::io("write", &path))
    }
}

fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Such a file has mode 0600 from the start, and goes away when anything fails.
    let mut file = tempfile::Builder::new().prefix(".servers.").tempfile_in(folder)?;
    file.as_file().set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

fn mode(metadata: &fs::Metadata) -> u32 {
    metadata.permissions().mode()
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;
    use crate::model::Timestamp;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store { folder: dir.path().join("config/titan") };
        (dir, store)
    }

    fn account(token: &str) -> Account {
        let settings = Settings {
            issuer: "https://login.example".into(),
            client_id: "titan".into(),
            scopes: vec!["openid".into()],
            audience: None,
        };
        let session = Session {
            id_token: Secret::new(token),
            access_token: None,
            refresh_token: Some(Secret::new("s3cret")),
            expires: Timestamp::from_second(1_800_000_000).unwrap(),
        };
        Account { settings, session: Some(session) }
    }

    fn set(store: &Store, token: &str) {
        store
            .change(|all| drop(all.insert("https://titan.example".into(), account(token))))
            .unwrap();
    }

    #[test]
    fn what_is_kept_is_read_again_and_for_its_owner_alone() {
        let (_dir, store) = store();
        assert!(store.read().unwrap().is_empty());
        set(&store, "one");
        set(&store, "two");
        let found = store.read().unwrap();
        assert_eq!(found, Accounts::from([("https://titan.example".into(), account("two"))]));
        let modes =
            [&store.folder, &store.file()].map(|path| mode(&fs::metadata(path).unwrap()) & 0o777);
        assert_eq!(modes, [0o700, 0o600]);
        let names = fs::read_dir(&store.folder).unwrap().count();
        assert_eq!(names, 2, "the file and the lock, nothing temporary");
        let shown = format!("{found:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("two"), "{shown}");
    }

    #[test]
    fn what_others_can_read_or_replace_is_refused() {
        let (_dir, store) = store();
        set(&store, "one");
        let chmod = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        for mode in [0o640, 0o604, 0o620] {
            chmod(&store.file(), mode);
            assert!(matches!(store.read(), Err(AccountError::Readable(_))), "{mode:o}");
            assert!(store.change(|_| ()).is_err(), "{mode:o}");
        }
        chmod(&store.file(), 0o600);
        chmod(&store.folder, 0o777);
        assert!(matches!(store.read(), Err(AccountError::Writable(_))));
        chmod(&store.folder, 0o755);
        set(&store, "two");
        assert_eq!(mode(&fs::metadata(&store.folder).unwrap()) & 0o777, 0o700);
    }

    #[test]
    fn a_broken_file_is_told_without_its_text() {
        let (_dir, store) = store();
        set(&store, "one");
        let text = fs::read_to_string(store.file()).unwrap();
        fs::write(store.file(), text.replace("\"expires\": \"", "\"expires\": \"s3cret")).unwrap();
        let error = store.read().unwrap_err();
        assert!(matches!(error, AccountError::Malformed { .. }));
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }

    #[test]
    fn changes_at_the_same_time_are_all_made() {
        let (_dir, store) = store();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let store = &store;
                let add = move |all: &mut Accounts| {
                    all.insert(format!("https://{number}.example"), account("one"));
                };
                scope.spawn(move || store.change(add).unwrap());
            }
        });
        assert_eq!(store.read().unwrap().len(), 8);
    }
}
