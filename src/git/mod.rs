//! The only place that touches Git: objects, trees, refs, remotes, watching.
//!
//! ```text
//!  FleetRepository ─┬─ Repository ── objects (read, source, tree, commit) and refs (refs, lock): gix
//!                   │      └─ Objects ── new objects, as one pack (pack); merged later (upkeep)
//!                   │            └─ Chunk ── made by a worker
//!                   └─ Remote ────── clone, fetch, push (remote): git(1) (process)
//!  HostSource ── one host's folder (sparse): in place, or a clone (partial)
//!  watch ── a hint that refs moved: notify
//! ```
//!
//! - What is read comes from the object database, never from a worktree: links, hooks, attributes,
//!   filters and submodules of a config repository have no power here.
//! - Branches move only forward and by compare-and-swap. A lost race is understood by reading the ref
//!   again, never from a message.
//! - Locks of dead processes are cleared, and a damaged clone of a remote is made again: no error
//!   needs a manual repair of what titan itself keeps.
//!
//! # What reaches git(1)
//! Its environment is emptied, and system and user configuration are not read. Operators may set:
//!
//! | variable | for |
//! |---|---|
//! | `PATH`, `TMPDIR` | finding git, ssh and askpass programs; temporary files |
//! | `GIT_SSH_COMMAND` | the ssh to use, with its options (key, known hosts, port); default: `ssh` in batch mode with time limits |
//! | `SSH_AUTH_SOCK`, `SSH_ASKPASS` | keys of an ssh agent |
//! | `GIT_ASKPASS` | a program that prints user and password of an https remote |
//! | `GIT_USERNAME`, `GIT_PASSWORD`, `GIT_TOKEN` | what such a program may read |
//! | `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`, and the last three in capitals | proxies |
//! | `GIT_SSL_CAINFO`, `GIT_SSL_CAPATH`, `SSL_CERT_FILE`, `SSL_CERT_DIR` | further certificate authorities |
//! | `GIT_SSL_CERT`, `GIT_SSL_KEY` | a client certificate |
//!
//! `HOME` is a folder that does not exist: `~/.netrc`, `~/.gitconfig` and credential helpers have no say
//! (ssh finds `~/.ssh` by the user, not by `HOME`). Every call ends after `limits.fetchTime`, with all
//! that it started.

mod commit;
mod compare;
mod error;
mod fleet;
mod local;
mod lock;
mod name;
mod pack;
mod partial;
mod process;
mod raw;
mod read;
mod reader;
mod refs;
mod remote;
mod settings;
mod source;
mod sparse;
mod tree;
mod upkeep;
mod watch;
mod worktree;

pub use commit::{CommitDraft, CommitInfo, Signature};
pub use error::GitError;
pub use fleet::{FleetRepository, Location, RefUpdate};
pub use name::{files_id, folder_id};
pub use pack::{Chunk, Objects, Sibling};
pub use read::{Entry, EntryKind, Repository, Sides};
pub use reader::Reader;
pub use refs::valid_branch_name;
pub use settings::settings_at;
pub use source::{Sources, directory_files};
pub use sparse::{HostSource, HostView};
pub use tree::{TreeEdit, blob_id, empty_tree};
pub use watch::{Watch, watch};
