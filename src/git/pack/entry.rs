//! One object in a pack: its header and its zlib stream.

use gix::objs::Kind;
use gix::zlib::stream::deflate::{Compress, FlushCompress};
use gix::zlib::{Compression, Inflate, Status};

/// How hard a zlib stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Not at all: for trees, which are mostly ids, and for deltas, which are tiny.
    Stored,
    /// For blobs that are alone.
    Fast,
    /// For bases, which are few.
    Small,
}

/// Below this many bytes deflating gains next to nothing.
const TINY: usize = 64;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Whole(Kind),
    /// Instructions that make the object out of the one that stands so many bytes before it.
    Delta {
        distance: u64,
    },
}

/// Makes zlib streams. A deflater is expensive to make, so it waits until it is needed, and cheap to
/// use again.
#[derive(Default)]
pub(super) struct Encoder {
    fast: Option<Compress>,
    small: Option<Compress>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// Appends the zlib stream of `bytes` to `out`.
    pub(super) fn compress(&mut self, bytes: &[u8], level: Level, out: &mut Vec<u8>) {
        let start = out.len();
        let (compress, how) = match level {
            Level::Fast if bytes.len() >= TINY => (&mut self.fast, Compression::BEST_SPEED),
            Level::Small if bytes.len() >= TINY => (&mut self.small, Compression::DEFAULT),
            Level::Stored | Level::Fast | Level::Small => return store(bytes, out),
        };
        let compress = compress.get_or_insert_with(|| Compress::new(how));
        // Room for what storing would take: a stream that does not fit is stored instead.
        out.resize(start + stored_size(bytes.len()), 0);
        compress.reset();
        let status = compress.compress(bytes, &mut out[start..], FlushCompress::Finish);
        let used = usize::try_from(compress.total_out()).unwrap_or(usize::MAX);
        if matches!(status, Ok(Status::StreamEnd)) && used < out.len() - start {
            out.truncate(start + used);
        } else {
            out.truncate(start);
            store(bytes, out);
        }
    }
}

/// Most bytes in one stored block of deflate.
const BLOCK: usize = 0xffff;

fn stored_size(bytes: usize) -> usize {
    bytes + bytes.div_ceil(BLOCK).max(1) * 5 + 6
}

