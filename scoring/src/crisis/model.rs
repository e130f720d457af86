//! The second opinion: a linear model over hashed words and letters, read sentence by sentence and each with the
//! next, so that what is said before or after takes nothing back. `examples/train.rs` makes the weights.

/// Weights, as a power of two.
const BITS: u32 = 20;
/// Words of one piece at most: a text without stops is no single sentence.
const PIECE: usize = 28;
/// No word of a language has more letters, and no sentence without spaces: what goes on is a key or a spell.
const WORD: u32 = 24;
const UNSPACED: u32 = 160;
/// Letters that words of one stem share.
const STEM: u32 = 5;
/// Keeps the few words of a short piece from weighing like many.
const FLOOR: u32 = 4;
/// The weights as shipped: what one step is worth and the bias, as `f32`, then one `i8` for every bucket.
const WEIGHTS: &[u8] = include_bytes!("../../model/crisis.bin");

/// How surely the folded text holds a crisis, 0 to 1.
pub(super) fn surety(folded: &str) -> f64 {
    probability(folded, WEIGHTS).unwrap_or_default()
}

/// The surest of the text's pieces and of neighbours together; `None` when there is none, or the weights are none.
fn probability(folded: &str, weights: &[u8]) -> Option<f64> {
    let (step, rest) = weights.split_first_chunk::<4>()?;
    let (bias, table) = rest.split_first_chunk::<4>()?;
    let (step, bias) = (f32::from_le_bytes(*step), f32::from_le_bytes(*bias));
    let table: &[u8; 1 << BITS] = table.try_into().ok()?;
    let mut strongest: Option<f32> = None;
    let mut before = (0i32, 0u32);
    pieces(folded, |piece| {
        let (mut sum, mut count) = (0i32, 0u32);
        grams(piece, |bucket| {
            sum += table.get(bucket).map_or(0, |weight| i32::from(i8::from_le_bytes([*weight])));
            count += 1;
        });
        for (sum, count) in [(sum, count), (sum + before.0, count + before.1)] {
            let logit = sum as f32 * step / ((count + FLOOR) as f32).sqrt() + bias;
            strongest = Some(strongest.map_or(logit, |known| known.max(logit)));
        }
        before = (sum, count);
    });
    strongest.map(|logit| 1.0 / (1.0 + f64::from(-logit).exp()))
}

/// The sentences of a folded text, long ones in pieces; not what is numbers for the most part, and no language.
pub fn pieces<'t>(folded: &'t str, mut found: impl FnMut(&'t str)) {
    for sentence in folded.split('.') {
        let mut rest = sentence.trim();
        while !rest.is_empty() {
            let end = rest.match_indices(' ').nth(PIECE - 1).map_or(rest.len(), |(at, _)| at);
            let (piece, after) = rest.split_at(end);
            if !is_numbers(piece) {
                found(piece);
            }
            rest = after.trim_start();
        }
    }
}

fn is_numbers(piece: &str) -> bool {
    let holds_digit = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit());
    holds_digit(piece)
        && piece.split(' ').filter(|word| holds_digit(word)).count() * 2 > piece.split(' ').count()
}

/// The bucket of every feature of a piece: words alone, the beginnings of long ones, words in pairs, in threes and
/// across one word, and four letters in a row; two and three as well where words are not set apart.
pub fn grams(piece: &str, mut found: impl FnMut(usize)) {
    let (mut last, mut earlier) = (1u64, 2u64);
    for word in piece.split(' ').filter(|word| !word.is_empty()) {
        let (mut whole, mut stem) = (3u64, 77u64);
        let mut letters = u64::from(b' ');
        let mut count = 1u32;
        for letter in word.chars() {
            let letter = u64::from(u32::from(letter));
            whole = follow(whole, letter);
            if count <= STEM {
                stem = follow(stem, letter);
            }
            letters = letters << 16 | letter & 0xffff;
            count += 1;
            if (0x3040..0xd7b0).contains(&letter) && count <= UNSPACED {
                found(bucket(letters & 0xffff_ffff));
                found(bucket(letters & 0xffff_ffff_ffff));
                found(bucket(letters));
            } else if (4..=WORD).contains(&count) {
                found(bucket(letters));
            }
        }
        if count > STEM + 1 {
            found(bucket(stem));
        }
        found(bucket(whole));
        found(bucket(last.rotate_left(17) ^ whole));
        found(bucket(earlier.rotate_left(37) ^ whole));
        found(bucket(earlier.rotate_left(41) ^ last.rotate_left(23) ^ whole));
        (earlier, last) = (last, whole);
    }
}

fn follow(hash: u64, letter: u64) -> u64 {
    (hash ^ letter).wrapping_mul(0x0100_0000_01b3)
}

fn bucket(hash: u64) -> usize {
    (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_those_that_were_trained() {
        use sha2::{Digest, Sha256};
        let digest: String = Sha256::digest(WEIGHTS).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, include_str!("../../model/crisis.sha256").trim());
    }

    #[test]
    fn the_model_tells_the_plainest_texts_apart() {
        let sure = |text| probability(text, WEIGHTS).unwrap();
        assert!(sure("i want to die and i have a plan") > 0.7);
        assert!(sure("the build is green and the release is out") < 0.3);
        assert_eq!(probability("", WEIGHTS), None);
        assert_eq!(probability("i want to die", b"short"), None);
    }

    #[test]
    fn a_key_or_a_picture_in_digits_is_no_language() {
        for spell in ["0123456789abcdef", "deadbeefcafe", "aGVsbG8gd29ybGQ"] {
            assert!(surety(&spell.repeat(4096)) < 0.9, "{spell}");
        }
    }

    #[test]
    fn what_is_said_around_a_sentence_takes_nothing_back() {
        let alone = surety("i want to die");
        assert!(surety("the build is green. i want to die. see you monday") >= alone);
    }
}
