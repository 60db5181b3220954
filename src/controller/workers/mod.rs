//! INTERIM: replaced by branch `workers`.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::git::{GitError, Objects, Sibling, TreeEdit, empty_tree};
use crate::model::{AssignmentRef, Diagnostic, Fleet, Pairs, Trees};
use crate::render::Renderer;

#[derive(Debug, Default)]
pub struct Workers;

#[derive(Debug, Default)]
pub struct Outcomes {
    pub made: Trees,
    pub failed: BTreeMap<AssignmentRef, Vec<Diagnostic>>,
}

impl Workers {
    pub fn render(
        &self,
        fleet: &Arc<Fleet>,
        pairs: &Pairs,
        objects: Option<&Objects>,
    ) -> Result<Outcomes, GitError> {
        let mut outcomes = Outcomes::default();
        let mut renderer = Renderer::new(fleet);
        let Some(objects) = objects else { return Ok(outcomes) };
        let repository = objects.repository();
        let mut by = BTreeMap::new();
        pairs.iter().for_each(|(d, h)| drop(by.insert((d, h), ())));
        for (deployment, host) in by.keys() {
            let d = &fleet.deployments[*deployment];
            let h = &fleet.hosts[*host];
            match renderer.render(d, h) {
                Ok(manifests) => {
                    let mut tree = empty_tree();
                    if !manifests.files.is_empty() {
                        let mut edit = TreeEdit::new(repository, None);
                        for (path, bytes) in &manifests.files {
                            edit.put_sibling(path, bytes, Sibling::of(&(deployment, path)))?;
                        }
                        tree = edit.write()?;
                    }
                    outcomes.made.set(deployment, host, Some(tree));
                }
                Err(error) => drop(outcomes.failed.insert(deployment.on(host), error.0)),
            }
        }
        Ok(outcomes)
    }
}
