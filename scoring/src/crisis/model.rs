//! The second opinion: a linear model over hashed n-grams, asked about texts in which the rules see something but
//! not enough. It may raise, never lower. `examples/train.rs` makes the weights.

/// Weights, as a power of two.
const BITS: u32 = 14;
/// Where the model is surer than this, weak signs are a crisis. Set where none of the harmless texts it was not
/// trained on is raised.
const SURE: f64 = 0.95;
/// The weights as shipped: what one step is worth and the bias, as `f32`, then one `i8` for every bucket.
pub(crate) const WEIGHTS: &[u8] = include_bytes!("../../model/crisis.bin");

/// Whether the model, too, takes the folded text for a crisis.
pub(super) fn is_sure(folded: &str) -> bool {
    probability(folded, WEIGHTS).is_some_and(|probability| probability >= SURE)
}

/// How surely the weights take the folded text for a crisis; `None` when they are not weights.
fn probability(folded: &str, weights: &[u8]) -> Option<f64> {
    let (step, rest) = weights.split_first_chunk::<4>()?;
    let (bias, table) = rest.split_first_chunk::<4>()?;
    let (mut sum, mut count) = (0i64, 0u32);
    grams(folded, |bucket| {
        sum += i64::from(table.get(bucket).map_or(0, |weight| i8::from_le_bytes([*weight])));
        count += 1;
    });
    if table.len() != 1 << BITS || count == 0 {
        return None;
    }
    // Long texts say no more per letter than short ones.
    let evidence = f64::from(i32::try_from(sum).ok()?) / f64::from(count).sqrt();
    let logit = evidence * f64::from(f32::from_le_bytes(*step)) + f64::from(f32::from_le_bytes(*bias));
    Some(1.0 / (1.0 + (-logit).exp()))
}

/// The bucket of every n-gram of a folded text: three to five letters inside words, and words alone and in pairs.
pub fn grams(folded: &str, mut found: impl FnMut(usize)) {
    let mut before: Option<u64> = None;
    for word in folded.split([' ', '.']).filter(|word| !word.is_empty()) {
        let whole = hash(b'w', word.as_bytes());
        found(bucket(whole));
        if let Some(before) = before {
            found(bucket(before.rotate_left(23) ^ whole));
        }
        before = Some(whole);
        let letters: Vec<(usize, char)> = word.char_indices().collect();
        for length in 3..=5 {
            for window in letters.windows(length) {
                if let [(from, _), .., (last, letter)] = window {
                    let gram = word.get(*from..last + letter.len_utf8()).unwrap_or_default();
                    found(bucket(hash(b'c', gram.as_bytes())));
                }
            }
        }
    }
}

fn hash(kind: u8, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(step(0xcbf2_9ce4_8422_2325, &kind), step)
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
}
