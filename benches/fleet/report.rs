//! Results as a table, as Markdown and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::gates::{GATES, Gate, Sizes};
use crate::sample::Samples;

/// What one gate came to.
#[derive(Debug)]
pub(crate) enum Found {
    Measured {
        value: f64,
        /// What stands behind the value, such as the two sides of a ratio.
        detail: String,
        samples: Vec<f64>,
    },
    /// It could not be measured: a failure.
    Failed(String),
    /// What it is compared with is not here: no failure, but said.
    Skipped(String),
}

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) sizes: Sizes,
    found: BTreeMap<&'static str, Found>,
}

impl Report {
    pub(crate) fn new(sizes: Sizes) -> Self {
        Self { sizes, found: BTreeMap::new() }
    }

    /// # Panics
    /// When there is no such gate.
    pub(crate) fn measured(&mut self, id: &str, value: f64, detail: String, samples: &Samples) {
        let samples = samples.all().to_vec();
        self.put(id, Found::Measured { value, detail, samples });
    }

    pub(crate) fn skipped(&mut self, id: &str, why: &str) {
        self.put(id, Found::Skipped(why.to_owned()));
    }

    fn put(&mut self, id: &str, found: Found) {
        let gate = GATES.iter().find(|gate| gate.id == id).expect("because gates are listed");
        self.found.insert(gate.id, found);
    }

    /// What a scenario left open has failed.
    pub(crate) fn close(&mut self, scenario: &str, why: &str) {
        for gate in GATES.iter().filter(|gate| gate.scenario() == scenario) {
            self.found.entry(gate.id).or_insert_with(|| Found::Failed(why.to_owned()));
        }
    }

    fn rows(&self) -> impl Iterator<Item = (&'static Gate, &Found)> {
        GATES.iter().filter_map(|gate| Some((gate, self.found.get(gate.id)?)))
    }

    /// The gates that do not hold.
    pub(crate) fn broken(&self) -> Vec<&'static str> {
        let broken = |(gate, found): &(&Gate, &Found)| match found {
            Found::Measured { value, .. } => !gate.passes(*value),
            Found::Failed(_) => true,
            Found::Skipped(_) => false,
        };
        self.rows().filter(broken).map(|(gate, _)| gate.id).collect()
    }

    /// What could not be measured, and why.
    pub(crate) fn failed(&self) -> Vec<String> {
        let failed = |(gate, found): (&Gate, &Found)| match found {
            Found::Failed(why) => Some(format!("{}: {why}", gate.id)),
            _ => None,
        };
        self.rows().filter_map(failed).collect()
    }

    /// Aligned columns, for a terminal.
    pub(crate) fn table(&self) -> String {
        let rows: Vec<[String; 5]> = self
            .rows()
            .map(|(gate, found)| {
                let [measured, verdict, detail] = cells(gate, found);
                [gate.title(self.sizes), measured, gate.bound(), verdict, detail]
            })
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..4).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &rows {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "{cell:<width$}  ");
            }
            let _ = writeln!(text, "{}", row[4]);
        }
        text
    }

    /// The table of the README.
    pub(crate) fn markdown(&self) -> String {
        let mut text = "| gate | measured | must |\n|---|---|---|\n".to_owned();
        for (gate, found) in self.rows() {
            let [measured, ..] = cells(gate, found);
            let _ =
                writeln!(text, "| {} | {measured} | {} |", gate.title(self.sizes), gate.bound());
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let row = |(gate, found): (&Gate, &Found)| {
            let (value, note, samples): (Option<f64>, _, &[f64]) = match found {
                Found::Measured { value, detail, samples } => (Some(*value), detail, samples),
                Found::Failed(why) | Found::Skipped(why) => (None, why, &[]),
            };
            let [_, verdict, _] = cells(gate, found);
            json!({
                "gate": gate.id, "what": gate.title(self.sizes), "must": gate.bound(),
                "unit": format!("{:?}", gate.unit), "value": value, "verdict": verdict,
                "note": note, "samples": samples,
            })
        };
        json!({
            "hosts": {"large": self.sizes.large, "small": self.sizes.small},
            "processors": std::thread::available_parallelism().map_or(0, usize::from),
            "titan": env!("CARGO_PKG_VERSION"),
            "gates": self.rows().map(row).collect::<Vec<_>>(),
        })
    }
}

/// Measured, verdict, detail.
fn cells(gate: &Gate, found: &Found) -> [String; 3] {
    match found {
        Found::Measured { value, detail, .. } => {
            let verdict = if gate.passes(*value) { "holds" } else { "BROKEN" };
            [gate.unit.show(*value), verdict.into(), detail.clone()]
        }
        Found::Failed(why) => ["–".into(), "FAILED".into(), why.clone()],
        Found::Skipped(why) => ["–".into(), "skipped".into(), why.clone()],
    }
}
