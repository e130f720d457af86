//! Wildcards over names and paths.

/// `*` stands for any run of bytes, `?` for one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    run(pattern.as_bytes(), text.as_bytes(), None)
}

/// As [`matches`], but `*` and `?` stop at a slash and only `**` crosses it; a leading `**/` may be empty.
pub(crate) fn matches_path(pattern: &str, path: &str) -> bool {
    let bare = pattern.strip_prefix("**/");
    run(pattern.as_bytes(), path.as_bytes(), Some(b'/'))
        || bare.is_some_and(|bare| run(bare.as_bytes(), path.as_bytes(), Some(b'/')))
}

/// Whether the pattern has a wildcard at all.
pub(crate) fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['*', '?'])
}

// One resume point suffices: the last star may swallow whatever an earlier one could.
// With a separator the narrow star cannot, so both kinds keep their own.
fn run(pattern: &[u8], text: &[u8], separator: Option<u8>) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut narrow: Option<(&[u8], &[u8])> = None;
    let mut wide: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, text) {
            ([b'*', b'*', rest @ ..], _) => {
                wide = Some((rest, text));
                narrow = None;
                pattern = rest;
            }
            ([b'*', rest @ ..], _) => {
                if separator.is_none() {
                    wide = Some((rest, text));
                } else {
                    narrow = Some((rest, text));
                }
                pattern = rest;
            }
            ([b'?', rest @ ..], [byte, after @ ..]) if Some(*byte) != separator => {
                (pattern, text) = (rest, after)
            }
            ([expected, rest @ ..], [byte, after @ ..]) if expected == byte => {
                (pattern, text) = (rest, after)
            }
            ([], []) => return true,
            _ => match (narrow, wide) {
                (Some((rest, [skipped, after @ ..])), _) if Some(*skipped) != separator => {
                    narrow = Some((rest, after));
                    (pattern, text) = (rest, after);
                }
                (_, Some((rest, [_, after @ ..]))) => {
                    narrow = None;
                    wide = Some((rest, after));
                    (pattern, text) = (rest, after);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_in_a_name_crosses_everything() {
        assert!(matches("*github*", "my-github-2") && matches("a*b*c", "aXbYbZc") && matches("a?c", "abc"));
        assert!(!matches("a*b", "abc") && !matches("", "a"));
    }

    #[test]
    fn a_star_in_a_path_stops_at_a_slash_and_two_do_not() {
        assert!(matches_path("~/.ssh/id_*", "~/.ssh/id_rsa") && !matches_path("~/*", "~/a/b"));
        assert!(
            matches_path("**/*.pem", "/a/b/c.pem")
                && matches_path("**/*.pem", "c.pem")
                && !matches_path("**/*.pem", "c.pem/d")
        );
        assert!(
            matches_path("/etc/**", "/etc/a/b")
                && matches_path("**/dist/**", "/x/dist/y")
                && !matches_path("**/dist/**", "/x/distance/y")
        );
    }
}
