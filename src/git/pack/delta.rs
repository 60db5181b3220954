//! Deltas between siblings: the same file, rendered for two hosts.
//!
//! Siblings differ within lines, seldom in lines. So both texts are walked in step, and after a
//! difference the walk goes on at the next line that both have. That costs one comparison of memory,
//! not an index of the base.

/// A shorter run that both have is cheaper to insert than to copy.
const SHORTEST: usize = 8;

/// Most bytes that one instruction copies.
const COPY: usize = 0x1_0000;

/// Most bytes that one instruction inserts.
const INSERT: usize = 0x7f;

/// How many lines ahead a common one is looked for.
const AHEAD: usize = 8;

/// Instructions that make `target` out of `base`, unless they take more than `most` bytes.
pub(super) fn between(base: &[u8], target: &[u8], most: usize) -> Option<Vec<u8>> {
    // Offsets are four bytes wide.
    u32::try_from(base.len()).ok()?;
    let mut out = Vec::with_capacity(64);
    write_size(base.len(), &mut out);
    write_size(target.len(), &mut out);
    let prefix = common_prefix(base, target);
    let suffix = common_suffix(&base[prefix..], &target[prefix..]);
    let (base_end, end) = (base.len() - suffix, target.len() - suffix);
    let (old, new) = (&base[..base_end], &target[..end]);

    let (mut at, mut old_at, mut inserted) = (0, 0, 0);
    let mut run = prefix;
    loop {
        if run >= SHORTEST {
            insert(&new[inserted..at], &mut out);
            copy(old_at, run, &mut out);
            inserted = at + run;
        }
        (at, old_at) = (at + run, old_at + run);
        if out.len() + at.saturating_sub(inserted) > most {
            return None;
        }
        let Some((next, old_next)) = meet(new, at, old, old_at) else { break };
        (at, old_at) = (next, old_next);
        run = common_prefix(&old[old_at..], &new[at..]);
    }
    insert(&new[inserted..], &mut out);
    if suffix >= SHORTEST {
        copy(base_end, suffix, &mut out);
    } else {
        insert(&target[end..], &mut out);
    }
    (out.len() <= most).then_some(out)
}

/// Where both texts go on alike after they differ at `at` and `old_at`.
fn meet(new: &[u8], at: usize, old: &[u8], old_at: usize) -> Option<(usize, usize)> {
    let (next, old_next) = (next_line(new, at), next_line(old, old_at));
    // Most often a value differs, and the very next line is the same again.
    let in_step = next.zip(old_next);
    let (mut a, mut b) = match in_step {
        Some((a, b)) if same_line(&new[a..], &old[b..]) => (a, b),
        // Another value at another length in the very next line: still in step.
        _ => search(new, next, old, old_next).or(in_step)?,
    };
    while a > at && b > old_at && new[a - 1] == old[b - 1] {
        (a, b) = (a - 1, b - 1);
    }
    Some((a, b))
}

/// The nearest lines that both have, from `start` and `old_start` on.
fn search(
    new: &[u8],
    start: Option<usize>,
    old: &[u8],
    old_start: Option<usize>,
) -> Option<(usize, usize)> {
    let lines = |text, start| std::iter::successors(start, move |at| next_line(text, *at));
    let lines = |text, start| lines(text, start).take(AHEAD).enumerate();
    let pairs = lines(new, start).flat_map(|a| lines(old, old_start).map(move |b| (a, b)));
    let found = pairs.filter(|((_, a), (_, b))| same_line(&new[*a..], &old[*b..]));
    let nearest = found.min_by_key(|((a, _), (b, _))| a + b);
    nearest.map(|((_, a), (_, b))| (a, b))
}

/// The next place after `at` where a line begins.
fn next_line(text: &[u8], at: usize) -> Option<usize> {
    text[at..].iter().position(|byte| *byte == b'\n').map(|length| at + length + 1)
}

/// Whether both begin with the same line, and there is one.
fn same_line(new: &[u8], old: &[u8]) -> bool {
    let end = next_line(new, 0).unwrap_or(new.len());
    end > 0 && old.starts_with(&new[..end]) && next_line(old, 0).unwrap_or(old.len()) == end
}

/// Bytes that are compared at once.
const WIDE: usize = 32;

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (chunks, other) = (a.as_chunks::<WIDE>().0, b.as_chunks::<WIDE>().0);
    let start = WIDE * chunks.iter().zip(other).take_while(|(a, b)| a == b).count();
    start + a[start..].iter().zip(&b[start..]).take_while(|(a, b)| a == b).count()
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let (chunks, other) = (a.as_rchunks::<WIDE>().1, b.as_rchunks::<WIDE>().1);
    let end =
        WIDE * chunks.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let rest = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    end + rest
}

fn insert(mut bytes: &[u8], out: &mut Vec<u8>) {
    while !bytes.is_empty() {
        let (now, rest) = bytes.split_at(bytes.len().min(INSERT));
        out.push(u8::try_from(now.len()).expect("because an insertion is shorter than that"));
        out.extend_from_slice(now);
        bytes = rest;
    }
}

