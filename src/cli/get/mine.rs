//! The workspaces that somebody has access to, and as what: a server knows both.
//!
//! ```text
//!  --server, else where I am logged in ─▶ GET /api/v1/me          my roles
//!                                         GET /api/v1/workspaces  those that I may read
//! ```
//! Whoever reads the repository itself has access to all of it.

use anyhow::Result;
use serde_json::Value;

use super::{Args, Listed, Listing, Row};
use crate::cli::account::{self, Server, Store};
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::selector;
use crate::model::{Labels, Name, ObjectKind, Selector};

/// Workspaces of one page.
const PAGE: &str = "1000";

/// The server that is asked; `None`: the repository is read.
///
/// # Errors
/// When it is not clear which one, or the session there has ended.
pub(super) fn server(args: &Args, context: &Context) -> Result<Option<Server>> {
    let workspaces = args.kind == Listed::Objects(ObjectKind::Workspace);
    match &args.server {
        Some(_) if !workspaces => Err(Failure::usage("`--server` lists workspaces only")
            .hint("all else is read from the repository: leave `--server` out")
            .into()),
        Some(server) => Server::open(server).map(Some),
        // Whoever names the repository means it.
        None if !workspaces || context.global.fleet.is_some() => Ok(None),
        None => {
            let Ok(store) = Store::open() else { return Ok(None) };
            let Some(server) = account::logged_in(&store.read()?)? else { return Ok(None) };
            let text = format!(
                "as `{server}` has it, where you are logged in; `--fleet` reads a repository"
            );
            context.output.note(&text);
            Server::open(&server).map(Some)
        }
    }
}

/// What there is for me, or the one that is named, as far as it is to be kept.
///
/// # Errors
/// When the server does not answer, or refuses; when that one is not there.
pub(super) fn listing(
    server: &Server,
    name: Option<&str>,
    keep: impl Fn(&Row) -> bool,
) -> Result<Listing> {
    let me = server.get("me", &[])?;
    let admin = me["admin"] == true;
    let mut rows = Vec::new();
    let mut next = Some(String::new());
    while let Some(after) = next.take() {
        let page = server.get("workspaces", &[("limit", PAGE), ("continue", &after)])?;
        for object in page["items"].as_array().into_iter().flatten() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let role = if admin { Some("admin") } else { me["workspaces"][name].as_str() };
            rows.push(row(name, role.unwrap_or_default(), object)?);
        }
        // A server that sends one page again and again must not keep us.
        next =
            page["metadata"]["continue"].as_str().filter(|next| **next > *after).map(str::to_owned);
    }
    if let Some(name) = name {
        choose(&mut rows, name, server)?;
    }
    rows.retain(keep);
    Ok(Listing { heading: vec!["NAME", "ROLE", "MEMBERS", "ALLOWED-HOSTS"], extra: 2, rows })
}

/// What a newer server says beside this is passed on as it is.
fn row(name: &str, role: &str, object: &Value) -> Result<Row> {
    let foreign = |_| Failure::no("the server lists what is no workspace");
    let name = Name::new(name).map_err(foreign)?;
    let labels = serde_json::from_value::<Labels>(object["metadata"]["labels"].clone());
    let hosts = serde_json::from_value::<Selector>(object["spec"]["hosts"].clone());
    let members = object["spec"]["members"].as_array().map_or(0, Vec::len);
    let hosts = hosts.map(|hosts| selector::show(&hosts)).unwrap_or_default();
    let cells = vec![name.to_string(), role.to_owned(), members.to_string(), hosts];
    let mut object = object.clone();
    if !role.is_empty() {
        object["role"] = role.into();
    }
    let labels = labels.unwrap_or_default();
    Ok(Row { name: name.to_string(), workspace: Some(name), labels, cells, object })
}

/// Keeps the workspace of this name.
fn choose(rows: &mut Vec<Row>, name: &str, server: &Server) -> Result<(), Failure> {
    rows.retain(|row| row.name == name);
    if !rows.is_empty() {
        return Ok(());
    }
    let shown: String = name.escape_default().take(80).collect();
    let message =
        format!("there is no workspace `{shown}` at `{}` that you have access to", server.name);
    Err(Failure::no(message).hint("`titan get workspaces` lists those that there are for you"))
}
