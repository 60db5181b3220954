//! What a server's answer is worth: nothing of it is believed that cannot be computed again. Pure.
//!
//! The tree of a host's folder is named by what is in it, its `.titan` with the host's name included. So
//! an answer that was cut short, mixed up, meant for another host, or told to somebody who knows something
//! else than the server believes does not have the name that it claims.

use std::collections::BTreeMap;

use super::pull::Seen;
use crate::git::files_id;
use crate::model::{
    DeploymentRef, HostDeployment, HostDeployments, HostFile, Limits, Manifests, Name, RepoPath,
    TreeId,
};
use crate::publish::{Gathered, HostFolder, Refused};

/// Why an answer is not acted upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("it cannot be understood")]
    Malformed,
    #[error("it is for the host `{host}`")]
    OtherHost { host: Name },
    #[error("its generation {got} is older than {seen}, which was seen before")]
    OldGeneration { got: u64, seen: u64 },
    #[error("it tells changes, but everything was asked for")]
    NoBase,
    #[error("it is not the tree {} that it says it is", .tree.short())]
    Tree { tree: TreeId },
}

/// The desired state after `answer`, where `base` was known before. `lowest` is the highest generation
/// that was seen.
pub(super) fn accept(
    host: &Name,
    answer: &HostDeployments,
    base: Option<&Seen>,
    lowest: u64,
) -> Result<Seen, AnswerError> {
    let HostDeployments { rendered, generation, tree, .. } = *answer;
    if answer.host != *host {
        return Err(AnswerError::OtherHost { host: answer.host.clone() });
    }
    if generation < lowest {
        return Err(AnswerError::OldGeneration { got: generation, seen: lowest });
    }
    let mut assignments = match (answer.full, base) {
        (true, _) => BTreeMap::new(),
        (false, Some(base)) => base.assignments.clone(),
        (false, None) => return Err(AnswerError::NoBase),
    };
    for deployment in &answer.removed {
        assignments.remove(deployment);
    }
    for HostDeployment { deployment, tree, .. } in &answer.deployments {
        assignments.insert(deployment.clone(), *tree);
    }
    let folder = HostFolder { assignments, nested: answer.nested.clone() };
    if folder.tree(host).ok() != Some(tree) {
        return Err(AnswerError::Tree { tree });
    }
    Ok(Seen { rendered, generation, tree, assignments: folder.assignments })
}

/// The assignments of an answer whose files came with it and are not in `base`, by their trees.
pub(super) fn news(
    answer: HostDeployments,
    base: Option<&Seen>,
    limits: &Limits,
) -> BTreeMap<TreeId, Manifests> {
    let known = |deployment: &DeploymentRef| base.and_then(|base| base.assignments.get(deployment));
    let news =
        answer.deployments.into_iter().filter(|one| known(&one.deployment) != Some(&one.tree));
    // What is refused is asked for again, alone, and refused there.
    let checked = news.filter_map(|one| Some((one.tree, manifests(one, limits).ok()??)));
    checked.collect()
}

/// The files of an assignment, if they are those of its tree; `None`: they are still to be asked for.
pub(super) fn manifests(
    answer: HostDeployment,
    limits: &Limits,
) -> Result<Option<Manifests>, Refused> {
    let HostDeployment { tree, files, problem, .. } = answer;
    if let Some(problem) = problem {
        let reason = if problem.reason == "TooLarge" { "TooLarge" } else { "Malformed" };
        return Err(Refused::Told { reason, message: problem.message });
    }
    let Some(files) = files else { return Ok(None) };
    let mut gathered = Gathered::new(limits);
    for file in &files {
        let (path, bytes) = checked(file)?;
        gathered.admit(&path, bytes.len() as u64)?;
        gathered.put(path, bytes)?;
    }
    let manifests = gathered.finish()?;
    if files_id(&manifests.files).ok() != Some(tree) {
        return Err(Refused::Tree { tree });
    }
    Ok(Some(manifests))
}

