//! Bytes as hexadecimal digits.

use std::fmt::Write;

/// Two lower-case digits for each byte.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes all");
        text
    })
}

/// The bytes of a text of exactly `2 × N` digits, of either case.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = one(digits)?;
    }
    Some(bytes)
}

/// The bytes of a text of digits.
pub(crate) fn decode_all(text: &str) -> Option<Vec<u8>> {
    text.as_bytes().chunks(2).map(one).collect()
}

/// The byte of two digits.
fn one(digits: &[u8]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_exact() {
        assert_eq!(encode(&[0, 0xab, 255]), "00abff");
        assert_eq!(decode("00aBfF"), Some([0, 0xab, 255]));
        for bad in ["", "00abf", "00abfff0", "+0abff", "0gabff", "ä0abf"] {
            assert_eq!(decode::<3>(bad), None, "{bad}");
        }
        assert_eq!(decode_all("00aBfF"), Some(vec![0, 0xab, 255]));
        assert_eq!((decode_all(""), decode_all("0"), decode_all("0g")), (Some(vec![]), None, None));
    }
}
