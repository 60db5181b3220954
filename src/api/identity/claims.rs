//! Claims that are known to be true → who that is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::TokenError;
use super::token::Claims;
use crate::model::{Issuer, IssuerKind, Person, Subject};

/// Longest subject or name of a group, in characters.
const LONGEST: usize = 256;
/// Most groups of one person.
const GROUPS: usize = 1000;

/// Who the claims speak of.
pub(super) fn subject(issuer: &Issuer, claims: &Claims) -> Result<Subject, TokenError> {
    // OpenID Connect Core, 2: a token always has a subject, whatever else titan goes by.
    name(claims, "sub").ok_or(TokenError::Nobody)?;
    match issuer.kind {
        IssuerKind::People => person(issuer, claims).map(Subject::Person),
        IssuerKind::Ci => job(issuer, claims),
    }
}

fn person(issuer: &Issuer, claims: &Claims) -> Result<Person, TokenError> {
    let claim = issuer.subject_claim.as_str();
    // Who can write any address into their profile is not thereby whoever has it.
    if claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(TokenError::Nobody);
    }
    let user = name(claims, claim).ok_or(TokenError::Nobody)?.to_owned();
    let groups = groups(claims.get(&issuer.groups_claim));
    Ok(Person { issuer: Some(issuer.name.clone()), user, groups })
}

fn groups(claim: Option<&Value>) -> BTreeSet<String> {
    let list = match claim {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        _ => &[],
    };
    let names = list.iter().take(GROUPS).filter_map(|group| plain(group.as_str()?));
    names.map(str::to_owned).collect()
}

/// The job, by all names that it has; one without a name is nobody.
fn job(issuer: &Issuer, claims: &Claims) -> Result<Subject, TokenError> {
    let has = |claim: &str, wanted: &str| match claims.get(claim) {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Number(number)) => number.to_string() == wanted,
        Some(Value::Bool(value)) => value.to_string() == wanted,
        _ => false,
    };
    let matches = |claims: &std::collections::BTreeMap<String, String>| {
        !claims.is_empty() && claims.iter().all(|(claim, wanted)| has(claim, wanted))
    };
    let known = issuer.jobs.iter().filter(|job| matches(&job.claims));
    let names: BTreeSet<String> = known.map(|job| job.name.clone()).collect();
    if names.is_empty() { Err(TokenError::Nobody) } else { Ok(Subject::Ci(names)) }
}

fn name<'a>(claims: &'a Claims, claim: &str) -> Option<&'a str> {
    plain(claims.get(claim)?.as_str()?)
}

/// A text that can name somebody, also in the trailer of a commit.
fn plain(text: &str) -> Option<&str> {
    let fits = !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= LONGEST
        && !text.chars().any(char::is_control);
    fits.then_some(text)
}
