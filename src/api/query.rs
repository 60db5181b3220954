//! What a reader asks for: `?selector=&workspace=&host=&deployment=&limit=&continue=&revision=`.

use std::str::FromStr;

use super::error::Refused;
use crate::model::{AssignmentRef, DeploymentRef, Labels, Name, Revision, Selector};

/// Items of a page, unless another number is asked for; and the most that may be.
const LIMIT: usize = 500;
const MOST: usize = 10_000;

/// The parameters, understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    pub(super) selector: Selector,
    pub(super) workspace: Option<Name>,
    pub(super) host: Option<Name>,
    pub(super) deployment: Option<DeploymentRef>,
    pub(super) limit: usize,
    /// The last name of the page before.
    pub(super) after: Option<String>,
    pub(super) revision: Option<Revision>,
}

impl Query {
    /// # Errors
    /// [`Refused::BadRequest`] for what is unknown, comes twice, or makes no sense.
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        let mut query = Self {
            selector: Selector::default(),
            workspace: None,
            host: None,
            deployment: None,
            limit: LIMIT,
            after: None,
            revision: None,
        };
        let mut seen = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value).ok_or_else(|| bad(key, "is no text"))?;
            if seen.contains(&key) {
                return Err(bad(key, "comes twice"));
            }
            seen.push(key);
            query.set(key, &value)?;
        }
        Ok(query)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Refused> {
        match key {
            "selector" => {
                self.selector = value.parse().map_err(|error| bad(key, &format!("{error}")))?;
            }
            "workspace" => self.workspace = Some(read(key, value)?),
            "host" => self.host = Some(read(key, value)?),
            "deployment" => self.deployment = Some(read(key, value)?),
            "revision" => self.revision = Some(read(key, value)?),
            "continue" => {
                if value.len() > 300 || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(bad(key, "is not from the page before"));
                }
                self.after = Some(value.to_owned()).filter(|value| !value.is_empty());
            }
            "limit" => {
                let limit: usize = read(key, value)?;
                if limit == 0 || limit > MOST {
                    return Err(bad(key, &format!("is from 1 to {MOST}")));
                }
                self.limit = limit;
            }
            _ => return Err(bad(key, "is not known here")),
        }
        Ok(())
    }

    /// Whether an object of a workspace with these labels is asked for.
    pub(super) fn takes(&self, workspace: Option<&Name>, labels: &Labels) -> bool {
        let here = self.workspace.is_none() || self.workspace.as_ref() == workspace;
        here && self.selector.matches(labels)
    }

    /// Whether an assignment is of the host and the deployment that are asked for.
    pub(super) fn names(&self, pair: &AssignmentRef) -> bool {
        self.host.as_ref().is_none_or(|host| *host == pair.host)
            && self.deployment.as_ref().is_none_or(|one| *one == pair.deployment)
    }
}

fn read<T: FromStr>(key: &str, value: &str) -> Result<T, Refused> {
    value.parse().map_err(|_| bad(key, "has a form that is not allowed"))
}

pub(super) fn bad(key: &str, why: &str) -> Refused {
    let key: String = key.escape_default().take(40).collect();
    Refused::BadRequest(format!("parameter `{key}` {why}"))
}

/// Undoes the percent encoding of a query (`+` is a space).
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_understood() {
        let query =
            Query::parse("selector=region%3Deu%2Cring+in+%28a%2Cb%29&workspace=iot&limit=7");
        let query = query.expect("it makes sense");
        assert_eq!(query.selector, "region=eu,ring in (a,b)".parse().expect("a selector"));
        assert_eq!((query.limit, query.workspace), (7, Name::new("iot").ok()));
        for bad in [
            "limit=0",
            "limit=x",
            "limit=99999",
            "nothing=1",
            "workspace=A",
            "workspace=a&workspace=b",
            "selector=a%3D%3D%3D",
            "selector=%zz",
            "revision=main",
            "host=..%2Fx",
            "continue=%00",
        ] {
            assert!(matches!(Query::parse(bad), Err(Refused::BadRequest(_))), "{bad}");
        }
    }
}
