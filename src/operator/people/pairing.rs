//! One-time codes that go from the terminal to a browser by way of a person. Time and randomness are arguments.

use parking_lot::Mutex;
use subtle::ConstantTimeEq;

use crate::call::Digest;

/// How long a code can be typed.
pub(crate) const CODE_LIFE_MS: i64 = 60_000;
/// Wrong codes until the right one is dead as well.
const TRIES: u8 = 5;
/// No letter or digit looks like another one.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const LENGTH: usize = 8;

/// A code that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PairError {
    #[error("no code is good at the moment: `herma pair` makes one that lives for a minute")]
    NoCode,
    #[error("this is not the code; {left} tries are left")]
    Wrong { left: u8 },
    #[error("the code was mistyped too often and is dead: `herma pair` makes another one")]
    Dead,
}

/// The one code that is good at the moment, known by its digest alone.
#[derive(Debug, Default)]
pub(crate) struct Pairing(Mutex<Option<Code>>);

#[derive(Debug)]
struct Code {
    digest: Digest,
    salt: [u8; 16],
    ends_ms: i64,
    left: u8,
    name: String,
    fixed: bool,
}

/// For whom a code was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) name: String,
    /// The terminal named the approver: the page cannot.
    pub(crate) fixed: bool,
}

impl Pairing {
    /// A new code in the place of any other.
    pub(crate) fn issue(&self, issued: Issued, random: [u8; 24], now: i64) -> String {
        let (letters, salt) = random.split_at(LENGTH);
        let letters = letters.iter().filter_map(|byte| LETTERS.get(usize::from(byte & 31)));
        let code: String = letters.map(|letter| char::from(*letter)).collect();
        let salt = <[u8; 16]>::try_from(salt).unwrap_or_default();
        *self.0.lock() = Some(Code {
            digest: Digest::salted(&salt, code.as_bytes()),
            salt,
            ends_ms: now.saturating_add(CODE_LIFE_MS),
            left: TRIES,
            name: issued.name,
            fixed: issued.fixed,
        });
        code
    }

    /// Uses the code up. Spaces, hyphens and small letters are forgiven.
    pub(crate) fn redeem(&self, typed: &str, now: i64) -> Result<Issued, PairError> {
        let mut place = self.0.lock();
        let Some(code) = place.as_mut().filter(|code| now < code.ends_ms) else {
            *place = None;
            return Err(PairError::NoCode);
        };
        if code.left == 0 {
            return Err(PairError::Dead);
        }
        let typed: String = typed
            .chars()
            .take(64)
            .filter(|c| !matches!(c, ' ' | '-'))
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let digest = Digest::salted(&code.salt, typed.as_bytes());
        if bool::from(digest.bytes().ct_eq(code.digest.bytes())) {
            let issued = Issued { name: std::mem::take(&mut code.name), fixed: code.fixed };
            *place = None;
            return Ok(issued);
        }
        code.left = code.left.saturating_sub(1);
        Err(if code.left == 0 { PairError::Dead } else { PairError::Wrong { left: code.left } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairing() -> (Pairing, String) {
        let pairing = Pairing::default();
        let code = pairing.issue(Issued { name: "ada".into(), fixed: false }, [7; 24], 1000);
        (pairing, code)
    }

    #[test]
    fn a_code_is_good_once_and_for_a_minute() {
        let (pairing, code) = pairing();
        assert_eq!(code.len(), 8);
        assert_eq!(pairing.redeem(&code.to_lowercase(), 1000 + CODE_LIFE_MS - 1).unwrap().name, "ada");
        assert_eq!(pairing.redeem(&code, 1000), Err(PairError::NoCode));
        let (pairing, code) = self::pairing();
        assert_eq!(pairing.redeem(&code, 1000 + CODE_LIFE_MS), Err(PairError::NoCode));
    }

    #[test]
    fn the_sixth_try_is_one_too_many_even_when_it_is_right() {
        let (pairing, code) = pairing();
        for left in (1..5).rev() {
            assert_eq!(pairing.redeem("AAAAAAAA", 1001), Err(PairError::Wrong { left }));
        }
        assert_eq!(pairing.redeem("AAAAAAAA", 1001), Err(PairError::Dead));
        assert_eq!(pairing.redeem(&code, 1001), Err(PairError::Dead));
    }

    #[test]
    fn a_new_code_ends_the_old_one() {
        let (pairing, old) = pairing();
        let new = pairing.issue(Issued { name: "bob".into(), fixed: true }, [9; 24], 1000);
        assert!(pairing.redeem(&old, 1001).is_err());
        assert_eq!(pairing.redeem(&new, 1001).unwrap(), Issued { name: "bob".into(), fixed: true });
    }
}
