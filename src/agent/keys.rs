//! The host's keys: `keys.json` in the state directory, mode 0600. The private ones never leave the host.
//!
//! ```text
//!  begin ─▶ New, on the disk ── the controller takes it ─▶ settle ─▶ Known, in front of the one before
//!               │                                                        │
//!               └──── signs when the known ones are refused ◀────────────┘ signs
//! ```
//! A key is on the disk before any controller hears of it, and the one before stays beside it. So whatever is
//! lost (an answer, power, the newest commits of a Git that was restored), one of the two is known.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::deliver::{DeliverError, Store};
use crate::model::{HostKey, Name, Timestamp};
use crate::proof::{KeyError, LIFE, PrivateKey, fingerprint};

pub(super) const FILE: &str = "keys.json";
/// Keys that are kept.
const KEPT: usize = 2;
/// A token is used while it is younger than this, in seconds: it must outlast a long request.
const FRESH: i64 = LIFE / 2;

/// Shared by all who talk to controllers.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    store: Arc<Store>,
    host: Name,
    memory: Arc<Mutex<Memory>>,
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] DeliverError),
}

#[derive(Debug, Default)]
struct Memory {
    /// The newest first.
    own: Vec<Own>,
    /// What was signed with each, and when.
    signed: BTreeMap<HostKey, (i64, HeaderValue)>,
}

#[derive(Debug, Clone)]
struct Own {
    key: PrivateKey,
    made: Timestamp,
    standing: Standing,
    /// Digest of the token that it was enrolled with.
    token: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Standing {
    /// No controller is known to have taken it.
    New,
    Known,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    keys: Vec<SavedKey>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedKey {
    /// For people.
    public: HostKey,
    /// PKCS #8 in base64.
    private: String,
    made: Timestamp,
    standing: Standing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enrolled_with: Option<String>,
}

/// Which key signs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    Known,
    New,
}

impl Keys {
    pub(super) fn open(store: Arc<Store>, host: Name) -> Result<Self, KeysError> {
        let saved: Saved = store.load_secret(FILE)?.unwrap_or_default();
        let own = saved.keys.into_iter().map(|saved| {
            let SavedKey { private, made, standing, enrolled_with, .. } = saved;
            let key = PrivateKey::from_text(&private)?;
            Ok(Own { key, made, standing, token: enrolled_with })
        });
        let own = own.collect::<Result<Vec<_>, KeyError>>()?;
        let memory = Arc::new(Mutex::new(Memory { own, ..Memory::default() }));
        Ok(Self { store, host, memory })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().own.is_empty()
    }

    /// Whether a controller has ever taken one.
    pub(super) fn is_known(&self) -> bool {
        self.lock().own.iter().any(|own| own.standing == Standing::Known)
    }

    /// Whether the token with this digest was used here already.
    pub(super) fn has_used(&self, digest: &str) -> bool {
        let used =
            |own: &Own| own.standing == Standing::Known && own.token.as_deref() == Some(digest);
        self.lock().own.iter().any(used)
    }

    /// When the newest key that is known was made; `None`: one is new, or there is none.
    pub(super) fn since(&self) -> Option<Timestamp> {
        let memory = self.lock();
        let newest = memory.own.first().filter(|own| own.standing == Standing::Known);
        newest.map(|own| own.made)
    }

    /// The key that the controllers are to be told: one that they may have been told before, or a new one.
    /// It is on the disk. `token` is the digest of the token that it is enrolled with.
    pub(super) fn begin(&self, token: Option<&str>, now: Timestamp) -> Result<HostKey, KeysError> {
        let mut memory = self.lock();
        let pending = memory.own.first().filter(|own| own.standing == Standing::New);
        if let Some(own) = pending.filter(|own| own.token.as_deref() == token) {
            return Ok(own.key.public());
        }
        let key = PrivateKey::generate()?;
        let public = key.public();
        let token = token.map(str::to_owned);
        let new = Own { key, made: now, standing: Standing::New, token };
        let known = memory.own.iter().filter(|own| own.standing == Standing::Known);
        let own = std::iter::once(new).chain(known.cloned()).take(KEPT).collect();
        self.save(&mut memory, own)?;
        Ok(public)
    }

    /// As [`Keys::begin`], whatever the new key was made for.
    pub(super) fn pending_or_new(&self, now: Timestamp) -> Result<HostKey, KeysError> {
        let pending = {
            let memory = self.lock();
            let newest = memory.own.first().filter(|own| own.standing == Standing::New);
            newest.map(|own| own.key.public())
        };
        pending.map_or_else(|| self.begin(None, now), Ok)
    }

    /// A controller has taken the key.
    pub(super) fn settle(&self, public: HostKey) -> Result<(), KeysError> {
        let mut memory = self.lock();
        let mut own = memory.own.clone();
        let taken = own.iter_mut().filter(|own| own.key.public() == public);
        taken.for_each(|own| own.standing = Standing::Known);
        self.save(&mut memory, own)?;
        tracing::info!(key = fingerprint(&public), "this host has a key that the controller knows");
        Ok(())
    }

    fn save(&self, memory: &mut Memory, own: Vec<Own>) -> Result<(), KeysError> {
        let saved = own.iter().map(|own| SavedKey {
            public: own.key.public(),
            private: own.key.to_text(),
            made: own.made,
            standing: own.standing,
            enrolled_with: own.token.clone(),
        });
        self.store.save_secret(FILE, &Saved { keys: saved.collect() })?;
        memory.own = own;
        Ok(())
    }

