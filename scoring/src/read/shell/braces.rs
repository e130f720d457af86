//! Braces that stand for several words: `{rm,-rf,/x}`, `/dev/sd{a..c}`.

/// Words made of one at most.
const MOST: usize = 64;

/// The words `raw` becomes, when it holds braces that are neither quoted nor part of an expansion.
pub(super) fn spread(raw: &str) -> Option<Vec<String>> {
    if !raw.contains('{') || raw.contains(['\'', '"', '`', '$', '\\']) {
        return None;
    }
    let words = spread_bare(raw, 0);
    (words.len() > 1).then_some(words)
}

fn spread_bare(raw: &str, depth: usize) -> Vec<String> {
    let Some((before, parts, after)) = split(raw).filter(|_| depth < 4) else {
        return vec![raw.to_owned()];
    };
    let tails = spread_bare(after, depth + 1);
    let heads = parts.iter().flat_map(|part| spread_bare(part, depth + 1));
    heads.flat_map(|head| tails.iter().map(move |tail| format!("{before}{head}{tail}"))).take(MOST).collect()
}

/// The first braces that hold a list or a range: what stands before them, in them and after them.
fn split(raw: &str) -> Option<(&str, Vec<String>, &str)> {
    for (open, _) in raw.match_indices('{') {
        let inner = raw.get(open + 1..)?;
        let mut depth = 0usize;
        let mut cuts = vec![0];
        for (at, letter) in inner.char_indices() {
            match letter {
                '{' => depth += 1,
                ',' if depth == 0 => cuts.push(at + 1),
                '}' if depth == 0 => {
                    cuts.push(at + 1);
                    break;
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        let end = *cuts.last()?;
        if inner.get(..end).is_none_or(|inside| !inside.ends_with('}')) {
            return None;
        }
        let parts: Vec<String> = cuts
            .iter()
            .zip(cuts.iter().skip(1))
            .filter_map(|(from, to)| Some(inner.get(*from..to - 1)?.to_owned()))
            .collect();
        let parts = match parts.as_slice() {
            [only] => range(only),
            _ => Some(parts),
        };
        if let Some(parts) = parts {
            return Some((raw.get(..open)?, parts, inner.get(end..)?));
        }
    }
    None
}

/// `a..f` and `1..5`.
fn range(text: &str) -> Option<Vec<String>> {
    let (from, to) = text.split_once("..")?;
    if let (Ok(from), Ok(to)) = (from.parse::<i32>(), to.parse::<i32>()) {
        return Some((from.min(to)..=from.max(to)).take(MOST).map(|number| number.to_string()).collect());
    }
    let letter = |text: &str| text.chars().next().filter(|_| text.len() == 1);
    let (from, to) = (letter(from)?, letter(to)?);
    Some((from.min(to)..=from.max(to)).map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_become_the_words_a_shell_makes_of_them() {
        let made = |raw: &str| spread(raw).unwrap_or_default().join(" ");
        assert_eq!(made("{rm,-rf,s3://b/x}"), "rm -rf s3://b/x");
        assert_eq!(made("r{m,mdir}"), "rm rmdir");
        assert_eq!(made("/dev/sd{a..c}"), "/dev/sda /dev/sdb /dev/sdc");
        assert_eq!(made("a{b,c{d,e}}f"), "abf acdf acef");
        assert_eq!(made("~/{a,b}/{1..2}"), "~/a/1 ~/a/2 ~/b/1 ~/b/2");
        for alone in ["{}", "{a}", "${a,b}", "'{a,b}'", "{a,b", "a}b"] {
            assert_eq!(spread(alone), None, "{alone}");
        }
        assert!(spread(&"{a,b}".repeat(40)).is_some_and(|words| words.len() <= MOST));
    }
}
