//! What is a host's own: its name, labels and values. Two hosts whose manifests change in the same
//! way but for these have the same change.

use std::collections::BTreeMap;

use crate::model::{Host, Values};

/// Shorter texts are in too many lines by chance.
const SHORTEST: usize = 3;

/// Most facts of one host that are looked for.
const MOST: usize = 200;

/// The facts of one host, by what templates call them.
pub(super) struct Facts {
    /// The longest first: one may hold another.
    known: Vec<(String, String)>,
}

impl Facts {
    /// What was so before and still is: a fact that changes is a change, not a difference between hosts.
    pub(super) fn of(before: Option<&Host>, after: &Host) -> Self {
        let mut facts = facts(after);
        if let Some(before) = before {
            let old = self::facts(before);
            facts.retain(|place, value| old.get(place) == Some(value));
        }
        let mut names = BTreeMap::new();
        // `host.name` wins over a label that repeats it: it is the last to come.
        for (place, value) in facts.into_iter().take(MOST) {
            names.insert(value, place);
        }
        names.insert(after.name.to_string(), "host.name".to_owned());
        let fits = |(value, _): &(String, String)| value.len() >= SHORTEST && !value.contains('\n');
        let mut known: Vec<_> = names.into_iter().filter(fits).collect();
        known.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Self { known }
    }

    /// The text with each fact replaced by its name in braces, such as `{host.name}`.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, place) in &self.known {
            if let Some(first) = next(&text, value, 0) {
                text = replace(&text, value, place, first);
            }
        }
        text
    }
}

fn facts(host: &Host) -> BTreeMap<String, String> {
    let labels = host.labels.iter();
    let mut facts: BTreeMap<_, _> =
        labels.map(|(key, value)| (format!("host.labels.{key}"), value.clone())).collect();
    scalars("host.values", &host.spec.values, &mut facts);
    facts
}

/// Texts and numbers, however deep; lists are rarely one host's alone.
fn scalars(place: &str, values: &Values, facts: &mut BTreeMap<String, String>) {
    for (key, value) in values {
        let place = format!("{place}.{key}");
        if let Some(map) = value.as_object() {
            scalars(&place, map, facts);
        } else if let Some(text) = value.as_str() {
            facts.insert(place, text.to_owned());
        } else if value.is_number() {
            facts.insert(place, value.to_string());
        }
    }
}

/// Where `value` next stands for itself, not as a part of another word or number.
fn next(text: &str, value: &str, from: usize) -> Option<usize> {
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let mut places = text[from..].match_indices(value).map(|(at, _)| from + at);
    places.find(|at| {
        let (before, after) = (&text[..*at], &text[at + value.len()..]);
        !inside(before.chars().next_back()) && !inside(after.chars().next())
    })
}

fn replace(text: &str, value: &str, place: &str, first: usize) -> String {
    let (mut filled, mut at, mut found) = (String::with_capacity(text.len()), 0, Some(first));
    while let Some(start) = found {
        filled += &text[at..start];
        filled += &format!("{{{place}}}");
        at = start + value.len();
        found = next(text, value, at);
    }
    filled + &text[at..]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::fixture::FleetBuilder;

    fn facts(labels: &str, values: Value) -> (crate::model::Fleet, Facts) {
        let object = json!({"values": values});
        let fleet = FleetBuilder::new().host_with("store-1", labels, object).fleet;
        let facts = Facts::of(None, fleet.hosts.values().next().expect("it is there"));
        (fleet, facts)
    }

    #[test]
    fn whole_words_are_replaced() {
        let values = json!({"port": 8080, "net": {"ip": "10.0.0.7"}, "small": 8});
        let (_, facts) = facts("name=store-1,region=eu-west,ring=b", values);
        for (text, expected) in [
            ("host: store-1", "host: {host.name}"),
            ("store-1.example, store-10", "{host.name}.example, store-10"),
            ("eu-west-1/store-1-db", "{host.labels.region}-1/{host.name}-db"),
            ("10.0.0.7:8080 and 80801", "{host.values.net.ip}:{host.values.port} and 80801"),
            ("ring b, 8 tills", "ring b, 8 tills"),
        ] {
            assert_eq!(facts.fill(text), expected);
        }
    }

    #[test]
    fn a_fact_that_changes_is_no_fact() {
        let (before, _) = facts("region=north,zone=first", json!({}));
        let (after, _) = facts("region=south,zone=first", json!({}));
        let [old, new] = [&before, &after].map(|fleet| fleet.hosts.values().next().expect("one"));
        let facts = Facts::of(Some(old), new);
        assert_eq!(facts.fill("north south first"), "north south {host.labels.zone}");
    }
}
