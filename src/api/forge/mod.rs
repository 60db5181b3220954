//! Pull requests at a forge: GitHub, GitLab, Gitea and Forgejo.
//!
//! ```text
//!  titan/change/<id> ─▶ [opener] ─ one at a time ─ is there one? ─ no ─▶ open it ─▶ its address
//!                          ▲ │                        │ yes ──────────────────────▶ its address
//!                          │ └─ 5xx, 429, no answer                  [dialect]: what each forge calls it
//!                          └─── later, a few times                   [client]: sent, bounded, judged
//! ```
//! Nothing is kept: what a pull request says is read from the branch's commit ([text]), whether there is one
//! is asked of the forge. The operator alone names the forge ([address]), as its token goes there: who may
//! change the fleet's settings must not be able to send it elsewhere.

mod address;
mod client;
mod dialect;
mod opener;
mod text;
mod token;

pub use address::{Forge, ForgeError, ForgeKind, ForgePlace};
pub(super) use opener::{Job, News, Opener};
pub use token::TokenError;

#[cfg(test)]
mod tests;