/// A zlib stream (RFC 1950) of stored blocks.
fn store(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x78, 0x01]);
    let mut rest = bytes;
    loop {
        let (block, after) = rest.split_at(rest.len().min(BLOCK));
        let length = u16::try_from(block.len()).expect("because a block is no longer than that");
        out.push(u8::from(after.is_empty()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    out.extend_from_slice(&adler32(bytes).to_be_bytes());
}

fn adler32(bytes: &[u8]) -> u32 {
    const PRIME: u32 = 65_521;
    let (mut a, mut b) = (1, 0);
    // The largest count of bytes after which neither sum has left 32 bits.
    for chunk in bytes.chunks(5552) {
        for byte in chunk {
            a += u32::from(*byte);
            b += a;
        }
        a %= PRIME;
        b %= PRIME;
    }
    b << 16 | a
}

/// Appends an entry's header: type, size of the inflated bytes, and where the base is.
pub(super) fn write_header(what: Type, size: usize, out: &mut Vec<u8>) {
    let kind = match what {
        Type::Whole(Kind::Commit) => 1,
        Type::Whole(Kind::Tree) => 2,
        Type::Whole(Kind::Blob) => 3,
        Type::Whole(Kind::Tag) => 4,
        Type::Delta { .. } => 6,
    };
    let mut byte = kind << 4 | low_bits(size, 0x0f);
    let mut rest = size >> 4;
    while rest > 0 {
        out.push(byte | 0x80);
        byte = low_bits(rest, 0x7f);
        rest >>= 7;
    }
    out.push(byte);
    if let Type::Delta { distance } = what {
        write_distance(distance, out);
    }
}

fn low_bits(number: usize, mask: usize) -> u8 {
    u8::try_from(number & mask).expect("because the mask leaves less than a byte")
}

/// Seven bits a byte, the highest first; each but the last one less, so that no number has two forms.
fn write_distance(distance: u64, out: &mut Vec<u8>) {
    let bits = |number: u64| u8::try_from(number & 0x7f).expect("because seven bits fit");
    let mut bytes = vec![bits(distance)];
    let mut rest = distance >> 7;
    while rest > 0 {
        rest -= 1;
        bytes.push(bits(rest) | 0x80);
        rest >>= 7;
    }
    out.extend(bytes.iter().rev());
}

/// An entry's header as read: what it holds, the size of the inflated bytes, the header's length.
pub(super) fn read_header(bytes: &[u8]) -> Option<(Type, usize, usize)> {
    let mut at = bytes.iter().copied().enumerate();
    let (_, first) = at.next()?;
    let (mut byte, mut size, mut shift) = (first, usize::from(first & 0x0f), 4);
    let mut length = 1;
    while byte & 0x80 != 0 {
        (_, byte) = at.next()?;
        size |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        length += 1;
    }
    let what = match first >> 4 & 7 {
        1 => Type::Whole(Kind::Commit),
        2 => Type::Whole(Kind::Tree),
        3 => Type::Whole(Kind::Blob),
        4 => Type::Whole(Kind::Tag),
        6 => {
            let mut distance = 0u64;
            loop {
                let (_, byte) = at.next()?;
                length += 1;
                distance = distance.checked_mul(128)? + u64::from(byte & 0x7f);
                if byte & 0x80 == 0 {
                    break;
                }
                distance += 1;
            }
            Type::Delta { distance }
        }
        _ => return None,
    };
    Some((what, size, length))
}

/// The bytes of a zlib stream that holds `size` of them.
pub(super) fn inflate(stream: &[u8], size: usize) -> Option<Vec<u8>> {
    if let Some(stored) = stored(stream) {
        return (stored.len() == size).then(|| stored.to_vec());
    }
    // One byte more, so that a stream that is too long shows.
    let mut out = vec![0; size + 1];
    let (status, read, written) = Inflate::default().once(stream, &mut out).ok()?;
    out.truncate(size);
    (status == Status::StreamEnd && written == size && read == stream.len()).then_some(out)
}

/// The bytes of a sound stream that is a single stored block. Most are, and an inflater is expensive.
fn stored(stream: &[u8]) -> Option<&[u8]> {
    let rest = stream.strip_prefix(&[0x78, 0x01, 1])?;
    let (length, rest) = rest.split_first_chunk()?;
    let (inverse, rest) = rest.split_first_chunk()?;
    let (bytes, sum) = rest.split_last_chunk()?;
    let length = u16::from_le_bytes(*length);
    let sound = !length == u16::from_le_bytes(*inverse)
        && usize::from(length) == bytes.len()
        && adler32(bytes) == u32::from_be_bytes(*sum);
    sound.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_written() {
        for size in [0, 1, 15, 16, 127, 128, 2047, 2048, 1 << 20, u32::MAX as usize] {
            for what in [
                Type::Whole(Kind::Commit),
                Type::Whole(Kind::Tree),
                Type::Whole(Kind::Blob),
                Type::Delta { distance: 1 },
                Type::Delta { distance: 127 },
                Type::Delta { distance: 128 },
                Type::Delta { distance: 16_511 },
                Type::Delta { distance: 16_512 },
                Type::Delta { distance: 1 << 33 },
            ] {
                let mut bytes = Vec::new();
                write_header(what, size, &mut bytes);
                assert_eq!(read_header(&bytes), Some((what, size, bytes.len())));
                assert_eq!(read_header(&bytes[..bytes.len() - 1]), None, "cut off");
            }
        }
    }

    #[test]
    fn streams_inflate_to_what_was_compressed() {
        let mut encoder = Encoder::default();
        let noise: Vec<u8> =
            (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for bytes in [&b""[..], b"a", &[7; 65_535], &[7; 65_536], &noise, &noise[..70]] {
            for level in [Level::Stored, Level::Fast, Level::Small] {
                let mut out = vec![9];
                encoder.compress(bytes, level, &mut out);
                assert!(out.len() <= 1 + stored_size(bytes.len()), "{level:?}");
                assert_eq!(inflate(&out[1..], bytes.len()).as_deref(), Some(bytes), "{level:?}");
                assert_eq!(inflate(&out[1..], bytes.len() + 1), None, "a wrong size shows");
            }
        }
    }
}
