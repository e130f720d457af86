//! Paths, judged by their letters alone. What only the file system knows (links, mounts, races) is not decided here.

use crate::constraint::Verdict;
use crate::text::{has_look_alike, has_unseen};

/// `PATH_MAX`: no longer path opens anything.
const LONGEST: usize = 4096;

/// Everything at or below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subpath {
    root: String,
    /// The root without `.`, empty segments and final slash; nothing when it is no clean path itself.
    clean: Option<String>,
    pub case_sensitive: bool,
    pub allow_equal: bool,
}

impl Subpath {
    pub fn new(root: &str) -> Self {
        Self::with(root, true, true)
    }

    pub fn with(root: &str, case_sensitive: bool, allow_equal: bool) -> Self {
        let clean = scan(root).is_ok().then(|| {
            segments(root).fold(String::new(), |mut clean, segment| {
                clean.push('/');
                clean.push_str(segment);
                clean
            })
        });
        Self { root: root.to_owned(), clean, case_sensitive, allow_equal }
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    pub fn is_clean(&self) -> bool {
        self.clean.is_some()
    }

    pub(super) fn check(&self, path: &str) -> Verdict {
        let Some(root) = &self.clean else {
            return Verdict::Doubtful("the root of the constraint is not a plain absolute path");
        };
        if let Err(trick) = scan(path) {
            return Verdict::Doubtful(trick);
        }
        if self.case_sensitive
            && self.allow_equal
            && path.strip_prefix(root.as_str()).is_some_and(begins_anew)
        {
            return Verdict::Matches;
        }
        let mut inner = segments(path);
        for wanted in segments(root) {
            let same = inner.next().is_some_and(|segment| {
                if self.case_sensitive { segment == wanted } else { segment.eq_ignore_ascii_case(wanted) }
            });
            if !same {
                return Verdict::Differs("outside the root");
            }
        }
        if inner.next().is_none() && !self.allow_equal {
            return Verdict::Differs("the root itself is not included");
        }
        Verdict::Matches
    }

    pub(super) fn narrows(&self, parent: &Self) -> bool {
        let (Some(own), Some(_)) = (&self.clean, &parent.clean) else { return false };
        let own = if own.is_empty() { "/" } else { own };
        // A child that includes its root needs a parent that includes that very path.
        let held = match parent.check(own) {
            Verdict::Matches => true,
            _ => {
                !self.allow_equal
                    && Self { allow_equal: true, ..parent.clone() }.check(own) == Verdict::Matches
            }
        };
        held && (self.case_sensitive || !parent.case_sensitive)
    }
}

/// Whether what follows a directory is below it and not the rest of a longer name.
fn begins_anew(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty() && *segment != ".")
}

/// Refuses what some tool, shell or server on the way would read as another path.
pub(crate) fn scan(path: &str) -> Result<(), &'static str> {
    let bytes = path.as_bytes();
    if path.len() > LONGEST {
        return Err("longer than any path");
    }
    if bytes.first() != Some(&b'/') {
        return Err("not an absolute path");
    }
    if bytes.get(1) == Some(&b'/') && bytes.get(2) != Some(&b'/') {
        return Err("two leading slashes mean another place on some systems");
    }
    let seen = bytes.iter().fold(0, |seen, byte| seen | class(*byte));
    if seen == 0 {
        return Ok(());
    }
    if seen & (CONTROL | FOREIGN) != 0 && has_unseen(path) {
        return Err("control or invisible characters");
    }
    if path.ends_with(char::is_whitespace) {
        return Err("surrounding blanks");
    }
    if seen & SHELL != 0 {
        return Err("characters that a shell expands");
    }
    if seen & BACKSLASH != 0 {
        return Err("a backslash");
    }
    if seen & PERCENT != 0 && has_escape(path) {
        return Err("percent-encoded characters");
    }
    if seen & FOREIGN != 0 && has_look_alike(path, "./\\%~;$*?`{}:") {
        return Err("characters that pass for dots or slashes");
    }
    if seen & (STEP | FOREIGN) == 0 { Ok(()) } else { path.split('/').try_for_each(scan_segment) }
}

const STEP: u8 = 1;
const PERCENT: u8 = 2;
const SHELL: u8 = 4;
const BACKSLASH: u8 = 8;
const CONTROL: u8 = 16;
const FOREIGN: u8 = 32;

/// What a byte may be up to; most are up to nothing.
const fn class(byte: u8) -> u8 {
    match byte {
        b'.' | b'~' | b';' | b' ' => STEP,
        b'%' => PERCENT,
        b'$' | b'`' | b'*' | b'?' | b'[' | b'{' | b'}' => SHELL,
        b'\\' => BACKSLASH,
        0..b' ' | 0x7f => CONTROL,
        0x80.. => FOREIGN,
        _ => 0,
    }
}

fn scan_segment(segment: &str) -> Result<(), &'static str> {
    // Some tools trim names: `.. ` is as good as `..` to them. Three dots are a name like any other.
    let steps = |text: &str| matches!(text.trim(), "." | "..");
    if segment == "." || segment.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    if steps(segment) {
        return Err("a segment of dots leaves the directory");
    }
    if segment.split_once(';').is_some_and(|(name, _)| steps(name)) {
        return Err("a parameter after dots");
    }
    if segment.starts_with('~') {
        return Err("a tilde that a shell expands");
    }
    Ok(())
}

/// Escapes that, decoded, are dots, slashes, controls, another escape, or the long forms of these.
pub(crate) fn has_escape(text: &str) -> bool {
    text.split('%').skip(1).any(|after| {
        let code = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        after.starts_with(['u', 'U'])
            || code.is_some_and(|code| {
                !(b' '..0x7f).contains(&code) || matches!(code, b'.' | b'/' | b'\\' | b'%' | b';' | b'~')
            })
    })
}

/// Whether some segment goes up.
pub(crate) fn climbs(text: &str) -> bool {
    text.contains("..") && text.split(['/', '\\']).any(|segment| scan_segment(segment).is_err())
}
