//! `--dry-run`: what a change would do, told without doing it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;

use super::context::{Config, Context};
use super::exit::Exit;
use super::table::counted;
use crate::change::Proposed;
use crate::git::FleetRepository;
use crate::model::AssignmentRef;
use crate::plan::{Evaluation, evaluate};

/// Shows the patch, and the assignments whose manifests would be others.
///
/// # Errors
/// When one of the two commits cannot be read.
pub(super) fn tell(
    context: &Context,
    repository: &FleetRepository,
    proposed: &Proposed,
) -> Result<Exit> {
    let before = context.config_at(repository.clone(), proposed.base)?;
    let current = before.rendered()?.current;
    let after = context.config_at(repository.clone(), Some(proposed.revision))?;
    let evaluate = |config: &Config| evaluate(config.fleet(), &current);
    let effects = effects(&evaluate(&before), &evaluate(&after));
    let value = json!({
        "dryRun": true,
        "branch": repository.branch,
        "changed": proposed.changed,
        "assignments": effects.iter().map(|(id, effect)| (id.to_string(), *effect)).collect::<BTreeMap<_, _>>(),
    });
    if context.output.value(&value)? {
        return Ok(Exit::Fine);
    }
    let mut text = repository.repository.patch(proposed.base, proposed.revision)?;
    text.push('\n');
    for (id, effect) in &effects {
        text += &format!("{effect:<8}{id}\n");
    }
    let count = counted(effects.len(), "assignment");
    context.output.print(&text)?;
    context.output.note(&format!("dry run: nothing was committed; {count} would change"));
    Ok(Exit::Fine)
}

/// What would become of assignments. What is kept (suspended or held) is none of these.
fn effects(before: &Evaluation, after: &Evaluation) -> BTreeMap<AssignmentRef, &'static str> {
    let mut effects = BTreeMap::new();
    for (id, manifests) in &after.manifests {
        match before.manifests.get(id) {
            // A deployment that was suspended until now may run already.
            None if before.schedule.kept.contains(&id.deployment, &id.host) => {
                effects.insert(id.clone(), "change");
            }
            None => {
                effects.insert(id.clone(), "add");
            }
            Some(old) if old != manifests => {
                effects.insert(id.clone(), "change");
            }
            Some(_) => {}
        }
    }
    for id in before.manifests.keys() {
        let (deployment, host) = (&id.deployment, &id.host);
        let stays = after.schedule.assignments.contains(deployment, host)
            || after.schedule.kept.contains(deployment, host);
        if !stays {
            effects.insert(id.clone(), "remove");
        }
    }
    effects
}
