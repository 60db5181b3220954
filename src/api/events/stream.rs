//! One stream: where its client stands, and what it is sent.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval_at, sleep, sleep_until};
use warp::http::HeaderMap;
use warp::hyper::body::Bytes;

use super::super::Caller;
use super::super::Context;
use super::super::error::Refused;
use super::cursor::Cursor;
use super::steps::{BACK, Step};
use super::told::frame;
use super::wanted::{Fleets, Wanted};
use crate::git::GitError;
use crate::model::access::{Need, holds, is_admin};
use crate::model::{Fleet, Revision};
use crate::observe::Snapshot;
use crate::observe::events::Position;

/// How often something is sent, so that each side notices when the other is gone; and how often a token is
/// looked at again.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client may take for a piece of its stream.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long this controller may be behind the one that gave out an id.
const CATCH_UP: Duration = Duration::from_secs(5);
/// After so many milliseconds a client connects again.
const RETRY: u32 = 2000;
/// Bytes of a piece.
const PIECE: usize = 16 << 10;

const LAST_ID: &str = "last-event-id";

/// Sends what happens to one client.
pub(super) struct Reader {
    context: Arc<Context>,
    caller: Caller,
    /// Of the request: its token is looked at again.
    headers: HeaderMap,
    wanted: Wanted,
    sender: mpsc::Sender<Bytes>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    statuses: watch::Receiver<Option<Revision>>,
    closed: watch::Receiver<bool>,
    /// By which rights are judged: now, and before.
    fleets: [Arc<Fleet>; 2],
    /// When the token was looked at.
    looked: Instant,
    /// What was looked at, and what the client knows of that.
    at: Position,
    told: Position,
}

/// Why a stream ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client left")]
    Left,
    #[error("the client is too slow")]
    Slow,
    #[error("the controller stops")]
    Stops,
    #[error("the rights to read anything are gone")]
    Rights,
    #[error("{0}")]
    Refused(Refused),
    #[error("the repository cannot be read; try again later")]
    Unreadable(#[source] GitError),
}

impl From<GitError> for End {
    fn from(error: GitError) -> Self {
        Self::Unreadable(error)
    }
}

impl Reader {
    pub(super) fn new(
        context: &Arc<Context>,
        caller: Caller,
        headers: HeaderMap,
        wanted: Wanted,
        sender: mpsc::Sender<Bytes>,
    ) -> Self {
        let (snapshots, statuses) = (context.needs.snapshot.clone(), context.needs.status.clone());
        let fleet = Arc::clone(&snapshots.borrow().fleet);
        let closed = context.events.closed.subscribe();
        let (fleets, at) = ([Arc::clone(&fleet), fleet], Position::default());
        let context = Arc::clone(context);
        Self {
            context,
            caller,
            headers,
            wanted,
            sender,
            snapshots,
            statuses,
            closed,
            fleets,
            looked: Instant::now(),
            at,
            told: at,
        }
    }

    /// Until one of both sides ends it.
    pub(super) async fn run(mut self) {
        let Err(end) = self.follow().await;
        if let End::Unreadable(error) = &end {
            tracing::warn!(error = error as &dyn std::error::Error, "events cannot be told");
        }
        tracing::debug!(%end, "a stream of events ends");
        // Who left or is slow has no room for it.
        let text = frame("end", &json!({"reason": end.to_string()}));
        let _ = self.sender.try_send(format!("{text}\n").into());
    }

    async fn follow(&mut self) -> Result<Infallible, End> {
        let mut ticks = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        self.send(format!("retry: {RETRY}\n\n")).await?;
        self.begin().await?;
        loop {
            self.catch_up().await?;
            tokio::select! {
                _ = ticks.tick() => self.keep_alive().await?,
                moved = self.moved() => moved?,
            }
            self.judge().await?;
        }
    }

    /// From now on, or from where the client was.
    async fn begin(&mut self) -> Result<(), End> {
        let given = self.headers.get(LAST_ID).filter(|given| !given.is_empty());
        let Some(given) = given else {
            self.at = self.goal();
            self.told = self.at;
            return self.send_at("hello", None).await;
        };
        let Some(cursor) = given.to_str().ok().and_then(|text| text.parse::<Cursor>().ok()) else {
            return self.reset("the `Last-Event-ID` is none of titan's").await;
        };
        if !self.comes_by(&cursor).await? {
            let reason =
                format!("the `Last-Event-ID` is not in history, or more than {BACK} commits ago");
            return self.reset(&reason).await;
        }
        self.at = cursor.positions()[0];
        self.told = self.at;
        let Cursor::Within(way, seen) = cursor else { return Ok(()) };
        let context = Arc::clone(&self.context);
        let step = context.events.steps.of(&context.needs.repository.repository, way).await?;
        if step.events.as_ref().is_some_and(|events| events.len() < seen) {
            return self.reset("the `Last-Event-ID` is none of titan's").await;
        }
        self.tell(&step, seen).await
    }

    /// Whether the client was where this controller was, or will be at once: another one may be ahead.
    async fn comes_by(&mut self, cursor: &Cursor) -> Result<bool, End> {
        let (context, deadline) = (Arc::clone(&self.context), Instant::now() + CATCH_UP);
        let (git, steps) = (&context.needs.repository.repository, &context.events.steps);
        loop {
            if steps.are_known(git, cursor.positions(), self.goal()).await {
                return Ok(true);
            }
            let _ = context.needs.wake.try_send(());
            tokio::select! {
                moved = self.moved() => moved?,
                () = sleep_until(deadline) => return Ok(false),
            }
        }
    }

