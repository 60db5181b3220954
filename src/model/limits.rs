//! Every limit that bounds what titan reads, writes, keeps and waits for, with its default.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::id::{RefError, serde_as_text};

/// A number of bytes; written `64KiB`, `1MiB`, `2GiB` or as a plain number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time; written `250ms`, `30s`, `5m`, `2h` or `7d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

const SIZES: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const SPANS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Size {
    const FORM: &'static str = "<number>[KiB|MiB|GiB]";

    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Span {
    const FORM: &'static str = "<number><ms|s|m|h|d>";

    #[must_use]
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

fn scaled(text: &str, units: &[(&str, u64)], form: &'static str) -> Result<u64, RefError> {
    let error = || RefError::new(text, form);
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| error())?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
    number.checked_mul(*factor).ok_or_else(error)
}

impl FromStr for Size {
    type Err = RefError;
    fn from_str(text: &str) -> Result<Self, RefError> {
        text.parse().or_else(|_| scaled(text, &SIZES, Self::FORM)).map(Self)
    }
}
impl FromStr for Span {
    type Err = RefError;
    fn from_str(text: &str) -> Result<Self, RefError> {
        Ok(Self(Duration::from_millis(scaled(text, &SPANS, Self::FORM)?)))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZES.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, factor) = SPANS
            .iter()
            .rev()
            .find(|(_, factor)| ms >= *factor && ms.is_multiple_of(*factor))
            .unwrap_or(&SPANS[0]);
        write!(f, "{}{unit}", ms / factor)
    }
}
serde_as_text!(Span);

impl Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes, such as `64KiB`, `1MiB`, `2GiB` or 4096",
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": "^[0-9]{1,12}(KiB|MiB|GiB)?$"
        })
    }
}
impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time, such as `250ms`, `30s`, `5m`, `2h` or `7d`",
            "type": "string",
            "pattern": "^[0-9]{1,9}(ms|s|m|h|d)$"
        })
    }
}

/// `Fleet.spec.limits`: what titan bounds, and how. Each may be changed there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// One YAML file of the config branch
    pub yaml_size: Size,
    /// Nesting inside a YAML file
    pub yaml_depth: u32,
    /// Nodes of a YAML file, aliases expanded
    pub yaml_nodes: u32,
    /// Objects of all kinds but Host
    pub objects: u32,
    /// Hosts
    pub hosts: u32,
    /// One file read from Git, template files included
    pub blob_size: Size,
    /// One rendered file
    pub manifest_size: Size,
    /// All rendered files of one assignment
    pub assignment_size: Size,
    /// Number of rendered files of one assignment
    pub assignment_files: u32,
    /// CPU time of one render
    pub render_time: Span,
    /// Memory of one render
    pub render_memory: Size,
    /// Body of an HTTP request
    pub http_body: Size,
    /// Body of a webhook
    pub webhook_body: Size,
    /// Body of a host's report
    pub report_body: Size,
    /// Reports that a host may send in a minute
    pub reports_per_minute: u32,
    /// Time to receive an HTTP request's header
    pub http_header_time: Span,
    /// Time to receive an HTTP request's body
    pub http_body_time: Span,
    /// Time that a fetch may take
    pub fetch_time: Span,
    /// Tries of a push that is rejected or fails
    pub push_tries: u32,
    /// Source commits that are rendered one by one; of a longer backlog only the newest
    pub backlog: u32,
    // The queue is made before the settings are read, with the default.
    /// Length of the queue of events
    pub queue: u32,
    /// Longest time until a change of the config branch is noticed without any notification
    pub poll: Span,
    /// Shortest time between two commits on the status branch
    pub status_flush: Span,
    /// Time that an assignment may spend in a phase that is not final, until it is Stalled
    pub progress_deadline: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            yaml_size: Size::mib(1),
            yaml_depth: 64,
            yaml_nodes: 100_000,
            objects: 100_000,
            hosts: 100_000,
            blob_size: Size::mib(10),
            manifest_size: Size::mib(4),
            assignment_size: Size::mib(16),
            assignment_files: 1000,
            render_time: Span::seconds(2),
            render_memory: Size::mib(256),
            http_body: Size::mib(1),
            webhook_body: Size::mib(3),
            report_body: Size::kib(64),
            reports_per_minute: 10,
            http_header_time: Span::seconds(10),
            http_body_time: Span::seconds(30),
            fetch_time: Span::seconds(120),
            push_tries: 8,
            backlog: 1000,
            queue: 10_000,
            poll: Span::seconds(60),
            status_flush: Span::seconds(5),
            progress_deadline: Span::seconds(600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_read_as_they_are_written() {
        for text in ["7", "64KiB", "1MiB", "2GiB"] {
            assert_eq!(text.parse::<Size>().expect("a size").to_string(), text);
        }
        for text in ["0ms", "250ms", "30s", "5m", "2h", "7d"] {
            assert_eq!(text.parse::<Span>().expect("a span").to_string(), text);
        }
        for bad in ["", "MiB", "1mb", "-1s", "99999999999999999999d", "1"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
