//! Keeps what was read, so that the next revision costs what differs.
//!
//! ```text
//! SourceChanges ─ replace ─▶ files ─ read ─▶ outcomes ─┬─ patch ─▶ Fleet    hosts put in and out
//!                            (those unread)            └─ build ─▶ Fleet    all references resolved
//! ```
//! `patch` is taken only where it gives what `build` would; whichever it is, an object that equals the
//! one before is the same `Arc`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::collect::collect;
use super::file::{self, File, Item};
use super::layout::{Place, SETTINGS, classify};
use super::survey::survey;
use super::{Parsed, hold, resolve};
use crate::model::{
    Content, Diagnostic, Fleet, FleetSpec, Host, Limits, ObjectRef, RepoPath, Revision,
    SourceChanges, SourceFile,
};

/// Reads one revision of the config branch after the other.
#[derive(Debug, Clone, Default)]
pub struct Parser {
    /// All files but those that are none of titan's business.
    files: BTreeMap<RepoPath, File>,
    /// Objects whose outcome is missing, or comes from another content or other limits.
    unread: BTreeSet<RepoPath>,
    /// What the objects were read under.
    limits: Limits,
    hosts: usize,
    /// Objects that are neither hosts nor the settings.
    others: usize,
    /// What came out last.
    last: Parsed,
    /// Whether hosts can be put into the last fleet, and taken out of it, one by one.
    open: bool,
}

/// A file that is not what it was.
struct Changed {
    path: RepoPath,
    before: Option<File>,
}

impl Parser {
    /// Applies what differs from the files of the last call (at first: from none), and gives what
    /// [`super::parse`] makes of all of them.
    pub fn update(&mut self, revision: Option<Revision>, changes: SourceChanges) -> Parsed {
        let changed = self.replace_all(changes);
        self.read_settings();
        let too_many = self.too_many();
        if too_many.is_none() {
            self.read();
        }
        let patched = if too_many.is_none() { self.patch(&changed) } else { None };
        let mut fleet = match patched {
            Some(fleet) => fleet,
            None => self.build(too_many),
        };
        fleet.revision = revision;
        self.last.fleet = Arc::new(fleet);
        self.last.clone()
    }

    fn replace_all(&mut self, changes: SourceChanges) -> Vec<Changed> {
        let changes = match changes {
            SourceChanges::Some(changes) => changes,
            SourceChanges::All(files) => {
                let mut all: BTreeMap<RepoPath, Option<Content>> =
                    self.files.keys().map(|path| (path.clone(), None)).collect();
                all.extend(files.into_iter().map(|file| (file.path, Some(file.content))));
                all
            }
        };
        changes.into_iter().filter_map(|(path, content)| self.replace(path, content)).collect()
    }

    /// Puts a file in, or takes it out; `None` where that changes nothing.
    fn replace(&mut self, path: RepoPath, content: Option<Content>) -> Option<Changed> {
        if self.files.get(&path).map(|file| &file.source.content) == content.as_ref() {
            return None;
        }
        let before = self.files.remove(&path);
        if let Some(count) = before.as_ref().and_then(|file| self.count(file)) {
            *count -= 1;
        }
        self.unread.remove(&path);
        if let Some(content) = content {
            let place = before.as_ref().map_or_else(|| classify(&path), |file| file.place.clone());
            if place == Place::Foreign {
                return None;
            }
            let outcome = before.as_ref().and_then(|file| file.outcome.clone());
            let file = File { source: SourceFile { path: path.clone(), content }, place, outcome };
            if file.object().is_some() {
                self.unread.insert(path.clone());
            }
            if let Some(count) = self.count(&file) {
                *count += 1;
            }
            self.files.insert(path.clone(), file);
        }
        Some(Changed { path, before })
    }

    fn count(&mut self, file: &File) -> Option<&mut usize> {
        match file.object()? {
            ObjectRef::Fleet => None,
            ObjectRef::Host(_) => Some(&mut self.hosts),
            _ => Some(&mut self.others),
        }
    }

    /// The settings, which come first as they carry the limits.
    fn read_settings(&mut self) {
        if self.unread.remove(SETTINGS) {
            let file = self.files.get_mut(SETTINGS).expect("what is unread is there");
            let outcome = file::read(&ObjectRef::Fleet, &file.source, &Limits::default());
            file.outcome = Some(outcome);
        }
        let limits = self.settings().limits;
        if limits != self.limits {
            self.limits = limits;
            self.open = false;
            let objects = self
                .files
                .iter()
                .filter(|(path, file)| file.object().is_some() && path.as_str() != SETTINGS);
            self.unread = objects.map(|(path, _)| path.clone()).collect();
        }
    }

    /// The defaults where there are none, or where they are broken.
    fn settings(&self) -> FleetSpec {
        match self.files.get(SETTINGS).and_then(File::item) {
            Some(Item::Fleet(settings)) => FleetSpec::clone(settings),
            _ => FleetSpec::default(),
        }
    }

    fn too_many(&self) -> Option<Diagnostic> {
        let Self { limits, hosts, others, .. } = self;
        let (what, count, limit) = if *hosts > limits.hosts as usize {
            ("hosts", hosts, limits.hosts)
        } else if *others > limits.objects as usize {
            ("objects", others, limits.objects)
        } else {
            return None;
        };
        let message = format!("there are {count} {what}, more than {limit}");
        let fix = format!("raise `limits.{what}` in `{SETTINGS}`");
        Some(Diagnostic::error("object/limit", message).fix(fix))
    }

