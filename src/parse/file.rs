//! One file of the config branch: what it stands for, and what came out of reading it.

use std::sync::Arc;

use super::layout::Place;
use super::object;
use super::survey::content;
use crate::model::{
    DeploymentSpec, Diagnostic, FleetSpec, Host, Labels, Limits, ObjectRef, SourceFile, Target,
    TemplateSpec, Workload, Workspace,
};
use crate::parallel::share_out;

/// A file that means something to titan.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) source: SourceFile,
    pub(crate) place: Place,
    /// What came out of it, if it defines an object and was read.
    pub(crate) outcome: Option<Outcome>,
}

/// A file's object, or everything that is wrong with it.
pub(crate) type Outcome = Result<Item, Vec<Diagnostic>>;

/// A valid object, as complete as its own file makes it; cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Fleet(Arc<FleetSpec>),
    Host(Arc<Host>),
    Workspace(Arc<Workspace>),
    Template(Arc<TemplateSpec>),
    Target(Arc<Target>),
    Workload(Arc<Workload>),
    Deployment(Arc<Draft>),
}

/// A deployment whose references are still names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    pub(crate) labels: Labels,
    pub(crate) spec: DeploymentSpec,
}

impl File {
    /// The object that the file defines.
    pub(crate) fn object(&self) -> Option<&ObjectRef> {
        match &self.place {
            Place::Object(id) => Some(id),
            _ => None,
        }
    }

    /// The file's object, where it is valid.
    pub(crate) fn item(&self) -> Option<&Item> {
        self.outcome.as_ref()?.as_ref().ok()
    }

    /// The host that the file defines, where it is valid.
    pub(crate) fn host(&self) -> Option<&Arc<Host>> {
        match self.item() {
            Some(Item::Host(host)) => Some(host),
            _ => None,
        }
    }
}

/// Reads the file of the object `id`.
///
/// # Errors
/// Everything that is wrong with it; never empty.
pub(crate) fn read(id: &ObjectRef, file: &SourceFile, limits: &Limits) -> Outcome {
    object::read(id, &file.path, content(file)?, limits)
}

/// So many files are worth a thread of their own.
const SHARE: usize = 500;

/// Reads files, many of them on all processors: each by itself, so that the order of work changes nothing.
pub(crate) fn read_all(files: &[(&ObjectRef, &SourceFile)], limits: &Limits) -> Vec<Outcome> {
    let read = |files: &[(&ObjectRef, &SourceFile)]| -> Vec<Outcome> {
        files.iter().map(|(id, file)| read(id, file, limits)).collect()
    };
    share_out(files.to_vec(), SHARE, || (), |(), files| read(&files))
        .into_iter()
        .flatten()
        .collect()
}
