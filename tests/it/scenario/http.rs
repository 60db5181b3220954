//! A fleet behind `http`, served by Git's own CGI program.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use warp::Filter;
use warp::http::{HeaderMap, Method, Response};
use warp::hyper::body::Bytes;

use super::support::{ConfigRepo, drawn};

/// Runs `git http-backend` for one request, and makes a response of what it prints.
fn serve(
    root: &Path,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Vec<u8>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut backend = Command::new("git")
        .arg("http-backend")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "titan")
        .env("REQUEST_METHOD", method.as_str())
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git runs");
    let mut input = backend.stdin.take().expect("it is piped");
    let body = body.to_vec();
    let writer = std::thread::spawn(move || drop(input.write_all(&body)));
    let output = backend.wait_with_output().expect("it ends").stdout;
    writer.join().expect("it ends");
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("it has a header");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").expect("a header's line");
        response = match name {
            "Status" => response.status(&value[..3]),
            _ => response.header(name, value),
        };
    }
    response.body(output[end + 4..].to_vec()).expect("a response")
}

/// Serves the repositories below `root` as long as the runtime lives.
fn start(runtime: &tokio::runtime::Runtime, root: PathBuf) -> SocketAddr {
    let query =
        warp::query::raw().or_else(|_| async { Ok::<_, warp::Rejection>((String::new(),)) });
    let request = warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::bytes());
    let route = request.then(
        move |method: Method,
              path: warp::path::FullPath,
              query: String,
              headers: HeaderMap,
              body: Bytes| {
            let root = root.clone();
            async move {
                let work = move || serve(&root, &method, path.as_str(), &query, &headers, &body);
                tokio::task::spawn_blocking(work).await.expect("it answers")
            }
        },
    );
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(warp::serve(route).incoming(listener).run());
        address
    })
}

#[test]
fn a_fleet_is_served_over_http() {
    let mut repository = ConfigRepo::new()
        .template()
        .workload()
        .host("one", "")
        .host("two", "")
        .deployment("prod", "1", "");
    repository.commit("the fleet");
    for setting in ["http.receivepack", "uploadpack.allowFilter"] {
        let mut git = Command::new("git");
        git.arg("--git-dir").arg(&repository.path).args(["config", setting, "true"]);
        assert!(git.status().expect("git runs").success());
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let address = start(&runtime, repository.folder.path().to_owned());
    let fleet = format!("http://{address}/fleet.git");
    repository.titan_ok(&["reconcile", "--fleet", &fleet]);
    let value = "spec.values.version=\"2\"";
    repository.titan_ok(&["set", "deployment", "default/web/prod", value, "--fleet", &fleet]);
    repository.titan_ok(&["reconcile", "--fleet", &fleet]);
    let folder = repository.destination("one");
    let dest = folder.to_str().expect("text");
    let agent = ["agent", "--host", "one", "--runtime", "directory", "--once", "--dest", dest];
    repository.titan_ok(&[&agent[..], &["--fleet", &fleet]].concat());
    assert!(drawn(&folder).contains("web/prod/a.txt: prod 2 on one"), "{}", drawn(&folder));
}
