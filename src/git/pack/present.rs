//! What the repository has already: looked up for each of millions of objects.
//!
//! gix looks for a loose file wherever no pack has an object, which costs more than making it. So once
//! there are many, only packs are asked, as they were at the beginning. What is missed by that is
//! written again, which is no more than a waste that upkeep undoes.

use std::path::Path;

use gix::ObjectId;
use gix::odb::pack::index::File;

/// The packs of a repository at some time.
pub(super) struct Present(Vec<File>);

impl std::fmt::Debug for Present {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Present").field(&self.0.len()).finish()
    }
}

impl Present {
    /// The packs below `folder` (`objects/pack`) whose indices can be read.
    pub(super) fn new(folder: &Path) -> Self {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = files.map(|file| file.path());
        let indices = paths.filter(|path| {
            path.extension().is_some_and(|ending| ending == "idx")
                && path.with_extension("pack").exists()
        });
        let mut found: Vec<File> =
            indices.filter_map(|path| File::at(path, gix::hash::Kind::Sha1).ok()).collect();
        // Where most objects are they are found first.
        found.sort_by_key(|index| std::cmp::Reverse(index.num_objects()));
        Self(found)
    }

    pub(super) fn has(&self, id: &ObjectId) -> bool {
        self.0.iter().any(|index| index.lookup(id).is_some())
    }
}
