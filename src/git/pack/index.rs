//! The index of a pack, version 2: where each object stands.

use std::io::{self, Write};

use gix::ObjectId;

/// One object's line in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) id: ObjectId,
    /// Of the entry's bytes in the pack.
    pub(super) crc: u32,
    pub(super) offset: u64,
}

/// Offsets from here on stand in a table of their own.
const FAR: u64 = 1 << 31;

/// Writes the index of the pack that ends in the hash `pack`; `lines` in any order, each id once.
pub(super) fn write(lines: &mut [Line], pack: ObjectId, out: impl Write) -> io::Result<()> {
    lines.sort_unstable_by_key(|line| line.id);
    let mut out = Hashed { out, hasher: gix::hash::hasher(gix::hash::Kind::Sha1) };
    out.write_all(b"\xfftOc\0\0\0\x02")?;
    let mut fanout = [0u32; 256];
    for line in &*lines {
        fanout[usize::from(line.id.as_bytes()[0])] += 1;
    }
    let mut total = 0;
    for count in fanout {
        total += count;
        out.write_all(&total.to_be_bytes())?;
    }
    for line in &*lines {
        out.write_all(line.id.as_bytes())?;
    }
    for line in &*lines {
        out.write_all(&line.crc.to_be_bytes())?;
    }
    let mut far = Vec::new();
    for line in &*lines {
        let short = if line.offset < FAR {
            line.offset
        } else {
            far.push(line.offset);
            FAR | (far.len() as u64 - 1)
        };
        let short = u32::try_from(short).expect("because fewer than 2^31 objects are in a pack");
        out.write_all(&short.to_be_bytes())?;
    }
    for offset in far {
        out.write_all(&offset.to_be_bytes())?;
    }
    out.write_all(pack.as_bytes())?;
    let Hashed { mut out, hasher } = out;
    out.write_all(hasher.try_finalize().map_err(io::Error::other)?.as_bytes())?;
    out.flush()
}

struct Hashed<W> {
    out: W,
    hasher: gix::hash::Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_reads_near_and_far_offsets() {
        let id = |byte: u8| ObjectId::Sha1([byte; 20]);
        let line = |byte, offset| Line { id: id(byte), crc: u32::from(byte), offset };
        let mut lines =
            [line(9, 12), line(2, FAR), line(255, FAR - 1), line(0, 5 << 32), line(8, FAR + 7)];
        let mut bytes = Vec::new();
        write(&mut lines, id(1), &mut bytes).expect("written");
        // `git show-index` reads an index without its pack.
        let mut child = std::process::Command::new("git")
            .args(["show-index", "--object-format=sha1"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("git runs");
        child.stdin.take().expect("piped").write_all(&bytes).expect("git reads");
        let output = child.wait_with_output().expect("git ends");
        let text = String::from_utf8(output.stdout).expect("text");
        let expected: String = [(0, 5 << 32), (2, FAR), (8, FAR + 7), (9, 12), (255, FAR - 1)]
            .into_iter()
            .map(|(byte, offset)| format!("{offset} {} ({:08x})\n", id(byte), byte))
            .collect();
        assert_eq!(text, expected);
    }
}
