//! The provider as a process, and a titan server that names it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use warp::Filter;

use super::{PATIENCE, browser};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub(super) struct Provider {
    pub(super) issuer: String,
    child: Child,
}

/// Where `tests/tools.sh` puts what npm installs.
fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")));
    base.expect("there is a home folder").join("titan-tests/oidc")
}

/// Why there can be no provider, if so.
fn missing() -> Option<String> {
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    if !node.is_ok_and(|status| status.success()) {
        return Some("Node.js".into());
    }
    let module = cache().join("node_modules/oidc-provider/package.json");
    (!module.exists())
        .then(|| "the npm package oidc-provider (`sh tests/tools.sh test` installs it)".into())
}

impl Provider {
    /// Starts one; `None` where it is not installed.
    pub(super) fn start(ttl: &str) -> Option<Self> {
        if let Some(what) = missing() {
            assert!(std::env::var_os("CI").is_none(), "{what} is missing");
            // Past the test's own output, which nobody sees.
            let said = writeln!(std::io::stderr(), "login: NOT tested, as {what} is missing");
            said.expect("stderr is open");
            return None;
        }
        let mut child = Command::new("node")
            .arg(Path::new(ROOT).join("tests/oidc/server.mjs"))
            .arg(cache())
            .arg(ttl)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (send, line) = mpsc::channel();
        std::thread::spawn(move || {
            let mut issuer = String::new();
            let _ = stdout.read_line(&mut issuer);
            let _ = send.send(issuer.trim_end().to_owned());
            // Read on: who writes where nobody reads ends.
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
        });
        let issuer = line.recv_timeout(PATIENCE).expect("the provider starts");
        assert!(issuer.starts_with("http://127.0.0.1:"), "{issuer}");
        Some(Self { issuer, child })
    }

    /// What the provider says to a refresh token: an error's code, or `fine`.
    pub(super) fn refresh(&self, token: &str) -> String {
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "titan")];
        let body = browser::Browser::new().post(&format!("{}/token", self.issuer), &form).1;
        let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        answer["error"].as_str().unwrap_or("fine").to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that has nothing but `GET /api/v1/identity`.
pub(super) struct Server {
    pub(super) address: String,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    pub(super) fn start(issuer: &str) -> Self {
        let answer = serde_json::json!({"issuers": [
            {"name": "ci", "issuer": "https://ci.example"},
            {"name": "sso", "issuer": issuer, "clientId": "titan", "audience": "titan"},
        ]});
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let route = warp::path!("api" / "v1" / "identity").map(move || warp::reply::json(&answer));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        runtime.spawn(warp::serve(route).incoming(listener).run());
        Self { address, _runtime: runtime }
    }
}