fn checked(file: &HostFile) -> Result<(RepoPath, std::sync::Arc<[u8]>), Refused> {
    let shown = || file.path.escape_default().to_string();
    let path = RepoPath::new(&file.path).map_err(|_| Refused::Path { path: shown() })?;
    let bytes = file.bytes().ok_or_else(|| Refused::Kind { path: shown() })?;
    Ok((path, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HostProblem, Revision};

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn one(deployment: &str, files: &[(&str, &str)]) -> HostDeployment {
        let paths = files.iter().map(|(path, text)| {
            (RepoPath::new(path).expect("a path"), std::sync::Arc::from(text.as_bytes()))
        });
        let manifests = Manifests { files: paths.collect() };
        HostDeployment {
            deployment: deployment.parse().expect("a deployment"),
            tree: files_id(&manifests.files).expect("an id"),
            files: Some((&manifests).into()),
            problem: None,
        }
    }

    /// A full answer that is as it should be.
    fn full(generation: u64, deployments: &[HostDeployment]) -> HostDeployments {
        let host = name("tim-pi");
        let all = deployments.iter().map(|one| (one.deployment.clone(), one.tree));
        let folder = HostFolder { assignments: all.collect(), ..HostFolder::default() };
        HostDeployments {
            tree: folder.tree(&host).expect("an id"),
            host,
            rendered: Revision::NONE,
            generation,
            full: true,
            deployments: deployments.to_vec(),
            removed: Vec::new(),
            nested: BTreeMap::new(),
        }
    }

    fn seen(answer: &HostDeployments, base: Option<&Seen>) -> Result<Seen, AnswerError> {
        accept(&name("tim-pi"), answer, base, 7)
    }

    #[test]
    fn changes_lead_to_where_everything_leads() {
        let (a, b) = (one("w/l/a", &[("f", "1")]), one("w/l/b", &[("f", "1"), ("g/h", "2")]));
        let first = seen(&full(7, &[a.clone(), b.clone()]), None).expect("it is fine");
        assert_eq!(first.assignments.len(), 2);
        let a2 = one("w/l/a", &[("f", "2")]);
        let everything = full(8, std::slice::from_ref(&a2));
        let changes = HostDeployments {
            full: false,
            removed: vec![b.deployment.clone()],
            ..everything.clone()
        };
        let second = seen(&changes, Some(&first)).expect("it is fine");
        assert_eq!(second, seen(&everything, None).expect("it is fine"));
        let keys: Vec<_> = news(changes, Some(&first), &Limits::default()).into_keys().collect();
        assert_eq!(keys, [a2.tree]);
        assert!(news(full(8, &[a, b]), Some(&first), &Limits::default()).is_empty());
        assert!(
            seen(&full(9, &[]), Some(&second)).expect("nothing is to run").assignments.is_empty()
        );
    }

    #[test]
    fn what_is_not_what_it_says_is_not_believed() {
        let (a, b) = (one("w/l/a", &[("f", "1")]), one("w/l/b", &[("f", "2")]));
        let good = full(7, &[a.clone(), b.clone()]);
        let base = seen(&good, None).expect("it is fine");
        let check = |change: &dyn Fn(&mut HostDeployments), expected: AnswerError| {
            let mut answer = good.clone();
            change(&mut answer);
            assert_eq!(seen(&answer, Some(&base)), Err(expected));
        };
        let tree = AnswerError::Tree { tree: good.tree };
        check(&|answer| answer.deployments.clear(), tree.clone());
        check(&|answer| drop(answer.deployments.pop()), tree.clone());
        check(&|answer| answer.deployments[0].tree = b.tree, tree.clone());
        let more = |answer: &mut HostDeployments| answer.nested.extend([(name("x"), a.tree)]);
        check(&more, tree.clone());
        let lacking = |answer: &mut HostDeployments| {
            answer.full = false;
            answer.removed.push(a.deployment.clone());
            answer.deployments.clear();
        };
        check(&lacking, tree);
        check(
            &|answer| answer.host = name("other"),
            AnswerError::OtherHost { host: name("other") },
        );
        let old = AnswerError::OldGeneration { got: 6, seen: 7 };
        check(&|answer| answer.generation = 6, old);
        let changes = HostDeployments { full: false, ..good.clone() };
        assert_eq!(seen(&changes, None), Err(AnswerError::NoBase));
        // The same content, but in the folder of another host.
        let other = accept(&name("b"), &HostDeployments { host: name("b"), ..good }, None, 0);
        assert!(matches!(other, Err(AnswerError::Tree { .. })));
    }

    #[test]
    fn files_are_checked_one_by_one() {
        let limits = Limits { assignment_files: 2, ..Limits::default() };
        let check = |change: &dyn Fn(&mut HostDeployment), expected: &str| {
            let mut answer = one("w/l/a", &[("f", "1"), ("g", "2")]);
            change(&mut answer);
            let refused = manifests(answer, &limits).expect_err("it is refused");
            assert_eq!(refused.to_string(), expected);
        };
        let path = |path: &'static str| {
            move |answer: &mut HostDeployment| {
                answer.files.as_mut().expect("files")[0].path = path.to_owned();
            }
        };
        let id = one("w/l/a", &[("f", "1"), ("g", "2")]).tree;
        let wrong = format!("the files are not those of the tree {}", id.short());
        check(&path("../x"), "the path `../x` is not allowed");
        check(&path("/etc/passwd"), "the path `/etc/passwd` is not allowed");
        check(&path(".git/config"), "the path `.git/config` is not allowed");
        check(&path("g"), "the path `g` is not allowed");
        check(&path("h"), &wrong);
        check(&path("g/x"), &wrong);
        let files = |answer: &mut HostDeployment| answer.files.clone().expect("files");
        check(&|answer| answer.files = Some(files(answer)[1..].to_vec()), &wrong);
        check(&|answer| answer.files = Some(Vec::new()), "there are no files");
        let many = |answer: &mut HostDeployment| {
            answer.files.as_mut().expect("files").push(HostFile::new("x", b""));
        };
        check(&many, "there are more than 2 files or folders");
        let vague = |answer: &mut HostDeployment| {
            answer.files.as_mut().expect("files")[0].content = None;
        };
        check(&vague, "`f` is neither a file nor a folder");
        let told = |answer: &mut HostDeployment| {
            let message = "it is large".to_owned();
            answer.problem = Some(HostProblem { reason: "TooLarge".into(), message });
        };
        check(&told, "it is large");
        let later = HostDeployment { files: None, ..one("w/l/a", &[("f", "1")]) };
        assert_eq!(manifests(later, &limits), Ok(None));
    }
}
