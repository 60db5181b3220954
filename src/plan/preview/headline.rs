//! A change of a few lines in a few words: `image 1.4 → 1.5`.

/// Most changes that a headline names.
const MOST: usize = 3;

/// Longest value in a headline, in characters.
const LONGEST: usize = 60;

/// Says what changes, where every line that goes is followed by one that comes in its place and
/// there are few of them.
pub(super) fn headline(changed: &str) -> Option<String> {
    let mut parts = Vec::new();
    for place in changed.split("\n\n") {
        let lines = |sign: char| place.lines().filter_map(move |line| line.strip_prefix(sign));
        let (old, new): (Vec<_>, Vec<_>) = (lines('-').collect(), lines('+').collect());
        if old.len() != new.len() || old.is_empty() || place.contains('\\') {
            return None;
        }
        for (old, new) in old.into_iter().zip(new) {
            let part = one(old.trim(), new.trim())?;
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
    }
    (parts.len() <= MOST && !parts.is_empty()).then(|| parts.join(", "))
}

fn one(old: &str, new: &str) -> Option<String> {
    let keyed = [": ", "=", " = "].into_iter().find_map(|separator| {
        let (key, old) = old.split_once(separator)?;
        let (other, new) = new.split_once(separator)?;
        (key == other).then_some((key, old, new))
    });
    let (key, old, new) = keyed.unwrap_or(("", old, new));
    let key = key.trim_start_matches("- ").trim();
    let bare = |value: &str| value.trim().trim_matches(['"', '\'', ',']).to_owned();
    let (old, new) = (bare(old), bare(new));
    let fits = |text: &str| text.chars().count() <= LONGEST;
    if old.is_empty() || new.is_empty() || !fits(key) {
        return None;
    }
    let (old, new) = tags(&old, &new).unwrap_or((&old, &new));
    if !fits(old) || !fits(new) {
        return None;
    }
    Some(format!("{key} {old} → {new}").trim_start().to_owned())
}

/// The tags or digests of two references to the same image.
fn tags<'a>(old: &'a str, new: &'a str) -> Option<(&'a str, &'a str)> {
    let split = |text: &'a str| text.rsplit_once('@').or_else(|| text.rsplit_once(':'));
    let ((name, old), (other, new)) = (split(old)?, split(new)?);
    let tag = |text: &str| !text.is_empty() && !text.contains(['/', ' ']);
    (name == other && !name.contains(' ') && tag(old) && tag(new)).then_some((old, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_changes_have_a_headline() {
        for (changed, expected) in [
            (
                "-  image: \"r.example/app:1.4\"\n+  image: \"r.example/app:1.5\"\n",
                "image 1.4 → 1.5",
            ),
            ("-  replicas: 2\n+  replicas: 3\n", "replicas 2 → 3"),
            ("-- name: a\n+- name: b\n", "name a → b"),
            ("-SIZE=1\n+SIZE=2\n", "SIZE 1 → 2"),
            ("-2 on berlin\n+3 on berlin\n", "2 on berlin → 3 on berlin"),
            ("-url: http://a/b\n+url: http://a/c\n", "url http://a/b → http://a/c"),
            ("-a: 1\n-b: 2\n+a: 3\n+b: 4\n", "a 1 → 3, b 2 → 4"),
            ("-a: 1\n+a: 2\n\n-a: 1\n+a: 2\n", "a 1 → 2"),
        ] {
            assert_eq!(headline(changed).as_deref(), Some(expected));
        }
    }

    #[test]
    fn others_have_none() {
        let long = format!("-a: 1\n+a: {}\n", "x".repeat(100));
        let many = "-a: 1\n+a: 2\n\n-b: 1\n+b: 2\n\n-c: 1\n+c: 2\n\n-d: 1\n+d: 2\n";
        for changed in ["+a: 1\n", "-a: 1\n", "-a: 1\n+a: 2\n+b: 1\n", &long, many, "binary [1, 2]"]
        {
            assert_eq!(headline(changed), None, "{changed}");
        }
    }
}
