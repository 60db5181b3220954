//! The only place that touches Git: objects, trees, refs, remotes, watching.

mod commit;
mod error;
mod fleet;
mod lock;
mod process;
mod read;
mod refs;
mod source;
mod tree;
mod watch;
mod worktree;

pub use commit::{CommitDraft, CommitInfo, Signature};
pub use error::GitError;
pub use fleet::{FleetRepository, Location, RefUpdate};
pub use read::{Entry, EntryKind, Repository};
pub use refs::valid_branch_name;
pub use source::directory_files;
pub use tree::TreeEdit;
pub use watch::{Watch, watch};
