//! How a host proves that it is itself: it signs, and whoever knows its public key can tell.
//!
//! ```text
//!  PrivateKey (on the host alone) ── token ─▶ header.claims.signature ── verify ─▶ HostKey, until
//!      │                                                                   ▲
//!      └── public: HostKey ─▶ Git: Host.spec.keys ─────────────────────────┘
//! ```
//! The agent signs and the API verifies; both sides of the protocol are here. It is a JSON Web Token
//! (RFC 7519) with these claims, so that a device without titan's agent can make one too:
//!
//! | part | content |
//! |---|---|
//! | `alg` | `EdDSA` (RFC 8037), nothing else |
//! | `kid` | [`fingerprint`] of the key; may be left out where the host has one key |
//! | `iss`, `sub` | the host's name |
//! | `aud` | [`AUDIENCE`] |
//! | `iat`, `exp` | seconds; at most [`LIFE`] apart |
//!
//! A token says nothing about one request: it travels over TLS only, and is used until it is old.

mod key;
pub mod secret;
mod verify;

pub use key::{KeyError, PrivateKey, fingerprint};
pub use verify::{Proof, ProofError, is_signed, subject, verify};

/// For whom a host's tokens are: any controller of its fleet, and nobody else.
pub const AUDIENCE: &str = "titan-hosts";
/// Longest life of a token, in seconds.
pub const LIFE: i64 = 300;
/// How much the clocks of a host and a controller may differ, in seconds.
pub const LEEWAY: i64 = 60;

#[cfg(test)]
mod tests;
