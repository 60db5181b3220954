//! A host gets another key, if what it proved itself with is still good at the head.
//!
//! ```text
//!  Token ─ its digest is `spec.enrollment.digest` ─▶ keys: [new], and no enrollment any more
//!  Key   ─ it is one of `spec.keys`               ─▶ keys: the new one in its place
//! ```
//! The file at the head decides, however old the caller's view is: of two that use one token, on any
//! controllers, the second finds it used.

use serde_json::Value;

use super::edit::{self, FieldEdit, FieldPath};
use super::{ChangeError, Edit};
use crate::model::{HostKey, Name, ObjectRef, RepoPath, Timestamp};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub host: Name,
    pub key: HostKey,
    pub by: By,
}

/// What a host proved itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A token to enroll, by its digest `sha256:…`. That it has not expired was checked.
    Token(String),
    /// A key that it has.
    Key(HostKey),
}

impl NewKey {
    /// The edits of the host's file, which has this text.
    pub(super) fn edits(&self, path: &RepoPath, text: &str) -> Result<Vec<FieldEdit>, ChangeError> {
        let failed = |source| ChangeError::Edit { path: path.clone(), source };
        let file = edit::read(text).map_err(failed)?;
        let keys = FieldPath::of(&["spec", "keys"]);
        match &self.by {
            By::Token(digest) => {
                let enrollment = &file["spec"]["enrollment"];
                if enrollment["digest"].as_str() != Some(digest) {
                    return Err(self.unproven());
                }
                let all = Value::from(vec![self.key.to_string()]);
                let enrollment = FieldPath::of(&["spec", "enrollment"]);
                Ok(vec![FieldEdit::Set(keys, all), FieldEdit::Remove(enrollment)])
            }
            By::Key(old) => {
                let all =
                    self.replaced(*old, &file["spec"]["keys"]).ok_or_else(|| self.unproven())?;
                Ok(vec![FieldEdit::Set(keys, all)])
            }
        }
    }

    /// The host's keys with the new one in the place of `old`; `None`: `old` is not among them.
    fn replaced(&self, old: HostKey, keys: &Value) -> Option<Value> {
        let keys = keys.as_array()?.iter().map(|key| key.as_str()?.parse::<HostKey>().ok());
        let mut keys: Vec<HostKey> = keys.collect::<Option<_>>()?;
        let place = keys.iter().position(|key| *key == old)?;
        keys[place] = self.key;
        let mut seen = std::collections::BTreeSet::new();
        keys.retain(|key| seen.insert(*key));
        Some(keys.iter().map(|key| Value::from(key.to_string())).collect())
    }

    fn unproven(&self) -> ChangeError {
        ChangeError::Unproven { object: ObjectRef::Host(self.host.clone()) }
    }
}

/// Takes everything back with which a host may prove itself.
#[must_use]
pub fn revoke(host: &Name) -> Edit {
    let fields = ["keys", "enrollment", "tokens"].map(|field| FieldPath::of(&["spec", field]));
    let edits = fields.into_iter().map(FieldEdit::Remove).collect();
    Edit::Fields { object: ObjectRef::Host(host.clone()), edits }
}

/// How long a token to enroll is good, in seconds.
const ENROLLMENT: i64 = 600;

/// Until when a token to enroll is good that is made now.
#[must_use]
pub fn expires(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second().saturating_add(ENROLLMENT)).unwrap_or(now)
}

/// Lets a host enroll: `digest` is that of the token. An earlier token that was not used is worth nothing
/// then.
#[must_use]
pub fn enroll(host: &Name, digest: &str, expires: Timestamp) -> Edit {
    let value = serde_json::json!({"digest": digest, "expires": expires.to_string()});
    let edit = FieldEdit::Set(FieldPath::of(&["spec", "enrollment"]), value);
    Edit::Fields { object: ObjectRef::Host(host.clone()), edits: vec![edit] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
kind: Host
spec:
  runtime: directory # a comment
  enrollment:
    digest: \"sha256:00\"
    expires: \"2026-11-27T15:00:00Z\"
";

    fn key(byte: u8) -> HostKey {
        HostKey([byte; 32])
    }

    fn apply(text: &str, key: HostKey, by: By) -> Result<String, ChangeError> {
        let new = NewKey { host: Name::new("a").unwrap(), key, by };
        let edits = new.edits(&RepoPath::new("hosts/a.yaml").unwrap(), text)?;
        let edited = edits.iter().try_fold(text.to_owned(), |text, one| edit::apply(&text, one));
        Ok(edited.expect("it can be edited"))
    }

    #[test]
    fn a_token_counts_once() {
        let token = || By::Token("sha256:00".into());
        let once = apply(FILE, key(1), token()).unwrap();
        assert_eq!(
            once,
            format!(
                "kind: Host\nspec:\n  runtime: directory # a comment\n  keys:\n    - {}\n",
                key(1)
            )
        );
        for again in [key(1), key(2)] {
            assert!(matches!(apply(&once, again, token()), Err(ChangeError::Unproven { .. })));
        }
        let other = apply(FILE, key(1), By::Token("sha256:01".into()));
        assert!(matches!(other, Err(ChangeError::Unproven { .. })));
        let none = apply("kind: Host\nspec: {}\n", key(1), By::Token(String::new()));
        assert!(matches!(none, Err(ChangeError::Unproven { .. })));
    }

    #[test]
    fn a_key_is_replaced_by_who_has_it() {
        let one = format!("spec:\n  keys:\n    - {} # first\n    - {}\n", key(1), key(2));
        let two = apply(&one, key(3), By::Key(key(2))).unwrap();
        assert!(two.contains(&format!("- {}\n    - {}\n", key(1), key(3))), "{two}");
        let same = apply(&two, key(1), By::Key(key(3))).unwrap();
        assert_eq!(same.matches("ssh-ed25519").count(), 1, "{same}");
        assert!(matches!(apply(&two, key(4), By::Key(key(2))), Err(ChangeError::Unproven { .. })));
        assert!(matches!(apply(FILE, key(4), By::Key(key(2))), Err(ChangeError::Unproven { .. })));
    }
}
