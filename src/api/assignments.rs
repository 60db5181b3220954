//! `GET /api/v1/assignments`: statuses, host by host.
//!
//! ```text
//!  hosts that may be meant, in order ──▶ the folder of each on the status branch ──▶ a page is full: stop
//! ```
//! A page costs what is on it, however large the fleet is. A past revision (`?revision=`), where hosts
//! may have lain elsewhere, is read as a whole, once at a time.

use std::sync::Arc;

use serde_json::json;
use tokio::task::spawn_blocking;
use warp::http::HeaderMap;

use super::error::{Refused, Reply};
use super::list::{self, Page};
use super::query::Query;
use super::{Caller, Context};
use crate::git::{GitError, Repository};
use crate::model::{AssignmentRef, AssignmentStatus, Labels, Name, ObjectRef, RepoPath, Revision};
use crate::observe::Snapshot;
use crate::observe::view::{Scope, StatusView, of_host};

/// Hosts that are looked at for one page: few of them may have what is asked for.
const HOSTS: usize = 2000;

pub(super) async fn read(
    context: &Arc<Context>,
    query: &Query,
    headers: &HeaderMap,
    caller: &Caller,
) -> Result<Reply, Refused> {
    let asked = Asked {
        snapshot: context.snapshot(),
        query: query.clone(),
        caller: caller.clone(),
        repository: context.needs.repository.repository.clone(),
    };
    let head = asked.head().map_err(unreadable)?;
    let tag = format!("\"{}\"", head.unwrap_or(Revision::NONE));
    if list::is_known(headers, &tag) {
        return Ok(list::not_modified(&tag));
    }
    if query.revision.is_some() && !asked.caller.is_member(&asked.snapshot.fleet) {
        return Err(Refused::NotFound);
    }
    let _turn = match query.revision {
        Some(_) => Some(context.past.acquire().await.expect("the semaphore is never closed")),
        None => None,
    };
    let page = spawn_blocking(move || match asked.query.revision {
        Some(past) => asked.past(past),
        None => asked.page(head),
    });
    let page = page.await.map_err(|_| Refused::Busy)?.map_err(unreadable)?;
    Ok(page.show(|status| json!(status)).reply(head, &tag))
}

fn unreadable(error: GitError) -> Refused {
    tracing::warn!(error = &error as &dyn std::error::Error, "statuses cannot be read");
    Refused::NotFound
}

/// What is asked for, by whom, of which fleet.
struct Asked {
    snapshot: Arc<Snapshot>,
    query: Query,
    caller: Caller,
    repository: Repository,
}

impl Asked {
    fn head(&self) -> Result<Option<Revision>, GitError> {
        match self.query.revision {
            Some(revision) => Ok(Some(revision)),
            None => self.repository.branch(&self.snapshot.fleet.settings.branches.status),
        }
    }

    /// In the order of hosts; `continue` is the last one's host and deployment.
    fn page(&self, head: Option<Revision>) -> Result<Page<AssignmentStatus>, GitError> {
        let mut page = Page { items: Vec::new(), next: None, remaining: None };
        let Some(head) = head else { return Ok(page) };
        let root = self.repository.commit(head)?.tree;
        let after = self.query.after.as_deref().unwrap_or_default();
        let (begin, done) = after.split_once('/').unwrap_or((after, ""));
        let all = &self.snapshot.folders;
        let folders: Box<dyn Iterator<Item = (&Name, &RepoPath)>> = match &self.query.host {
            Some(host) => Box::new(all.get_key_value(host).into_iter()),
            None => Box::new(all.iter()),
        };
        let folders = folders.filter(|(host, _)| host.as_str() >= begin);
        for (looked, (host, folder)) in folders.enumerate() {
            if looked == HOSTS {
                page.next = Some(format!("{host}/"));
                break;
            }
            if !self.means(host) {
                continue;
            }
            let all = of_host(&self.repository, root, folder, self.query.deployment.as_ref())?;
            let new = |deployment: &str| host.as_str() > begin || deployment > done;
            let all = all.into_iter().filter(|one| new(&one.assignment.deployment.to_string()));
            for status in all.filter(|one| self.shows(&one.assignment)) {
                if page.items.len() == self.query.limit {
                    let last = page.items.last().map(|last| &last.assignment);
                    page.next = last.map(|last| format!("{}/{}", last.host, last.deployment));
                    return Ok(page);
                }
                page.items.push(status);
            }
        }
        Ok(page)
    }

    /// All of a past revision, then the page.
    fn past(&self, revision: Revision) -> Result<Page<AssignmentStatus>, GitError> {
        let view = StatusView::read(&self.repository, Some(revision), &scope(&self.query))?;
        let items = view.assignments.into_iter();
        let items = items.filter(|one| self.query.names(&one.assignment));
        let items = items.filter(|one| self.means(&one.assignment.host));
        let items = items.filter(|one| self.shows(&one.assignment));
        Ok(list::page(&self.query, items.map(|one| (one.assignment.to_string(), one))))
    }

    /// Whether assignments of the host are asked for.
    fn means(&self, host: &Name) -> bool {
        let labels = self.snapshot.fleet.hosts.get(host).map(|host| &host.labels);
        let none = Labels::new();
        self.query.host.as_ref().is_none_or(|wanted| wanted == host)
            && self.query.selector.matches(labels.unwrap_or(&none))
    }

    /// Whether the assignment is of the workspace that is asked for, and may be read.
    fn shows(&self, assignment: &AssignmentRef) -> bool {
        let deployment = &assignment.deployment;
        self.query.workspace.as_ref().is_none_or(|wanted| *wanted == deployment.workspace)
            && self
                .caller
                .may_read(&self.snapshot.fleet, &ObjectRef::Deployment(deployment.clone()))
    }
}

fn scope(query: &Query) -> Scope {
    match (&query.host, &query.deployment) {
        (Some(host), _) => Scope::Host(host.clone()),
        (None, Some(deployment)) => Scope::Deployment(deployment.clone()),
        (None, None) => Scope::Fleet,
    }
}
