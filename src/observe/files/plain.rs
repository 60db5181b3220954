//! The files of which there are half a million: written and read without a YAML library, as far as
//! nothing in them needs quotes. Anything else is left to the library: `None` here means no more than that.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::{
    API_VERSION, AssignmentRef, AssignmentStatus, DeploymentRef, Desired, Name, Observed, Phase,
    Timestamp, Trail,
};
use crate::observe::fold::{ASSIGNMENT_KIND, REASONS};

/// Names that were read before: what many files repeat is kept once.
#[derive(Debug, Default)]
pub(in crate::observe) struct Names {
    deployments: BTreeMap<String, DeploymentRef>,
    host: Option<Name>,
}

impl Names {
    fn assignment(&mut self, text: &str) -> Option<AssignmentRef> {
        let (deployment, host) = text.split_once('@')?;
        if self.host.as_ref().is_none_or(|known| known.as_str() != host) {
            self.host = Name::new(host).ok();
        }
        if !self.deployments.contains_key(deployment) {
            self.deployments.insert(deployment.to_owned(), deployment.parse().ok()?);
        }
        Some(self.deployments.get(deployment)?.on(self.host.as_ref()?))
    }
}

/// The same text that the library writes.
pub(super) fn write(status: &AssignmentStatus) -> Option<Vec<u8>> {
    let ours = status.api_version == API_VERSION && status.kind == ASSIGNMENT_KIND;
    if !ours || !status.message.is_empty() || !REASONS.contains(&status.reason.as_str()) {
        return None;
    }
    let mut text = String::with_capacity(1024);
    let desired = &status.desired;
    line(&mut text, "apiVersion: ", API_VERSION);
    line(&mut text, "kind: ", ASSIGNMENT_KIND);
    writeln!(text, "assignment: {}\ndesired:", status.assignment).ok()?;
    id(&mut text, "  source: ", desired.source.as_bytes())?;
    id(&mut text, "  rendered: ", desired.rendered.as_bytes())?;
    if let Some(tree) = &desired.tree {
        id(&mut text, "  tree: ", tree.as_bytes())?;
    }
    if let Some(observed) = &status.observed {
        text.push_str("observed:\n");
        id(&mut text, "  rendered: ", observed.rendered.as_bytes())?;
        if let Some(tree) = &observed.tree {
            id(&mut text, "  tree: ", tree.as_bytes())?;
        }
        writeln!(text, "  sequence: {}", observed.sequence).ok()?;
    }
    line(&mut text, "phase: ", status.phase.as_str());
    line(&mut text, "reason: ", &status.reason);
    writeln!(text, "since: \"{}\"", status.since).ok()?;
    if let Some(last) = status.last {
        line(&mut text, "last: ", last.as_str());
    }
    let stages = status.trail.stages();
    if stages.iter().all(|(_, time)| time.is_none()) {
        return None;
    }
    text.push_str("trail:\n");
    for (stage, time) in stages {
        if let Some(time) = time {
            writeln!(text, "  {stage}: \"{time}\"").ok()?;
        }
    }
    Some(text.into_bytes())
}

fn line(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str(value);
    text.push('\n');
}

fn id(text: &mut String, key: &str, bytes: &[u8; 20]) -> Option<()> {
    text.push_str(key);
    let start = text.len();
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    let plain = is_plain(&text[start..]);
    text.push('\n');
    plain.then_some(())
}

/// Whether an id can be taken for nothing but a text: not for `12e5`, nor for `0b11`.
fn is_plain(id: &str) -> bool {
    id.contains(['a', 'c', 'd', 'f']) || (id.contains('b') && !id.starts_with("0b"))
}

/// What [`write()`] wrote.
pub(super) fn read(bytes: &[u8], names: &mut Names) -> Option<AssignmentStatus> {
    let mut lines = Lines(std::str::from_utf8(bytes).ok()?);
    (lines.take("apiVersion: ")? == API_VERSION).then_some(())?;
    (lines.take("kind: ")? == ASSIGNMENT_KIND).then_some(())?;
    let assignment = names.assignment(lines.take("assignment: ")?)?;
    lines.take("desired:")?.is_empty().then_some(())?;
    let desired = Desired {
        source: lines.id("  source: ")??,
        rendered: lines.id("  rendered: ")??,
        tree: lines.id("  tree: ")?,
    };
    let observed = match lines.take("observed:") {
        Some("") => Some(Observed {
            rendered: lines.id("  rendered: ")??,
            tree: lines.id("  tree: ")?,
            sequence: number(lines.take("  sequence: ")?)?,
        }),
        Some(_) => return None,
        None => None,
    };
    let phase = phase_of(lines.take("phase: ")?)?;
    let reason = lines.take("reason: ")?;
    REASONS.contains(&reason).then_some(())?;
    let since = lines.time("since: ")??;
    let last = match lines.take("last: ") {
        Some(text) => Some(phase_of(text)?),
        None => None,
    };
    lines.take("trail:")?.is_empty().then_some(())?;
    let trail = Trail {
        committed: lines.time("  committed: ")?,
        built: lines.time("  built: ")?,
        rendered: lines.time("  rendered: ")?,
        announced: lines.time("  announced: ")?,
        received: lines.time("  received: ")?,
        applied: lines.time("  applied: ")?,
        deployed: lines.time("  deployed: ")?,
    };
    lines.0.is_empty().then(|| AssignmentStatus {
        api_version: API_VERSION.to_owned(),
        kind: ASSIGNMENT_KIND.to_owned(),
        assignment,
        desired,
        observed,
        phase,
        reason: reason.to_owned(),
        message: String::new(),
        since,
        last,
        trail,
    })
}

fn phase_of(text: &str) -> Option<Phase> {
    Phase::ALL.into_iter().find(|phase| phase.as_str() == text)
}

fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text.len() == 1 || !text.starts_with('0'))).then_some(number)
}

/// The lines that are left.
struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    /// What follows `key` on the next line, if that begins with it.
    fn take(&mut self, key: &str) -> Option<&'a str> {
        let (value, rest) = self.0.strip_prefix(key)?.split_once('\n')?;
        self.0 = rest;
        Some(value)
    }

    /// The id behind `key`; `Some(None)` when the next line is another one.
    fn id<T: std::str::FromStr>(&mut self, key: &str) -> Option<Option<T>> {
        let Some(text) = self.take(key) else { return Some(None) };
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (lower && is_plain(text)).then(|| text.parse().ok()).flatten().map(Some)
    }

    /// The time behind `key`; `Some(None)` when the next line is another one.
    fn time(&mut self, key: &str) -> Option<Option<Timestamp>> {
        let Some(text) = self.take(key) else { return Some(None) };
        let text = text.strip_prefix('"')?.strip_suffix('"')?;
        (!text.contains(['"', '\\'])).then(|| text.parse().ok()).flatten().map(Some)
    }
}