    /// Tells what happened up to now.
    async fn catch_up(&mut self) -> Result<(), End> {
        let context = Arc::clone(&self.context);
        let (git, steps) = (&context.needs.repository.repository, &context.events.steps);
        while let Some(step) = steps.next(git, self.at, self.goal()).await? {
            self.judge().await?;
            // Where the settings are broken nobody knows who has which rights: it goes on when they are mended.
            if self.is_blind() {
                break;
            }
            self.tell(&step, 0).await?;
        }
        Ok(())
    }

    fn is_blind(&self) -> bool {
        let fleet = &self.fleets[0];
        fleet.held.all.is_some() && !is_admin(fleet, &self.caller.subject)
    }

    /// Sends the events of a step but for those that were `seen`.
    async fn tell(&mut self, step: &Step, seen: usize) -> Result<(), End> {
        let to = step.way.to();
        let Some(events) = &step.events else {
            return self.reset("more has changed than is told").await;
        };
        let (mut text, mut told) = (String::new(), false);
        for (place, one) in events.iter().enumerate().skip(seen) {
            let fleets = Fleets { now: &self.fleets[0], before: &self.fleets[1] };
            let shown =
                self.wanted.takes(&one.event, &fleets) && fleets.show(&one.event, &self.caller);
            if !shown {
                continue;
            }
            let id = match place + 1 == events.len() {
                true => Cursor::At(to),
                false => Cursor::Within(step.way, place + 1),
            };
            write!(text, "id: {id}\n{}\n", one.text).expect("because a text takes all");
            told = true;
            if text.len() >= PIECE {
                self.send(std::mem::take(&mut text)).await?;
                self.judge().await?;
            }
        }
        self.at = to;
        if told {
            self.told = to;
            // What comes last may not be shown: an id alone is no event, but counts.
            write!(text, "id: {}\n\n", Cursor::At(to)).expect("because a text takes all");
            self.send(text).await?;
        }
        Ok(())
    }

    /// The client is to list again; then it goes on from now.
    async fn reset(&mut self, reason: &str) -> Result<(), End> {
        self.at = self.goal();
        self.told = self.at;
        self.send_at("reset", Some(reason)).await
    }

    /// An event that says where it goes on.
    async fn send_at(&mut self, name: &str, reason: Option<&str>) -> Result<(), End> {
        let Position { config, rendered, status } = self.at;
        let mut data = json!({"config": config, "rendered": rendered, "status": status});
        if let Some(reason) = reason {
            data["reason"] = reason.into();
        }
        self.send(format!("id: {}\n{}\n", Cursor::At(self.at), frame(name, &data))).await
    }

    /// A comment; and where the client is, which it does not know when nothing of what happened was for it.
    async fn keep_alive(&mut self) -> Result<(), End> {
        let known = self.told == self.at;
        self.told = self.at;
        let id = if known { String::new() } else { format!("id: {}\n", Cursor::At(self.at)) };
        self.send(format!(":\n{id}\n")).await
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        tokio::select! {
            sent = self.sender.send(text.into()) => sent.map_err(|_| End::Left),
            _ = self.closed.wait_for(|closed| *closed) => Err(End::Stops),
            () = sleep(PATIENCE) => Err(End::Slow),
        }
    }

    /// Where the branches are now.
    fn goal(&mut self) -> Position {
        let status = *self.statuses.borrow_and_update();
        let snapshot = self.snapshots.borrow_and_update();
        Position { config: snapshot.fleet.revision, rendered: snapshot.rendered, status }
    }

    /// Ends when a branch may have moved.
    async fn moved(&mut self) -> Result<(), End> {
        tokio::select! {
            moved = self.snapshots.changed() => moved.map_err(|_| End::Stops),
            moved = self.statuses.changed() => moved.map_err(|_| End::Stops),
            _ = self.closed.wait_for(|closed| *closed) => Err(End::Stops),
            () = self.sender.closed() => Err(End::Left),
        }
    }

    /// Takes over the rights that the fleet gives now.
    async fn judge(&mut self) -> Result<(), End> {
        let fleet = Arc::clone(&self.context.snapshot().fleet);
        let moved = !Arc::ptr_eq(&fleet, &self.fleets[0]);
        let other = moved && fleet.settings.identity != self.fleets[0].settings.identity;
        if other || self.looked.elapsed() >= KEEP_ALIVE {
            self.look_at_token().await?;
        }
        if !moved {
            return Ok(());
        }
        self.fleets = [fleet, Arc::clone(&self.fleets[0])];
        let is_known = |fleet: &Arc<Fleet>| {
            fleet.held.all.is_some() || holds(fleet, &self.caller.subject, Need::Member)
        };
        let [now, before] = self.fleets.each_ref().map(is_known);
        if before && !now { Err(End::Rights) } else { Ok(()) }
    }

    /// Whether the token is as good as it was. An issuer that cannot be reached makes it no worse.
    async fn look_at_token(&mut self) -> Result<(), End> {
        self.looked = Instant::now();
        match self.context.caller(&self.headers).await {
            Ok(caller) => self.caller = caller,
            Err(Refused::Unreachable | Refused::Busy) => {}
            Err(refused) => return Err(End::Refused(refused)),
        }
        Ok(())
    }
}
