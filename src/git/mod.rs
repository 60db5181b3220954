//! The only place that touches Git: objects, trees, refs, remotes, watching.
//!
//! ```text
//!  FleetRepository ─┬─ Repository ── objects (read, source, tree, commit) and refs (refs, lock): gix
//!                   │      └─ Objects ── new objects, as one pack (pack); merged later (upkeep)
//!                   └─ Remote ────── clone, fetch, push (remote): git(1) (process)
//!  HostSource ── one host's folder (sparse): in place, or a partial clone
//!  watch ── a hint that refs moved: notify
//! ```
//!
//! - What is read comes from the object database, never from a worktree: links, hooks, attributes,
//!   filters and submodules of a config repository have no power here.
//! - Branches move only forward and by compare-and-swap. A lost race is understood by reading the ref
//!   again, never from a message.
//! - Locks of dead processes are cleared, and a damaged clone of a remote is made again: no error
//!   needs a manual repair of what titan itself keeps.

mod commit;
mod error;
mod fleet;
mod index;
mod lock;
mod pack;
mod process;
mod read;
mod refs;
mod remote;
mod source;
mod sparse;
mod tree;
mod upkeep;
mod watch;
mod worktree;

pub use commit::{CommitDraft, CommitInfo, Signature};
pub use error::GitError;
pub use fleet::{FleetRepository, Location, RefUpdate};
pub use pack::{Objects, Sibling};
pub use read::{Entry, EntryKind, Repository};
pub use refs::valid_branch_name;
pub use source::directory_files;
pub use sparse::{HostSource, HostView};
pub use tree::{TreeEdit, empty_tree};
pub use watch::{Watch, watch};
