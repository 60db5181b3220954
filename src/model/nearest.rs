//! What somebody probably meant.

/// Longest text that is compared; nobody names things at greater length.
const LONGEST: usize = 64;

/// The candidate that `written` is probably a slip of: another case, or one letter in three off.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if written.is_empty() || written.len() > LONGEST {
        return None;
    }
    let lower = written.to_ascii_lowercase();
    let allowed = (written.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(written.len()) <= allowed)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many comparisons may be spent on suggestions in one pass: with thousands of broken references
/// the first have one, and the pass stays linear.
#[derive(Debug)]
pub(crate) struct Suggestions {
    left: usize,
}

impl Default for Suggestions {
    fn default() -> Self {
        Self { left: 100_000 }
    }
}

impl Suggestions {
    pub(crate) fn nearest<'a>(
        &mut self,
        written: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        let left = &mut self.left;
        let affordable = candidates.into_iter().take_while(|_| {
            *left = left.saturating_sub(1);
            *left > 0
        });
        nearest(written, affordable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let known = ["labels", "name", "selector", "target", "template"];
        let check = |written: &str, expected: Option<&str>| {
            assert_eq!(nearest(written, known), expected, "{written}");
        };
        check("lables", Some("labels"));
        check("Name", Some("name"));
        check("selctor", Some("selector"));
        check("tmeplate", Some("template"));
        check("replicas", None);
        check("", None);
    }
}
