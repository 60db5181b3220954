//! How the values of a label are spread over hosts.

use std::str::FromStr;

use super::random::Random;
use crate::model::labels;

/// A label and its values, each with its share: `ring=main:90,early:8,canary:2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Distribution {
    pub(super) key: String,
    values: Vec<(String, u64)>,
}

impl Distribution {
    /// The value for the host that `random` belongs to.
    pub(super) fn pick(&self, random: &mut Random) -> &str {
        let mut left = random.below(self.values.iter().map(|(_, share)| share).sum());
        for (value, share) in &self.values {
            if left < *share {
                return value;
            }
            left -= share;
        }
        unreachable!("the number is below the sum of all shares")
    }
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, values) = text.split_once('=').ok_or("`=` is missing")?;
        let part = |part: &str| {
            let (value, share) = part.split_once(':').unwrap_or((part, "1"));
            let share: u32 = share.parse().map_err(|_| format!("`{share}` is no share"))?;
            let problem = labels::check_value(value).map(|problem| format!("{value}: {problem}"));
            problem.map_or(Ok((value.to_owned(), u64::from(share))), Err)
        };
        if let Some(problem) = labels::check_key(key) {
            return Err(format!("{key}: {problem}"));
        }
        let values = values.split(',').map(part).collect::<Result<Vec<_>, _>>()?;
        if values.iter().all(|(_, share)| *share == 0) {
            return Err("no value has a share".into());
        }
        Ok(Self { key: key.to_owned(), values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_out_as_asked() {
        let ring: Distribution = "ring=main:90,early:8,canary:2".parse().expect("it is one");
        let counted = |value: &str| {
            let hosts = (0..10_000).map(|host| Random::of(7, &format!("host-{host}")));
            hosts.map(|mut random| ring.pick(&mut random) == value).filter(|hit| *hit).count()
        };
        assert!((8_900..9_100).contains(&counted("main")));
        assert!((150..250).contains(&counted("canary")));
    }

    #[test]
    fn what_cannot_be_spread_is_refused() {
        for bad in ["ring", "ring=a:x", "ring=a:0", "-x=a", "ring=a b"] {
            assert!(bad.parse::<Distribution>().is_err(), "{bad}");
        }
        assert_eq!("a=b".parse::<Distribution>().expect("it is one").values, [("b".into(), 1)]);
    }
}
