//! A small fleet that is edited at random.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::model::fixture::{FleetBuilder, labels};
use crate::model::{Deployment, Fleet, Hold, Host, Limits, RepoPath, Size, Workload, Workspace};

/// A small deterministic generator (xorshift), so that a failure can be repeated by its seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed))
    }

    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("it is smaller than `sides`")
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())].clone()
    }
}

pub(super) struct World {
    fleet: Fleet,
}

const REGIONS: [&str; 4] = ["region=eu,zone=a", "region=eu,zone=b", "region=us,zone=a", "zone=b"];
const SPACES: [&str; 2] = ["default", "w"];
const TARGETS: [&str; 2] = ["all", "some"];
const TEMPLATES: [&str; 2] = ["app", "other"];
/// Two of them are equal and yet print differently.
const NUMBERS: [f64; 4] = [0.0, -0.0, 1.0, 2.5];

impl World {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let mut world = Self { fleet: FleetBuilder::new().workspace("w", json!({})).fleet };
        TEMPLATES.iter().for_each(|template| world.template(template, dice));
        for workspace in SPACES {
            world.build(|fleet| fleet.target(&format!("{workspace}/some"), selector(dice)));
        }
        for _ in 0..20 {
            world.edit_host(dice);
            world.edit_deployment(dice);
        }
        world
    }

    /// What the parser would hand over: mostly the same objects, now and then equal ones.
    pub(super) fn snapshot(&mut self, dice: &mut Dice) -> Arc<Fleet> {
        if dice.roll(10) == 0 {
            for host in self.fleet.hosts.values_mut() {
                *host = Arc::new((**host).clone());
            }
            for deployment in self.fleet.deployments.values_mut() {
                *deployment = Arc::new((**deployment).clone());
            }
        }
        Arc::new(self.fleet.clone())
    }

    /// One edit, or a few.
    pub(super) fn edit(&mut self, dice: &mut Dice) {
        for _ in 0..dice.one(&[1, 1, 1, 1, 2, 5]) {
            match dice.roll(20) {
                0..=7 => self.edit_host(dice),
                8..=14 => self.edit_deployment(dice),
                15..=18 => self.edit_shared(dice),
                _ => self.edit_settings(dice),
            }
        }
    }

    fn build(&mut self, build: impl FnOnce(FleetBuilder) -> FleetBuilder) {
        self.fleet = build(FleetBuilder { fleet: std::mem::take(&mut self.fleet) }).fleet;
    }

    fn edit_host(&mut self, dice: &mut Dice) {
        let name = format!("h{}", dice.roll(8));
        let what = dice.roll(12);
        if what < 3 || !self.fleet.hosts.contains_key(name.as_str()) {
            self.fleet.held.hosts.remove(name.as_str());
            let spec = json!({
                "runtime": dice.one(&["directory", "directory", "kubernetes"]),
                "cordoned": dice.roll(4) == 0,
            });
            return self.build(|fleet| fleet.host_with(&name, dice.one(&REGIONS), spec));
        }
        match what {
            3 => return drop(self.fleet.hosts.remove(name.as_str())),
            4 => return self.build(|fleet| fleet.hold(&name)),
            _ => {}
        }
        let host = self.fleet.hosts.get_mut(name.as_str()).expect("because it was looked up");
        let host: &mut Host = Arc::make_mut(host);
        match what {
            5 | 6 => host.labels = labels(dice.one(&REGIONS)),
            7 => host.spec.cordoned ^= true,
            8 => drop(host.spec.values.insert("v".into(), dice.one(&NUMBERS).into())),
            9 => drop(host.spec.values.remove("v")),
            10 => host.spec.tokens.push("sha256:00".into()),
            _ => host.path = path(&format!("hosts/f{}/{name}.yaml", dice.roll(2))),
        }
    }

    fn edit_deployment(&mut self, dice: &mut Dice) {
        let id = format!("{}/app/d{}", dice.one(&SPACES), dice.roll(3));
        let key = id.parse().expect("a deployment");
        let what = dice.roll(14);
        if what < 3 || !self.fleet.deployments.contains_key(&key) {
            self.fleet.held.deployments.remove(&key);
            let mut spec = json!({
                "target": dice.one(&TARGETS),
                "template": dice.one(&TEMPLATES),
                "suspend": dice.roll(8) == 0,
            });
            if dice.roll(2) == 0 {
                spec["replicas"] = dice.roll(5).into();
                spec["spread"] = "zone".into();
            }
            return self.build(|fleet| fleet.deployment(&id, spec));
        }
        match what {
            3 => return drop(self.fleet.deployments.remove(&key)),
            4 => return self.build(|fleet| fleet.hold(&id)),
            _ => {}
        }
        let deployment = self.fleet.deployments.get_mut(&key).expect("because it was looked up");
        let Deployment { spec, labels: own, template, target, .. } = Arc::make_mut(deployment);
        match what {
            5 | 6 => spec.replicas = dice.one(&[None, Some(0), Some(1), Some(2), Some(4), Some(9)]),
            7 => spec.spread = dice.one(&[None, Some("zone".into()), Some("region".into())]),
            8 => spec.suspend ^= true,
            9 => target.name = dice.one(&TARGETS).parse().expect("a name"),
            10 => *template = dice.one(&TEMPLATES).parse().expect("a template"),
            11 => drop(spec.values.insert("x".into(), dice.one(&NUMBERS).into())),
            12 => {
                let over = json!([{"selector": selector(dice), "values": {"x": dice.roll(3)}}]);
                spec.overrides = serde_json::from_value(over).expect("overrides");
            }
            _ => *own = labels(&format!("stage=s{}", dice.roll(2))),
        }
    }

    fn edit_shared(&mut self, dice: &mut Dice) {
        let workspace = dice.one(&SPACES);
        let own = self.fleet.workspaces.get_mut(workspace).expect("because it stays");
        let own: &mut Workspace = Arc::make_mut(own);
        let workload = format!("{workspace}/app").parse().expect("a workload");
        let app = self.fleet.workloads.get_mut(&workload).expect("because it stays");
        let app: &mut Workload = Arc::make_mut(app);
        let (number, blank) = (dice.one(&NUMBERS), dice.roll(3) == 0);
        match dice.roll(9) {
            0 | 1 => self.build(|fleet| fleet.target(&format!("{workspace}/some"), selector(dice))),
            2 => {
                let hosts = dice.one(&[None, Some(json!({"matchLabels": {"zone": "a"}}))]);
                own.spec.hosts = serde_json::from_value(json!(hosts)).expect("a selector");
            }
            3 => own.labels = labels(&format!("team=t{}", dice.roll(3))),
            4 => drop(own.spec.values.insert("x".into(), number.into())),
            5 => drop(own.spec.values.insert("blank".into(), blank.into())),
            6 => drop(app.spec.values.insert("x".into(), number.into())),
            7 => app.spec.repo = dice.one(&[None, Some("https://example.org/a".into())]),
            _ => self.template(dice.one(&TEMPLATES), dice),
        }
    }

    fn edit_settings(&mut self, dice: &mut Dice) {
        if dice.roll(2) == 0 {
            let sizes = [Limits::default().manifest_size, Size(24)];
            self.fleet.settings.limits.manifest_size = dice.one(&sizes);
            return;
        }
        let hold = || Hold { code: "object/size".into(), reason: "broken".into() };
        let held = &mut self.fleet.held.all;
        *held = if held.is_none() { Some(hold()) } else { None };
    }

    /// It fails where a host lacks what it reads, and on Kubernetes where it makes no objects.
    fn template(&mut self, template: &str, dice: &mut Dice) {
        let (file, body) = dice.one(&[
            ("a.txt.tera", "{{ values.x }} {{ host.name }} {{ host.values.v }}\n"),
            ("a.txt.tera", "{{ values.x }} {{ host.labels.region }} {{ workload.repo }}\n"),
            ("a.txt.tera", "{% if values.blank %}{% else %}x: {{ values.x }}\n{% endif %}"),
            ("a.yaml.tera", "x: {{ values.x }}\nstage: {{ deployment.labels.stage }}\n"),
            ("a.yaml.tera", "x: {{ values.x }}\nteam: {{ workspace.labels.team }}\n"),
            ("b.txt.tera", "{{ host.name }} {{ host.labels.zone }} {{ values.x }}\n"),
        ]);
        let defaults = json!({"x": dice.one(&NUMBERS), "blank": false});
        let spec = json!({"defaults": defaults});
        self.build(|fleet| fleet.template(template, spec, &[(file, body)]));
    }
}

fn path(text: &str) -> RepoPath {
    RepoPath::new(text).expect("a path")
}

fn selector(dice: &mut Dice) -> Value {
    let term = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    dice.one(&[
        json!({}),
        json!({"matchLabels": {"region": "eu"}}),
        json!({"matchLabels": {"region": "us", "zone": "a"}}),
        json!({"matchLabels": {"region": "moon"}}),
        term("region", "In", &["eu", "us", "eu"]),
        term("region", "NotIn", &["eu"]),
        term("region", "Exists", &[]),
        term("region", "DoesNotExist", &[]),
    ])
}
