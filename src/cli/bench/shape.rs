//! A fleet of even shape: every host runs as many deployments, every deployment has as many files.
//!
//! ```text
//!  template k ◀── workload i (i mod templates) ──┬─ stable ──▶ target stable  (ring is not canary)
//!                 workspace i mod workspaces     └─ canary ──▶ target canary  (ring is canary)
//!                                        or ───── prod ──────▶ target all
//! ```
//! A share of the workloads comes in two rings, so that a host that changes its `ring` moves between
//! targets and still runs as many. What a host is called stands in every manifest of a template that
//! reads it: no two hosts have a manifest in common there.

use std::fmt::Write as _;

use clap::Args;

use super::distribution::Distribution;
use super::random::Random;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The fleet's shape")]
pub(crate) struct Shape {
    /// Hosts
    #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
    pub(super) hosts: usize,
    /// Deployments that run on each host
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    pub(super) deployments: usize,
    /// Files of each deployment
    #[arg(long, default_value_t = 2, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=100))]
    files: u16,
    /// About so many bytes in each file
    #[arg(long, default_value_t = 1000, value_name = "BYTES")]
    file_size: usize,
    /// Templates that the deployments share
    #[arg(long, default_value_t = 10, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    templates: u16,
    /// Share of the templates that read the host, from 0 to 1
    #[arg(long, default_value_t = 1.0, value_name = "SHARE", value_parser = share)]
    host_dependent: f64,
    /// Workspaces
    #[arg(long, default_value_t = 5, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    workspaces: u16,
    /// Share of the workloads whose canary ring has a deployment of its own
    #[arg(long, default_value_t = 0.2, value_name = "SHARE", value_parser = share)]
    rings: f64,
    /// Share of the other deployments that run on a tenth of the hosts only (`replicas`, `spread`)
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    replicas: f64,
    /// How a label's values are spread over hosts; once for each label
    #[arg(long, value_name = "LABEL=VALUE:SHARE,…",
        default_values = ["region=eu:45,us:35,apac:20", "ring=main:90,early:8,canary:2"])]
    labels: Vec<Distribution>,
    /// Labels by whose values the files of hosts lie in folders [default: no folders]
    #[arg(long, value_delimiter = ',', value_name = "LABEL,…")]
    folders: Vec<String>,
    /// Same seed, same fleet
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a number from 0 to 1 is needed")?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("it is not from 0 to 1".into()) }
}

/// What texts are padded with: settings as manifests have them.
const WORDS: [&str; 16] = [
    "cache", "retry", "queue", "limit", "batch", "proxy", "trace", "shard", "quota", "index",
    "store", "probe", "token", "route", "flush", "lease",
];

const HEADER: &str = "apiVersion: titan.dev/v1\nkind: ";

impl Shape {
    /// The files of the config branch: path and text.
    pub(super) fn sources(&self) -> Vec<(String, String)> {
        let mut files = vec![("titan.yaml".to_owned(), format!("{HEADER}Fleet\nspec: {{}}\n"))];
        files.extend((0..self.hosts).map(|host| self.host(host)));
        (0..self.templates).for_each(|template| self.template(template, &mut files));
        (0..self.workspaces).for_each(|workspace| targets(workspace, &mut files));
        (0..self.deployments).for_each(|workload| self.workload(workload, &mut files));
        files
    }

    fn host(&self, number: usize) -> (String, String) {
        let name = format!("host-{number:05}");
        let value = |label: &Distribution| {
            let mut random = Random::of(self.seed, &format!("{name}/{}", label.key));
            label.pick(&mut random).to_owned()
        };
        let labels: Vec<_> =
            self.labels.iter().map(|label| (label.key.as_str(), value(label))).collect();
        let mut text = format!("{HEADER}Host\nmetadata:\n  name: {name}\n  labels:\n");
        for (key, value) in &labels {
            let _ = writeln!(text, "    {key}: \"{value}\"");
        }
        let _ = write!(
            text,
            "spec:\n  runtime: kubernetes\n  values:\n    site: site-{number:05}\n    note: \"0\"\n"
        );
        let folder = |key: &String| labels.iter().find(|(known, _)| known == key);
        let folders = self.folders.iter().filter_map(folder);
        let folders: String = folders.map(|(_, value)| format!("{value}/")).collect();
        (format!("hosts/{folders}{name}.yaml"), text)
    }

    fn template(&self, number: u16, files: &mut Vec<(String, String)>) {
        let folder = format!("templates/app-{number:02}");
        let text = format!("{HEADER}Template\nspec:\n  defaults:\n    replicas: 2\n");
        files.push((format!("{folder}/template.yaml"), text));
        let reads_host = f64::from(number) < f64::from(self.templates) * self.host_dependent;
        for file in 0..self.files {
            let (name, text) = match file {
                0 => ("deployment".to_owned(), self.deployment_file(number, reads_host)),
                1 => ("service".to_owned(), self.service_file(number, reads_host)),
                _ => (format!("config-{file}"), self.config_file(number, file, reads_host)),
            };
            files.push((format!("{folder}/files/{name}.yaml.tera"), text));
        }
    }

