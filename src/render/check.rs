//! Rendered files: whether they are what the host's runtime can take.

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Spanned};

use super::policy;
use crate::model::{Policy, RepoPath};

/// Nesting of a manifest. Custom resource definitions reach about forty.
const MAX_DEPTH: usize = 100;
/// Nodes of a manifest, aliases expanded. Large bundles of definitions have a hundred thousand and more.
const MAX_NODES: usize = 400_000;

/// What a workspace's manifests on a host must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Every document must be a Kubernetes object.
    pub(super) kubernetes: bool,
    pub(super) policy: Option<&'a Policy>,
}

/// Something wrong in an output file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) fix: Option<String>,
    /// In the output, from 1.
    pub(super) line: Option<u32>,
}

/// Everything that is wrong with one output file. What is not YAML by its name is not looked at.
pub(super) fn check(path: &RepoPath, bytes: &[u8], rules: Rules<'_>) -> Vec<Finding> {
    if !is_yaml(path, rules.kubernetes) {
        return Vec::new();
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return vec![broken("the manifest is not UTF-8".to_owned(), None)];
    };
    match documents(text) {
        Ok(documents) => {
            let mut findings = Vec::new();
            for document in &documents {
                let first = findings.len();
                policy::document(&document.value, rules, &mut findings);
                let start = document.referenced.line();
                for finding in &mut findings[first..] {
                    finding.line = Some(locate(text, start, finding));
                }
            }
            findings
        }
        Err(error) => vec![unreadable(&error)],
    }
}

/// Whether a YAML file holds no document: nothing but white space, comments and separators.
pub(super) fn is_blank(path: &RepoPath, bytes: &[u8]) -> bool {
    let nothing = |line: &[u8]| {
        let line = line.trim_ascii();
        line.is_empty() || line.starts_with(b"#") || line == b"---"
    };
    is_yaml(path, false) && bytes.split(|byte| *byte == b'\n').all(nothing)
}

/// JSON is YAML to everything that reads Kubernetes objects; kustomize also takes a file without ending.
fn is_yaml(path: &RepoPath, kubernetes: bool) -> bool {
    let name = path.file_name().to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    ends(&[".yaml", ".yml"]) || (kubernetes && (ends(&[".json"]) || name == "kustomization"))
}

/// All documents that are not empty.
fn documents(text: &str) -> Result<Vec<Spanned<Value>>, Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 3 * MAX_NODES,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        ignore_binary_tag_for_string: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        emit_comments: false,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options::<Spanned<Value>>(text, options)
}

pub(super) fn broken(message: String, line: Option<u32>) -> Finding {
    Finding { code: "render/yaml", message, fix: None, line }
}

fn unreadable(error: &Error) -> Finding {
    let line = error.location().map(|place| u32::try_from(place.line()).unwrap_or(u32::MAX));
    match error.without_snippet() {
        Error::DuplicateMappingKey { .. } => Finding {
            fix: Some("remove one of them".to_owned()),
            ..broken("a key stands twice in the same map".to_owned(), line)
        },
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            broken("the manifest is nested too deeply or expands to too much".to_owned(), line)
        }
        // The parser's own words may quote a value, which may be a secret.
        _ => Finding {
            fix: Some("check the indentation, and quote values with `| json_encode`".to_owned()),
            ..broken("the manifest is not valid YAML".to_owned(), line)
        },
    }
}

/// The line of the field that a finding is about: the nearest to the document's start that names it.
fn locate(text: &str, start: u64, finding: &Finding) -> u32 {
    let field = match finding.code {
        "policy/kind" => "kind:",
        "policy/namespace" => "namespace:",
        "policy/secret" if finding.message.contains("stringData") => "stringData:",
        "policy/secret" => "data:",
        _ => "",
    };
    let skipped = usize::try_from(start.saturating_sub(1)).unwrap_or(0);
    let lines = text.lines().skip(skipped).enumerate();
    let mut lines = lines.take_while(|(at, line)| *at == 0 || !line.starts_with("---"));
    let found = lines.find(|(_, line)| !field.is_empty() && line.trim_start().starts_with(field));
    u32::try_from(skipped + found.map_or(0, |(at, _)| at) + 1).unwrap_or(u32::MAX)
}
