//! Where the desired state comes from, the same way for every pass.

use std::sync::Arc;

use super::pull::{Place, Pull, PullError, Seen};
use super::server::Follower;
use crate::model::{Manifests, TreeId};

/// Git, or a controller that reads it.
#[derive(Debug)]
pub(super) enum Source {
    Git(Git),
    Server(Box<Follower>),
}

/// Reads Git on a thread where waiting does no harm.
#[derive(Debug)]
pub(super) struct Git {
    place: Place,
    /// `None` while a task reads with it.
    pull: Option<Box<Pull>>,
}

impl Source {
    pub(super) fn git(place: Place) -> Self {
        Self::Git(Git { place, pull: None })
    }

    /// The newest desired state, which may not be older than the generation `lowest`.
    pub(super) async fn look(&mut self, lowest: u64) -> Result<Arc<Seen>, PullError> {
        match self {
            Self::Git(git) => git.with(move |pull| pull.look(lowest)).await,
            Self::Server(server) => server.look().await,
        }
    }

    /// The manifests of an assignment that [`Self::look`] has found.
    pub(super) async fn manifests(&mut self, tree: TreeId) -> Result<Manifests, PullError> {
        match self {
            Self::Git(git) => git.with(move |pull| pull.manifests(tree)).await,
            Self::Server(server) => server.manifests(tree).await,
        }
    }
}

impl Git {
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Pull) -> Result<T, PullError> + Send + 'static,
    ) -> Result<T, PullError> {
        let new = || Box::new(Pull::new(self.place.clone()));
        let mut pull = self.pull.take().unwrap_or_else(new);
        let task = tokio::task::spawn_blocking(move || {
            let result = work(&mut pull);
            (pull, result)
        });
        let (pull, result) = task.await.map_err(|_| PullError::Interrupted)?;
        self.pull = Some(pull);
        result
    }
}
