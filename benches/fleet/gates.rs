//! What is measured, and what it must come to. `tests/it/readme.rs` reads this too: the README's table
//! has a row for each gate.

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Gate {
    /// `<scenario>/<what>`.
    pub(crate) id: &'static str,
    /// For people; `{large}` and `{small}` stand for numbers of hosts.
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    pub(crate) must: Must,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// How many times as much as the other side.
    Ratio,
    Seconds,
    Milliseconds,
    Megabytes,
    Percent,
    Count,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Must {
    AtMost(f64),
    AtLeast(f64),
}

/// The fleet's two sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) large: usize,
    pub(crate) small: usize,
}

impl Sizes {
    pub(crate) const USUAL: Self = Self { large: 10_000, small: 1000 };
}

impl Gate {
    /// What is measured, in numbers of hosts.
    pub(crate) fn title(&self, sizes: Sizes) -> String {
        let what = self.what.replace("{large}", &grouped(sizes.large));
        what.replace("{small}", &grouped(sizes.small))
    }

    pub(crate) fn scenario(&self) -> &'static str {
        self.id.split('/').next().unwrap_or(self.id)
    }

    pub(crate) fn passes(&self, value: f64) -> bool {
        match self.must {
            Must::AtMost(most) => value <= most,
            Must::AtLeast(least) => value >= least,
        }
    }

    /// `≤ 15 ms`.
    pub(crate) fn bound(&self) -> String {
        let (sign, bound) = match self.must {
            Must::AtMost(most) => ('≤', most),
            Must::AtLeast(least) => ('≥', least),
        };
        format!("{sign} {}", self.unit.show(bound))
    }
}

impl Unit {
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Ratio if value != 0.0 && value < 0.01 => format!("1/{:.0}", 1.0 / value),
            Self::Ratio => format!("{}×", short(value)),
            Self::Seconds => format!("{} s", short(value)),
            Self::Milliseconds => format!("{} ms", short(value)),
            Self::Megabytes => format!("{value:.0} MB"),
            Self::Percent => format!("{} %", short(value)),
            Self::Count => format!("{value:.0}"),
        }
    }
}

/// Three significant digits, and no zeros at the end.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// `10,000`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const fn gate(id: &'static str, what: &'static str, unit: Unit, must: Must) -> Gate {
    Gate { id, what, unit, must }
}

use Must::{AtLeast, AtMost};
use Unit::{Count, Megabytes, Milliseconds, Percent, Ratio, Seconds};

#[rustfmt::skip] // One line for each gate.
pub(crate) const GATES: [Gate; 24] = [
    gate("cold/ratio", "render and publish {small} hosts ÷ `git fast-import` of the same files", Ratio, AtMost(0.15)),
    gate("cold/pack", "pack and index ÷ bytes rendered", Ratio, AtMost(0.25)),
    gate("retail/ratio", "the same with `examples/retail`, multiplied to {small} hosts", Ratio, AtMost(0.3)),
    gate("large/time", "{large} hosts from nothing, the whole of `titan reconcile`", Seconds, AtMost(8.0)),
    gate("large/memory", "resident memory of that, workers included", Megabytes, AtMost(500.0)),
    gate("large/scaling", "cost of an assignment at {large} ÷ at {small} hosts", Ratio, AtMost(1.5)),
    gate("warm/restart", "the controller restarts at {large} hosts: ready for the next change", Seconds, AtMost(5.0)),
    gate("warm/value", "a value of one host that a few of its manifests show, at {large} hosts: median", Milliseconds, AtMost(15.0)),
    gate("warm/value-p99", "the same: 99th percentile", Milliseconds, AtMost(40.0)),
    gate("warm/scaling", "the same at {large} ÷ at {small} hosts", Ratio, AtMost(2.5)),
    gate("warm/host", "a value of one host that all its deployments show", Milliseconds, AtMost(15.0)),
    gate("warm/move", "a label that moves a host between targets", Milliseconds, AtMost(50.0)),
    gate("warm/add", "a new host", Milliseconds, AtMost(20.0)),
    gate("warm/nothing", "a commit that changes nothing rendered", Milliseconds, AtMost(10.0)),
    gate("warm/deployment", "one deployment on all {large} hosts ÷ `git fast-import` of the same change", Ratio, AtMost(0.25)),
    gate("warm/ten", "ten changes that arrive together ÷ the largest of them alone", Ratio, AtMost(1.5)),
    gate("hostile/good", "a release of one deployment on {small} hosts, in one commit with a hostile template: until it is rendered ÷ alone", Ratio, AtMost(2.0)),
    gate("worktree/ratio", "a value of one host ÷ `git add -A && git commit` in a worktree of {large} hosts", Ratio, AtMost(1.0 / 400.0)),
    gate("upkeep/packs", "packs after 1,000 commits", Count, AtMost(25.0)),
    gate("upkeep/growth", "the repository after them, over a full repack", Percent, AtMost(10.0)),
    gate("plan/all", "`titan plan` of a change of one deployment on all {large} hosts, cold", Seconds, AtMost(5.0)),
    gate("plan/host", "`titan plan` of a change of one host of {large}, cold", Seconds, AtMost(1.5)),
    gate("overlays/each", "{small} overlays: a `kubectl kustomize` each ÷ titan's whole pass, commit included", Ratio, AtLeast(100.0)),
    gate("overlays/one", "the same: one process of kustomize for all of them ÷ titan's whole pass", Ratio, AtLeast(20.0)),
];
