use super::*;

fn place(path: &str) -> Place {
    classify(&RepoPath::new(path).expect("the path is one"))
}

#[test]
fn objects_lie_where_their_path_says() {
    let check = |path: &str, expected: &str| match place(path) {
        Place::Object(object) => {
            assert_eq!(object.to_string(), expected, "{path}");
            if !path.starts_with("hosts/eu/") {
                assert_eq!(path_of(&object, None).as_str(), path);
            }
        }
        other => panic!("{path}: {other:?}"),
    };
    check("titan.yaml", "fleet");
    check("hosts/tim-pi.yaml", "host tim-pi");
    check("hosts/eu/west/a1.yaml", "host a1");
    check("templates/web/template.yaml", "template web");
    check("workspaces/iot/workspace.yaml", "workspace iot");
    check("workspaces/iot/templates/web/template.yaml", "template iot/web");
    check("workspaces/iot/targets/pi.yaml", "target iot/pi");
    check("workspaces/iot/workloads/temp/workload.yaml", "workload iot/temp");
    check("workspaces/iot/workloads/temp/deployments/prod.yaml", "deployment iot/temp/prod");
    let folder = RepoPath::new("eu/west").expect("a path");
    let host = ObjectRef::Host(Name::new("a1").expect("a name"));
    assert_eq!(path_of(&host, Some(&folder)).as_str(), "hosts/eu/west/a1.yaml");
}

#[test]
fn all_below_files_belongs_to_the_template() {
    let check = |path: &str, expected: (&str, &str)| match place(path) {
        Place::TemplateFile { template, path } => {
            assert_eq!((template.to_string().as_str(), path.as_str()), expected);
        }
        other => panic!("{path}: {other:?}"),
    };
    check("templates/web/files/deployment.yaml.tera", ("web", "deployment.yaml.tera"));
    check("templates/web/files/a/.hidden", ("web", "a/.hidden"));
    check("workspaces/iot/templates/web/files/README.md", ("iot/web", "README.md"));
}

#[test]
fn other_files_are_let_alone() {
    for path in [
        "README.md",
        "CODEOWNERS",
        ".github/workflows/ci.yaml",
        "docs/hosts/a.yaml",
        "Makefile",
        "ci.yml",
        "hosts/README.md",
        "hosts/.gitkeep",
        "hosts/eu/.gitkeep",
        "templates/.gitkeep",
        "templates/web/README.md",
        "workspaces/.gitkeep",
        "workspaces/iot/CODEOWNERS",
        "workspaces/iot/targets/.gitkeep",
        "posts/a.yaml",
    ] {
        assert_eq!(place(path), Place::Foreign, "{path}");
    }
}

#[test]
fn misplaced_files_are_led_home() {
    let check = |path: &str, expected: &str| {
        assert_eq!(place(path), Place::Unknown { nearest: expected.to_owned() }, "{path}");
    };
    check("hosts/a.yml", "hosts/a.yaml");
    check("hosts", "hosts/");
    check("host/a.yaml", "hosts/a.yaml");
    check("Hosts/a.yml", "hosts/a.yaml");
    check("workspace/iot/workspace.yaml", "workspaces/iot/workspace.yaml");
    check("tempaltes/web/template.yaml", "templates/web/template.yaml");
    check("titan.yml", "titan.yaml");
    check("templates/web.yaml", "templates/web/template.yaml");
    check("templates/web/template.yml", "templates/web/template.yaml");
    check("templates/web/deployment.yaml", "templates/web/files/deployment.yaml");
    check("workspaces/iot.yaml", "workspaces/iot/workspace.yaml");
    check("workspaces/iot/target/pi.yaml", "workspaces/iot/targets/pi.yaml");
    check("workspaces/iot/workloads/temp.yaml", "workspaces/iot/workloads/temp/workload.yaml");
    check(
        "workspaces/iot/workloads/temp/prod.yaml",
        "workspaces/iot/workloads/temp/deployments/prod.yaml",
    );
    check(
        "workspaces/iot/deployments/prod.yaml",
        "workspaces/iot/workloads/<workload>/deployments/prod.yaml",
    );
}

#[test]
fn names_are_checked_in_every_part() {
    let long = "x".repeat(300);
    for name in [
        "CON",
        "con",
        "trailing.",
        "trailing ",
        "x.lock",
        "-rf",
        "@{",
        "~^",
        "%2e%2e",
        "",
        "git~1.",
        ".git.",
        "pаypal",
        "ä",
        "Upper",
        "a_b",
        &long,
    ] {
        let folder = if name.is_empty() { "-".to_owned() } else { format!("x{name}!") };
        for path in [
            format!("hosts/{name}.yaml"),
            format!("hosts/{folder}/a.yaml"),
            format!("templates/{folder}/template.yaml"),
            format!("workspaces/{folder}/workspace.yaml"),
            format!("workspaces/iot/targets/{name}.yaml"),
            format!("workspaces/iot/workloads/{folder}/workload.yaml"),
            format!("workspaces/iot/workloads/{folder}/deployments/a.yaml"),
            format!("workspaces/iot/workloads/w/deployments/{name}.yaml"),
            format!("workspaces/iot/templates/{folder}/files/a"),
        ] {
            assert!(matches!(place(&path), Place::BadName(_)), "{path}: {:?}", place(&path));
        }
    }
    let Place::BadName(bad) = place("workspaces/Iot/workloads/w/deployments/a.yaml") else {
        panic!("`Iot` is no name")
    };
    assert_eq!(bad.prefix, "workspaces/Iot");
}