    /// A header that proves who this is, signed by the first key that is not in `tried`, and that key.
    pub(super) fn sign(
        &self,
        first: First,
        tried: &[HostKey],
        now: Timestamp,
    ) -> Result<Option<(HostKey, HeaderValue)>, KeyError> {
        let mut memory = self.lock();
        let of = |standing| memory.own.iter().filter(move |own| own.standing == standing);
        let (known, new) = (of(Standing::Known), of(Standing::New));
        let order: Vec<&Own> = match first {
            First::Known => known.chain(new).collect(),
            First::New => new.chain(known).collect(),
        };
        let next = order.into_iter().find(|own| !tried.contains(&own.key.public()));
        let Some(key) = next.map(|own| own.key.clone()) else { return Ok(None) };
        let (public, second) = (key.public(), now.as_second());
        if let Some((made, header)) = memory.signed.get(&public)
            // A clock that was put back makes them worthless too.
            && (*made..made.saturating_add(FRESH)).contains(&second)
        {
            return Ok(Some((public, header.clone())));
        }
        let header = format!("Bearer {}", key.token(&self.host, now)?);
        let mut header = HeaderValue::from_str(&header).map_err(|_| KeyError::Signed)?;
        header.set_sensitive(true);
        memory.signed.retain(|_, (made, _)| second.saturating_sub(*made) < LIFE);
        memory.signed.insert(public, (second, header.clone()));
        Ok(Some((public, header)))
    }

    /// How long after it was made the newest key is to be replaced: not by all hosts at the same time.
    pub(super) fn due(&self, every: Duration, now: Timestamp) -> Option<Duration> {
        let since = self.since()?;
        let memory = self.lock();
        let spread = memory.own.first().map_or(0, |own| own.key.public().0[0]);
        // Between nine tenths of the time and all of it.
        let after = every.mul_f64(1.0 - f64::from(spread) / 2560.0);
        let age = u64::try_from(now.as_second().saturating_sub(since.as_second())).unwrap_or(0);
        Some(after.saturating_sub(Duration::from_secs(age)))
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::proof;

    fn open(dest: &Path) -> Keys {
        let store = Arc::new(Store::open(dest).expect("the store opens"));
        Keys::open(store, Name::new("tim-pi").expect("a name")).expect("the keys open")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    /// The keys in the order in which they sign.
    fn order(keys: &Keys, first: First) -> Vec<HostKey> {
        let mut tried = Vec::new();
        while let Some((key, _)) = keys.sign(first, &tried, at(0)).expect("it signs") {
            tried.push(key);
        }
        tried
    }

    #[test]
    fn a_key_is_on_the_disk_before_anybody_hears_of_it() {
        let dest = tempfile::tempdir().expect("a directory");
        let first = open(dest.path()).begin(Some("t1"), at(0)).expect("a key");
        let file = dest.path().join(".titan/keys.json");
        let mode = || std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        let keys = open(dest.path());
        assert!(!keys.is_empty() && !keys.is_known() && !keys.has_used("t1"));
        assert_eq!(keys.begin(Some("t1"), at(1)).expect("a key"), first, "it is told again");
        keys.settle(first).expect("it is saved");
        assert!(keys.is_known() && keys.has_used("t1") && !keys.has_used("t2"));

        let second = keys.begin(None, at(2)).expect("a key");
        assert_eq!(keys.since(), None);
        drop(keys);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("it opens");
        let keys = open(dest.path());
        assert_eq!(mode(), 0o600, "others shall not read it");
        assert_eq!(order(&keys, First::Known), [first, second]);
        assert_eq!(order(&keys, First::New), [second, first]);
        keys.settle(second).expect("it is saved");
        assert_eq!(order(&keys, First::Known), [second, first], "a controller may lag behind");
        let third = keys.begin(None, at(3)).expect("a key");
        keys.settle(third).expect("it is saved");
        assert_eq!(order(&keys, First::Known), [third, second]);
        assert_eq!(keys.since(), Some(at(3)));
    }

    #[test]
    fn a_signature_is_used_until_it_is_old() {
        let dest = tempfile::tempdir().expect("a directory");
        let keys = open(dest.path());
        let key = keys.begin(None, at(0)).expect("a key");
        let sign = |second| {
            let signed = keys.sign(First::Known, &[], at(second)).expect("it signs");
            signed.expect("there is a key").1.to_str().expect("a text").to_owned()
        };
        let one = sign(1000);
        assert_eq!(sign(1000 + FRESH - 1), one);
        let two = sign(1000 + FRESH);
        assert_ne!(two, one);
        assert_ne!(sign(500), two, "the clock was put back");
        let token = one.strip_prefix("Bearer ").expect("a bearer token");
        assert!(proof::verify(token, &[key], at(1000)).is_ok());
    }

    #[test]
    fn keys_get_old_a_little_apart() {
        let dest = tempfile::tempdir().expect("a directory");
        let keys = open(dest.path());
        let every = Duration::from_secs(1000);
        assert_eq!(keys.due(every, at(0)), None);
        let key = keys.begin(None, at(0)).expect("a key");
        keys.settle(key).expect("it is saved");
        let due = keys.due(every, at(0)).expect("a time");
        assert!((Duration::from_secs(900)..=every).contains(&due), "{due:?}");
        assert_eq!(keys.due(every, at(1000)), Some(Duration::ZERO));
    }
}