    /// Reads what is unread. An outcome that equals the one before keeps its `Arc`.
    fn read(&mut self) {
        let unread = std::mem::take(&mut self.unread);
        let work: Vec<(&ObjectRef, &SourceFile)> = unread
            .iter()
            .filter_map(|path| {
                let file = self.files.get(path)?;
                Some((file.object()?, &file.source))
            })
            .collect();
        let outcomes = file::read_all(&work, &self.limits);
        for (path, outcome) in unread.iter().zip(outcomes) {
            let file = self.files.get_mut(path).expect("what is unread is there");
            if file.outcome.as_ref() != Some(&outcome) {
                file.outcome = Some(outcome);
            }
        }
    }

    /// The last fleet with the changed hosts, if nothing but hosts by themselves makes a difference.
    fn patch(&self, changed: &[Changed]) -> Option<Fleet> {
        if !self.open {
            return None;
        }
        let last = &self.last.fleet;
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for Changed { path, before } in changed {
            let sides = [before.as_ref(), self.files.get(path)];
            if self.says_the_same(path, sides) {
                continue;
            }
            let [before, after] = sides.map(|file| file.map(File::host));
            if let Some(host) = before {
                let host = host?;
                let known =
                    last.hosts.get(&host.name).is_some_and(|known| Arc::ptr_eq(known, host));
                gone.push(known.then_some(host)?);
            }
            if let Some(host) = after {
                let host = host?;
                let alone = !last.held.hosts.contains_key(&host.name) && self.lies_apart(host);
                new.push(alone.then_some(host)?);
            }
        }
        let mut fleet = Fleet::clone(last);
        for host in gone {
            fleet.hosts.remove(&host.name);
        }
        for host in new {
            let twin = fleet.hosts.insert(host.name.clone(), Arc::clone(host));
            if twin.is_some() {
                return None;
            }
        }
        Some(fleet)
    }

    /// Whether an object is as it was, and nothing is said about any line of its file.
    fn says_the_same(&self, path: &RepoPath, sides: [Option<&File>; 2]) -> bool {
        let [Some(before), Some(after)] = sides else { return false };
        let (Some(old), Some(new)) = (before.item(), after.item()) else { return false };
        let at = |found: &Diagnostic| found.path.as_ref().cmp(&Some(path));
        let held = match after.object() {
            Some(ObjectRef::Deployment(id)) => self.last.fleet.held.deployments.contains_key(id),
            _ => false,
        };
        old == new && !held && self.last.diagnostics.binary_search_by(at).is_err()
    }

    /// Whether no other host lies in this host's folder, nor this one in another's.
    fn lies_apart(&self, host: &Host) -> bool {
        let is_host = |file: &File| matches!(file.object(), Some(ObjectRef::Host(_)));
        let folder = host.folder();
        let folder = folder.as_str();
        let mut above = folder.match_indices('/').map(|(end, _)| &folder[..end]);
        let below = format!("{folder}/");
        let range = (Bound::Excluded(below.as_str()), Bound::Unbounded);
        let mut inside = self.files.range::<str, _>(range);
        !above.any(|parent| self.files.get(format!("{parent}.yaml").as_str()).is_some_and(is_host))
            && !inside
                .by_ref()
                .take_while(|(path, _)| path.as_str().starts_with(&below))
                .any(|(_, file)| is_host(file))
    }

    /// Resolves everything anew.
    fn build(&mut self, too_many: Option<Diagnostic>) -> Fleet {
        let mut survey = survey(self.files.values());
        let mut diagnostics = std::mem::take(&mut survey.diagnostics);
        let mut all = survey.all.take();
        if let Some(Err(found)) = self.files.get(SETTINGS).and_then(|file| file.outcome.as_ref()) {
            all = found.first().map(hold);
            diagnostics.extend(found.iter().cloned());
        }
        let open = too_many.is_none() && !survey.astray;
        let mut fleet = match too_many {
            Some(diagnostic) => {
                all.get_or_insert_with(|| hold(&diagnostic));
                diagnostics.push(diagnostic);
                Fleet::default()
            }
            None => {
                let objects = collect(&mut survey, &mut diagnostics);
                resolve::resolve(objects, &mut diagnostics)
            }
        };
        fleet.settings = self.settings();
        fleet.held.all = all;
        diagnostics.sort_by(|a, b| (&a.path, a.span).cmp(&(&b.path, b.span)));
        let last = &self.last.fleet;
        share(&last.workspaces, &mut fleet.workspaces);
        share(&last.templates, &mut fleet.templates);
        share(&last.deployments, &mut fleet.deployments);
        self.last.diagnostics = diagnostics;
        self.open = open;
        fleet
    }
}

/// Keeps the `Arc`s of what stayed equal.
fn share<K: Ord, V: PartialEq>(last: &BTreeMap<K, Arc<V>>, next: &mut BTreeMap<K, Arc<V>>) {
    for (key, value) in next {
        match last.get(key) {
            Some(known) if known == value => *value = Arc::clone(known),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
