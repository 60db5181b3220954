//! Logging in at a real OpenID provider: `oidc-provider` of npm, on loopback, with an issuer that has
//! a path. The test plays the person, and follows the provider's pages as a browser would.
//!
//! `sh tests/tools.sh test` installs it; where it is missing, the test says so, and fails in CI.

mod browser;
mod provider;
mod workspaces;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use browser::{Browser, Will};
use provider::Provider;
use serde_json::Value;
use tempfile::TempDir;

/// A server that does not answer: titan has to go on without its help.
const SERVER: &str = "http://127.0.0.1:9";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody with a home folder.
struct Person {
    home: TempDir,
}

/// `titan login` on its way.
struct Login {
    child: Child,
    lines: mpsc::Receiver<String>,
    said: String,
}

struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Person {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a folder") }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_titan"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        command
    }

    fn titan(&self, arguments: &[&str]) -> Done {
        let output = self.command(arguments).output().expect("titan runs");
        Done {
            code: output.status.code().expect("it ends by itself"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    fn login(&self, arguments: &[&str]) -> Login {
        let mut command = self.command(&["login"]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("titan runs");
        let stderr = child.stderr.take().expect("it is piped");
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Login { child, lines, said: String::new() }
    }

    /// The first login at a provider.
    fn login_at(&self, provider: &Provider, how: &[&str]) -> Login {
        let settings = ["--server", SERVER, "--issuer", &provider.issuer, "--client-id", "titan"];
        self.login(&[&settings, how].concat())
    }

    fn file(&self) -> PathBuf {
        self.home.path().join(".config/titan/servers.json")
    }

    /// What is kept of the only server.
    fn kept(&self) -> Value {
        let text = fs::read_to_string(self.file()).expect("the file is there");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let servers = value["servers"].as_object().expect("servers");
        assert_eq!(servers.len(), 1);
        servers.values().next().expect("there is one").clone()
    }

    fn token(&self, name: &str) -> String {
        self.kept()["session"][name].as_str().expect("a token").to_owned()
    }

    fn whoami(&self) -> Value {
        let done = self.titan(&["whoami", "-o", "json"]).code(0);
        serde_json::from_str(&done.out).expect("JSON")
    }
}

impl Login {
    /// Reads on until a line holds a URL.
    fn url(&mut self) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no URL in:\n{}", self.said));
            self.said += &format!("{line}\n");
            if let Some(url) = line.strip_prefix("  ").filter(|line| line.starts_with("http")) {
                return url.to_owned();
            }
        }
    }

    /// The page for the code, with the code in it.
    fn device_url(&mut self) -> String {
        let plain = self.url();
        let complete = self.url();
        assert!(complete.starts_with(&plain) && complete.contains("user_code="), "{complete}");
        complete
    }

    /// Waits for its end; it has a limit of its own.
    fn end(mut self) -> Done {
        let mut out = String::new();
        self.child.stdout.take().expect("it is piped").read_to_string(&mut out).expect("UTF-8");
        let code = self.child.wait().expect("it ends").code().expect("it ends by itself");
        self.said.extend(self.lines.iter().map(|line| line + "\n"));
        Done { code, out, err: std::mem::take(&mut self.said) }
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Done {
    #[track_caller]
    fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, part: &str) -> Self {
        assert!(self.err.contains(part), "`{part}` is not in: {}", self.err);
        self
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_browser_logs_in_by_pkce() {
    let Some(provider) = Provider::start("{}") else { return };
    let ann = Person::new();
    let mut login = ann.login_at(&provider, &["--browser"]);
    let url = login.url();
    assert!(url.contains("code_challenge_method=S256"), "{url}");
    let page = Browser::new().walk(&url, Will::LogIn("ann"));
    assert!(page.contains("You can close this page"), "{page}");
    let done = login.end().code(0);
    assert_eq!(done.out, format!("logged in at {SERVER} as ann Example\n"));

    let person = ann.whoami();
    assert_eq!(person["subject"], "ann");
    assert_eq!(person["groups"], serde_json::json!(["dev", "ops"]));
    assert_eq!(person["issuer"], provider.issuer.as_str());
    assert_eq!(person["renewable"], true);
    let table = ann.titan(&["whoami"]).code(0);
    for (title, value) in [("name", "ann Example"), ("groups", "dev, ops"), ("subject", "ann")] {
        assert!(table.out.contains(&format!("{title:<9}{value}\n")), "{}", table.out);
    }

    assert_eq!(mode(&ann.file()), 0o600);
    assert_eq!(mode(ann.file().parent().expect("a folder")), 0o700);
    for name in ["idToken", "accessToken", "refreshToken"] {
        let token = ann.token(name);
        for text in [&done.out, &done.err, &table.out, &person.to_string()] {
            assert!(!text.contains(&token), "{name} is shown");
        }
    }
    // What was given once is remembered.
    let mut again = ann.login(&["--browser"]);
    Browser::new().walk(&again.url(), Will::LogIn("eve"));
    again.end().code(0);
    assert_eq!(ann.whoami()["subject"], "eve");
}

#[test]
fn a_device_code_logs_in() {
    let Some(provider) = Provider::start("{}") else { return };
    let ann = Person::new();
    // No screen here: the device flow is the usual one.
    let mut login = ann.login_at(&provider, &[]);
    let page = Browser::new().walk(&login.device_url(), Will::LogIn("ann"));
    assert!(page.contains("Sign-in Success"), "{page}");
    login.end().code(0);
    assert_eq!(ann.whoami()["subject"], "ann");
}

#[test]
fn a_denied_login_is_told() {
    let Some(provider) = Provider::start("{}") else { return };
    let ann = Person::new();
    let mut login = ann.login_at(&provider, &["--device"]);
    Browser::new().walk(&login.device_url(), Will::Deny);
    login.end().code(1).says("the login was denied");

    let mut login = ann.login_at(&provider, &["--browser"]);
    let page = Browser::new().walk(&login.url(), Will::Deny);
    assert!(page.contains("The login was refused"), "{page}");
    login.end().code(1).says("the login was denied");
    assert!(!ann.file().exists(), "nothing is kept");
}

#[test]
fn nobody_waits_for_ever() {
    let Some(provider) = Provider::start(r#"{"DeviceCode": 1}"#) else { return };
    let ann = Person::new();
    let login = ann.login_at(&provider, &["--device"]);
    login.end().code(4).says("the code is no longer good");
    let login = ann.login_at(&provider, &["--browser", "--timeout", "100ms"]);
    login.end().code(4).says("nobody confirmed the login in time");
}

#[test]
fn the_answer_to_another_login_is_refused() {
    let Some(provider) = Provider::start("{}") else { return };
    let ann = Person::new();
    let mut login = ann.login_at(&provider, &["--browser"]);
    let url = login.url();
    let callback = browser::parameter(&url, "redirect_uri");
    let (status, page) = Browser::new().get(&format!("{callback}?code=stolen&state=guessed"));
    assert_eq!(status, 400, "{page}");
    assert!(page.contains("another login"), "{page}");
    // It does not disturb the right one.
    Browser::new().walk(&url, Will::LogIn("ann"));
    login.end().code(0).says("belongs to another login");
}

#[test]
fn many_processes_renew_one_session() {
    // Less than a minute is left from the start, so each renews; a refresh token that is used twice
    // would end the session.
    let Some(provider) = Provider::start(r#"{"IdToken": 50}"#) else { return };
    let ann = Person::new();
    let mut login = ann.login_at(&provider, &["--browser"]);
    Browser::new().walk(&login.url(), Will::LogIn("ann"));
    login.end().code(0);
    let before = ann.token("refreshToken");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(ann.whoami()["subject"], "ann"));
        }
    });
    let after = ann.token("refreshToken");
    assert_ne!(before, after);
    assert_eq!(mode(&ann.file()), 0o600);
    // Whoever uses an old one ends it for all, as the provider must suspect a thief.
    assert_eq!(provider.refresh(&before), "invalid_grant");
    let ended = ann.titan(&["whoami"]).code(1).says("has ended").says("titan login --server");
    assert!(!ended.err.contains(&after));
}

#[test]
fn logout_takes_the_tokens_back() {
    let Some(provider) = Provider::start("{}") else { return };
    let ann = Person::new();
    let mut login = ann.login_at(&provider, &["--browser"]);
    Browser::new().walk(&login.url(), Will::LogIn("ann"));
    login.end().code(0);
    let token = ann.token("refreshToken");
    let done = ann.titan(&["logout"]).code(0);
    assert_eq!(done.out, format!("logged out of {SERVER}\n"));
    assert_eq!(done.err, "");
    assert_eq!(provider.refresh(&token), "invalid_grant");
    assert_eq!(ann.kept()["session"], Value::Null);
    assert_eq!(ann.kept()["clientId"], "titan");
    ann.titan(&["whoami"]).code(1).says("nobody is logged in");
    let again = ann.titan(&["logout"]).code(0);
    assert_eq!(again.out, format!("nobody was logged in at {SERVER}\n"));
}

#[test]
fn the_server_tells_how_to_log_in() {
    let Some(provider) = Provider::start("{}") else { return };
    let ann = Person::new();
    let server = provider::Server::start(&provider.issuer);
    let mut login = ann.login(&["--browser", "--server", &server.address]);
    Browser::new().walk(&login.url(), Will::LogIn("ann"));
    login.end().code(0);
    assert_eq!(ann.whoami()["server"], server.address.as_str());
}

#[test]
fn what_is_missing_or_open_to_others_is_told() {
    let ann = Person::new();
    ann.titan(&["whoami"]).code(2).says("titan login --server");
    ann.titan(&["login"]).code(2).says("TITAN_SERVER");
    ann.titan(&["login", "--server", SERVER]).code(3).says("ask the server how to log in");
    ann.titan(&["login", "--server", "http://titan.example"]).code(1).says("https");
    let elsewhere = ["login", "--server", SERVER, "--client-id", "titan", "--issuer"];
    ann.titan(&[&elsewhere[..], &["http://sso.example"]].concat()).code(1).says("the issuer");
    ann.titan(&[&elsewhere[..], &[SERVER]].concat()).code(3).says("discovery document");

    fs::create_dir_all(ann.file().parent().expect("a folder")).expect("a folder");
    fs::write(ann.file(), "{}").expect("a file");
    fs::set_permissions(ann.file(), fs::Permissions::from_mode(0o644)).expect("its mode");
    ann.titan(&["whoami", "--server", SERVER]).code(1).says("chmod 600");
}