    fn deployment_file(&self, template: u16, reads_host: bool) -> String {
        let mut text = object("apps/v1", "Deployment", "");
        text += "spec:\n  replicas: {{ values.replicas }}\n  selector:\n    matchLabels: {app: \"{{ workload.name }}-{{ deployment.name }}\"}\n";
        text += "  template:\n    metadata:\n      labels: {app: \"{{ workload.name }}-{{ deployment.name }}\"}\n    spec:\n      containers:\n";
        text += "        - name: app\n          image: {{ values.image | json_encode }}\n          env:\n";
        text += "            - {name: TEAM, value: \"{{ workspace.name }}\"}\n";
        if reads_host {
            text += "            - {name: HOST, value: \"{{ host.name }}\"}\n";
            text += "            - {name: SITE, value: \"{{ host.values.site }}\"}\n";
        }
        // What `titan bench change value` changes: few manifests show it.
        if reads_host && template == 0 {
            text += "            - {name: NOTE, value: {{ host.values.note | json_encode }}}\n";
        }
        let line = |name: &str, value: &str| {
            let name = name.to_ascii_uppercase().replace('-', "_");
            format!("            - {{name: {name}, value: \"{value}\"}}\n")
        };
        self.pad(text, &format!("{template}/deployment"), line)
    }

    fn service_file(&self, template: u16, reads_host: bool) -> String {
        let head = object("v1", "Service", if reads_host { HOST_LABEL } else { "" });
        let tail = "spec:\n  selector: {app: \"{{ workload.name }}-{{ deployment.name }}\"}\n  ports:\n    - {name: http, port: 80, targetPort: 8080}\n";
        // A release shows in everything that belongs to it.
        let build = "    image: {{ values.image | json_encode }}\n";
        let head = format!("{head}  annotations:\n    team: \"{{{{ workspace.name }}}}\"\n{build}");
        let line = |name: &str, value: &str| format!("    bench.titan.dev/{name}: \"{value}\"\n");
        let padded = self.pad(format!("{tail}{head}"), &format!("{template}/service"), line);
        format!("{}{tail}", &padded[tail.len()..])
    }

    fn config_file(&self, template: u16, file: u16, reads_host: bool) -> String {
        let mut text = object("v1", "ConfigMap", if reads_host { HOST_LABEL } else { "" });
        text =
            text.replacen("{{ deployment.name }}", &format!("{{{{ deployment.name }}}}-{file}"), 1);
        text += "data:\n  TEAM: \"{{ workspace.name }}\"\n";
        text += "  IMAGE: {{ values.image | json_encode }}\n";
        let line = |name: &str, value: &str| format!("  {name}: \"{value}\"\n");
        self.pad(text, &format!("{template}/config-{file}"), line)
    }

    /// Adds lines until the text is as long as it shall be.
    fn pad(&self, mut text: String, what: &str, line: impl Fn(&str, &str) -> String) -> String {
        let mut random = Random::of(self.seed, &format!("template {what}"));
        for number in 0.. {
            if rendered_length(&text) >= self.file_size {
                break;
            }
            let name = format!("{}-{number}", random.among(&WORDS));
            let value = format!(
                "{}-{}-{}",
                random.among(&WORDS),
                random.among(&WORDS),
                random.below(100_000)
            );
            text += &line(&name, &value);
        }
        text
    }

    fn workload(&self, number: usize, files: &mut Vec<(String, String)>) {
        let workspace = workspace(number % usize::from(self.workspaces));
        let folder = format!("workspaces/{workspace}/workloads/app-{number:03}");
        let template = number % usize::from(self.templates);
        let text = format!(
            "{HEADER}Workload\nspec:\n  repo: https://git.example/{workspace}/app-{number:03}\n  template: app-{template:02}\n"
        );
        files.push((format!("{folder}/workload.yaml"), text));
        let mut deployment = |name: &str, target: &str, more: &str| {
            let text = format!(
                "{HEADER}Deployment\nspec:\n  target: {target}\n{more}  values:\n    image: registry.example/{workspace}/app-{number:03}:1.0.0\n"
            );
            files.push((format!("{folder}/deployments/{name}.yaml"), text));
        };
        let part = |share: f64| (share * self.deployments as f64).round() as usize;
        let ringed = part(self.rings);
        if number < ringed {
            deployment("stable", "stable", "");
            deployment("canary", "canary", "");
        } else if number < ringed + part((1.0 - self.rings) * self.replicas) {
            let replicas = (self.hosts / 10).max(1);
            deployment("prod", "all", &format!("  replicas: {replicas}\n  spread: region\n"));
        } else {
            deployment("prod", "all", "");
        }
    }
}

const HOST_LABEL: &str = "    host: \"{{ host.name }}\"\n";

/// A manifest as far as its labels.
fn object(version: &str, kind: &str, label: &str) -> String {
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {{{{ workload.name }}}}-{{{{ deployment.name }}}}\n  namespace: {{{{ workspace.name }}}}\n  labels:\n    app: \"{{{{ workload.name }}}}-{{{{ deployment.name }}}}\"\n{label}"
    )
}

/// About how long a template's text is when its expressions are filled.
fn rendered_length(text: &str) -> usize {
    const FILLED: usize = 12;
    let expressions = text.split("{{").skip(1).filter_map(|rest| rest.find("}}"));
    text.len() - expressions.map(|length| (length + 4).saturating_sub(FILLED)).sum::<usize>()
}

fn workspace(number: usize) -> String {
    format!("team-{}", number + 1)
}

fn targets(number: u16, files: &mut Vec<(String, String)>) {
    let name = workspace(number.into());
    let spec = |selector: &str| format!("{HEADER}Target\nspec:\n  selector: {selector}\n");
    let folder = format!("workspaces/{name}");
    files.push((format!("{folder}/workspace.yaml"), format!("{HEADER}Workspace\nspec: {{}}\n")));
    let stable = "{matchExpressions: [{key: ring, operator: NotIn, values: [canary]}]}";
    for (target, selector) in
        [("all", "{}"), ("stable", stable), ("canary", "{matchLabels: {ring: canary}}")]
    {
        files.push((format!("{folder}/targets/{target}.yaml"), spec(selector)));
    }
}
