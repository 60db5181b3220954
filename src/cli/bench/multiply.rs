//! A small fleet made large: its hosts and workloads, copied under new names.
//!
//! Copies are as different as the originals: by their labels, and by what overrides make of them. A
//! host's `site` label and `domain` value get the copy's number, as no two places share those.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::change::edit::{FieldEdit, FieldPath, apply, field};
use crate::cli::exit::Failure;
use crate::git::directory_files;
use crate::model::{Content, RepoPath};
use crate::parse;

/// What is unique to one place.
const PLACES: [&str; 2] = ["metadata.labels.site", "spec.values.domain"];

/// Stands for a copy's number in a text that is filled for each copy.
const MARK: &str = "000copy000";

/// The files of `folder` with `hosts` hosts, and at least `deployments` deployments.
///
/// # Errors
/// When the folder cannot be read or holds no fleet.
pub(super) fn sources(
    folder: &Path,
    hosts: usize,
    deployments: usize,
) -> Result<Vec<(String, String)>> {
    let mut fleet = Fleet::default();
    for file in directory_files(folder, parse::limits)? {
        let Content::Bytes(bytes) = &file.content else { continue };
        let text = std::str::from_utf8(bytes).with_context(|| format!("`{}`", file.path))?;
        fleet.sort_in(&file.path, text)?;
    }
    if fleet.hosts.is_empty() || fleet.deployments == 0 {
        let message = format!("`{}` holds no fleet with a deployment", folder.display());
        return Err(Failure::no(message).into());
    }
    Ok(fleet.multiplied(hosts, deployments))
}

#[derive(Default)]
struct Fleet {
    /// Folder and name of each host, and its text.
    hosts: Vec<(String, String, String)>,
    /// Path of a workload's folder → the paths below it, and their texts.
    workloads: BTreeMap<String, Vec<(String, String)>>,
    deployments: usize,
    others: Vec<(String, String)>,
}

impl Fleet {
    fn sort_in(&mut self, path: &RepoPath, text: &str) -> Result<()> {
        let segments: Vec<&str> = path.segments().collect();
        match segments.as_slice() {
            ["hosts", folders @ .., file] if file.ends_with(".yaml") => {
                let name = file.trim_end_matches(".yaml").to_owned();
                let folder = ["hosts"].iter().chain(folders).map(|part| format!("{part}/"));
                self.hosts.push((folder.collect(), name, pattern(text)?));
            }
            ["workspaces", workspace, "workloads", workload, below @ ..] => {
                self.deployments += usize::from(below.first() == Some(&"deployments"));
                let folder = format!("workspaces/{workspace}/workloads/{workload}");
                let text = match below {
                    ["workload.yaml"] => named(text)?,
                    _ => text.to_owned(),
                };
                self.workloads.entry(folder).or_default().push((below.join("/"), text));
            }
            _ => self.others.push((path.to_string(), text.to_owned())),
        }
        Ok(())
    }

    fn multiplied(self, hosts: usize, deployments: usize) -> Vec<(String, String)> {
        let mut files = self.others;
        for (index, (folder, name, text)) in (0..hosts).zip(self.hosts.iter().cycle()) {
            let number = format!("{:04}", index / self.hosts.len());
            files.push((format!("{folder}{name}-{number}.yaml"), text.replace(MARK, &number)));
        }
        for copy in 0..deployments.div_ceil(self.deployments).max(1) {
            for (folder, below) in &self.workloads {
                let path = |path: &str| format!("{folder}-{copy}/{path}");
                let text = |text: &str| text.replace(MARK, &copy.to_string());
                files.extend(below.iter().map(|(p, t)| (path(p), text(t))));
            }
        }
        files
    }
}

/// A host's text with a mark for its number in its name and wherever its place is named.
fn pattern(text: &str) -> Result<String> {
    let mut text = named(text)?;
    for place in PLACES {
        let path: FieldPath = place.parse()?;
        if let Some(Value::String(old)) = field(&text, &path)? {
            // The number follows the first word: `fra-0007.retail.example`.
            let (word, rest) = old.split_at(old.find('.').unwrap_or(old.len()));
            text = apply(&text, &FieldEdit::Set(path, format!("{word}-{MARK}{rest}").into()))?;
        }
    }
    Ok(text)
}

/// An object's text with a mark behind its name, if it states one.
fn named(text: &str) -> Result<String> {
    let path: FieldPath = "metadata.name".parse()?;
    match field(text, &path)? {
        Some(Value::String(name)) => {
            Ok(apply(text, &FieldEdit::Set(path, format!("{name}-{MARK}").into()))?)
        }
        _ => Ok(text.to_owned()),
    }
}