fn copy(mut offset: usize, mut size: usize, out: &mut Vec<u8>) {
    while size > 0 {
        let now = size.min(COPY);
        let start = out.len();
        out.push(0x80);
        let bytes = offset.to_le_bytes().into_iter().take(4);
        // The largest size is written as none at all.
        let sizes = (now % COPY).to_le_bytes().into_iter().take(3);
        for (bit, byte) in bytes.chain(sizes).enumerate().filter(|(_, byte)| *byte != 0) {
            out[start] |= 1 << bit;
            out.push(byte);
        }
        (offset, size) = (offset + now, size - now);
    }
}

fn write_size(mut size: usize, out: &mut Vec<u8>) {
    while size > 0x7f {
        out.push(u8::try_from(size & 0x7f).expect("because seven bits fit") | 0x80);
        size >>= 7;
    }
    out.push(u8::try_from(size).expect("because seven bits are left"));
}

/// What `delta` makes out of `base`; `None` when it does not fit to it, or makes more than `most` bytes.
pub(super) fn apply(base: &[u8], delta: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut rest = delta.iter().copied();
    if read_size(&mut rest)? != base.len() {
        return None;
    }
    let size = read_size(&mut rest).filter(|size| *size <= most)?;
    // A delta that lies about its size must not be believed before anything is made.
    let mut out = Vec::with_capacity(size.min(base.len() + delta.len()));
    while let Some(op) = rest.next() {
        if out.len() > size {
            return None;
        }
        if op & 0x80 == 0 {
            let before = out.len();
            out.extend(rest.by_ref().take(usize::from(op)));
            if op == 0 || out.len() - before != usize::from(op) {
                return None;
            }
            continue;
        }
        let mut parts = [0usize; 2];
        for bit in (0..7).filter(|bit| op & 1 << bit != 0) {
            let (part, shift) = if bit < 4 { (0, bit * 8) } else { (1, (bit - 4) * 8) };
            parts[part] |= usize::from(rest.next()?) << shift;
        }
        let [offset, length] = parts;
        let length = if length == 0 { COPY } else { length };
        out.extend_from_slice(base.get(offset..offset.checked_add(length)?)?);
    }
    (out.len() == size).then_some(out)
}

fn read_size(bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let (mut size, mut shift) = (0, 0);
    loop {
        let byte = bytes.next()?;
        size |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(base: &str, target: &str) -> Option<usize> {
        let delta = between(base.as_bytes(), target.as_bytes(), target.len() / 2)?;
        let made = apply(base.as_bytes(), &delta, usize::MAX).expect("it applies");
        assert_eq!(String::from_utf8(made).expect("text"), target);
        Some(delta.len())
    }

    #[test]
    fn siblings_cost_what_differs() {
        let text = |host: &str, ring: &str, extra: &str| {
            let lines = "            - name: something-that-all-of-them-have\n".repeat(8);
            format!(
                "host: {host}\n{lines}labels: {{host: {host}, ring: {ring}}}\n{extra}{lines}end: {host}.example\n{lines}"
            )
        };
        let base = text("store-0001", "1", "");
        assert!(size(&base, &base).is_some_and(|size| size <= 10));
        let other = size(&base, &text("store-0002", "1", "")).expect("a delta");
        assert!(other < 60, "{other}");
        let longer = size(&base, &text("warehouse-00003", "22", "")).expect("a delta");
        assert!(longer < 120, "{longer}");
        let line =
            size(&base, &text("store-0002", "1", "extra: true\nmore: 1\n")).expect("a delta");
        assert!(line < 90, "{line}");
        let less =
            size(&text("store-0001", "1", "a: 1\nb: 2\n"), &text("s", "1", "")).expect("a delta");
        assert!(less < 90, "{less}");
        assert_eq!(size("a\nb\nc\n", "something else altogether\n"), None);
        assert_eq!(size("", "something\n"), None);
    }

    #[test]
    fn anything_can_be_made_out_of_anything() {
        let mut seed = 7u64;
        let mut random = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).expect("31 bits") % bound
        };
        for _ in 0..2000 {
            let base: Vec<u8> = (0..random(300)).map(|_| b"ab\n\0"[random(4)]).collect();
            let mut target = base.clone();
            for _ in 0..random(6) {
                let at = random(target.len() + 1);
                let end = (at + random(20)).min(target.len());
                let new: Vec<u8> = (0..random(20)).map(|_| b"abc\n"[random(4)]).collect();
                target.splice(at..end, new);
            }
            let delta = between(&base, &target, usize::MAX).expect("there is no bound");
            assert_eq!(apply(&base, &delta, usize::MAX).as_ref(), Some(&target));
        }
    }

    #[test]
    fn long_copies_and_far_offsets() {
        let base: Vec<u8> =
            (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let target = [&base[..70_000], b"x", &base[70_000..]].concat();
        let delta = between(&base, &target, 100).expect("a delta");
        let most = target.len();
        assert_eq!(apply(&base, &delta, most - 1), None, "more than allowed");
        assert_eq!(apply(&base, &delta, most), Some(target));
        assert_eq!(apply(&base[1..], &delta, most), None, "another base");
        assert_eq!(apply(&base, &delta[..delta.len() - 1], most), None, "cut off");
    }
}
