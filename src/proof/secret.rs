//! Tokens that are no signatures: random, shown once, and known to Git by their digest alone.

use sha2::{Digest, Sha256};

use crate::model::hex;

/// 32 random bytes; `None`: the system has none.
#[must_use]
pub fn make() -> Option<String> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).ok()?;
    Some(format!("titan_{}", hex::encode(&random)))
}

/// How Git keeps a token: `sha256:<digest of its text>`.
#[must_use]
pub fn digest(token: &str) -> String {
    format!("sha256:{}", hex::encode(&Sha256::digest(token.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_tokens_text() {
        assert_eq!(
            digest("abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(make().unwrap().len(), "titan_".len() + 64);
        assert_ne!(make().unwrap(), make().unwrap());
    }
}
