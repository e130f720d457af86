//! Command lines of one program, without a shell in between.

use crate::constraint::Verdict;
use crate::text::has_unseen;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shlex {
    pub allow: Vec<String>,
}

/// Programs that run what they are given.
const RUNNERS: &[&str] = &[
    "ash",
    "awk",
    "bash",
    "busybox",
    "bun",
    "csh",
    "dash",
    "deno",
    "doas",
    "docker",
    "ed",
    "emacs",
    "env",
    "eval",
    "exec",
    "expect",
    "fish",
    "flock",
    "gawk",
    "gdb",
    "ionice",
    "irb",
    "jshell",
    "kubectl",
    "ksh",
    "less",
    "lua",
    "m4",
    "make",
    "man",
    "mawk",
    "more",
    "nc",
    "ncat",
    "nice",
    "node",
    "nohup",
    "nsenter",
    "osascript",
    "parallel",
    "perl",
    "php",
    "podman",
    "powershell",
    "pwsh",
    "python",
    "python2",
    "python3",
    "ruby",
    "run-parts",
    "rush",
    "screen",
    "script",
    "setsid",
    "sh",
    "socat",
    "ssh",
    "strace",
    "stdbuf",
    "su",
    "sudo",
    "tclsh",
    "time",
    "timeout",
    "tmux",
    "unshare",
    "vi",
    "vim",
    "watch",
    "xargs",
    "zsh",
    "source",
    "command",
    "builtin",
];

/// Arguments that make a program run another one, or write or send where nobody allowed it.
const CARRIERS: &[(&str, &[&str])] = &[
    ("find", &["-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprint0", "-fprintf", "-fls"]),
    ("fd", &["-x", "-X", "--exec", "--exec-batch"]),
    (
        "tar",
        &[
            "--checkpoint-action",
            "--to-command",
            "-I",
            "--use-compress-program",
            "--rsh-command",
            "-F",
            "--info-script",
            "--new-volume-script",
            "--absolute-names",
            "-P",
        ],
    ),
    ("rsync", &["-e", "--rsh", "--rsync-path"]),
    ("scp", &["-S", "-o", "-F"]),
    ("sftp", &["-S", "-o", "-F", "-D"]),
    ("zip", &["-T", "-TT", "--unzip-command"]),
    ("sort", &["--compress-program", "-o", "--output"]),
    ("sed", &["-i", "--in-place", "-e", "-f", "--expression", "--file"]),
    ("rg", &["--pre", "--hostname-bin", "--search-zip", "-z"]),
    (
        "curl",
        &["-o", "-O", "--output", "--remote-name", "-K", "--config", "-T", "--upload-file", "--proxy", "-x"],
    ),
    (
        "wget",
        &["-O", "--output-document", "-e", "--execute", "--use-askpass", "--post-file", "-i", "--config"],
    ),
    ("npm", &["exec", "x", "run", "run-script", "start", "test", "install", "i", "ci", "--prefix"]),
    ("npx", &[""]),
    ("pip", &["install", "download", "wheel"]),
    ("cargo", &["run", "install", "--config", "build", "test", "bench"]),
    ("go", &["run", "generate", "-toolexec", "-exec", "install"]),
    ("tee", &[""]),
    ("dd", &[""]),
    ("date", &["-f", "--file", "-s", "--set"]),
    ("man", &["-P", "--pager", "-H"]),
    ("xdg-open", &[""]),
];

const GIT_CARRIERS: &[&str] = &[
    "-c",
    "--config-env",
    "--exec-path",
    "--upload-pack",
    "--receive-pack",
    "--exec",
    "--ext-diff",
    "--textconv",
    "--git-dir",
    "--work-tree",
    "-C",
    "--template",
    "--open-files-in-pager",
    "--output",
    "--extcmd",
    "--tool",
    "--no-index",
    "--super-prefix",
    "--attr-source",
];
const GIT_RUNS: &[&str] = &[
    "config",
    "bisect",
    "difftool",
    "mergetool",
    "submodule",
    "rebase",
    "hook",
    "daemon",
    "shell",
    "instaweb",
    "svn",
    "send-email",
    "credential",
    "remote-ext",
    "fast-import",
    "upload-pack",
    "receive-pack",
    "upload-archive",
    "maintenance",
    "for-each-repo",
    "gui",
    "web--browse",
    "http-backend",
    "p4",
    "archimport",
    "cvsimport",
];
/// What of git destroys work that nobody can bring back from elsewhere.
const GIT_DESTROYERS: &[&str] = &[
    "filter-branch",
    "filter-repo",
    "clean",
    "gc",
    "update-ref",
    "replace",
    "reflog",
    "prune",
    "symbolic-ref",
];
const GIT_DESTROYS: &[&str] = &[
    "--force",
    "-f",
    "--force-with-lease",
    "--force-if-includes",
    "--mirror",
    "--delete",
    "-d",
    "-D",
    "--hard",
    "--prune",
    "--expire",
    "--purge",
];

impl Shlex {
    pub(super) fn check(&self, line: &str) -> Verdict {
        let words = match split(line) {
            Ok(words) => words,
            Err(trick) => return Verdict::Doubtful(trick),
        };
        let Some((program, rest)) = words.split_first() else { return Verdict::Differs("an empty command") };
        if program.is_empty() {
            return Verdict::Doubtful("an empty program");
        }
        if program.contains('=') {
            return Verdict::Doubtful("a variable set before the program");
        }
        if !self.allow.iter().any(|allowed| allowed == program) {
            return Verdict::Differs("the program is not on the list");
        }
        let name = program.rsplit('/').next().unwrap_or(program);
        if name == "git" {
            return check_git(rest);
        }
        if carries(name, rest) {
            return Verdict::Doubtful("an argument that makes the program run, write or send something else");
        }
        if RUNNERS.contains(&name) {
            return Verdict::Review("the program runs other programs");
        }
        Verdict::Matches
    }

    pub(super) fn narrows(&self, parent: &Self) -> bool {
        self.allow.iter().all(|program| parent.allow.contains(program))
    }
}

/// A flag in any of its spellings: `--flag`, `--flag=value`, a short one with its value attached, and long ones cut
/// short, which many programs accept.
fn spells(word: &str, flag: &str) -> bool {
    let bare = word.split_once('=').map_or(word, |(bare, _)| bare);
    if flag.is_empty() || bare == flag {
        return true;
    }
    if flag.starts_with("--") {
        return bare.len() > 4 && flag.starts_with(bare);
    }
    let short = flag.len() == 2 && flag.starts_with('-');
    short && word.starts_with(flag) && !word.starts_with("--")
}

fn carries(program: &str, words: &[String]) -> bool {
    CARRIERS
        .iter()
        .filter(|(name, _)| *name == program)
        .any(|(_, flags)| words.iter().any(|word| flags.iter().any(|flag| spells(word, flag))))
}

fn check_git(words: &[String]) -> Verdict {
    let has = |flags: &[&str]| words.iter().any(|word| flags.iter().any(|flag| spells(word, flag)));
    let command = words.iter().map(String::as_str).find(|word| !word.starts_with('-')).unwrap_or("");
    let transports = words.iter().any(|word| word.contains("::") || word.starts_with("ext:"));
    let fetches = command == "clone" && has(&["-u"]) || command == "grep" && has(&["-O"]);
    if has(GIT_CARRIERS) || GIT_RUNS.contains(&command) || transports || fetches {
        return Verdict::Doubtful("an argument that makes git run another program");
    }
    let replaced = command == "push" && words.iter().any(|word| word.starts_with(['+', ':']));
    let dropped = command == "stash" && words.iter().any(|word| word == "drop" || word == "clear");
    if GIT_DESTROYERS.contains(&command) || has(GIT_DESTROYS) || replaced || dropped {
        return Verdict::Doubtful("a sub-command or flag that destroys work");
    }
    if has(&["--no-verify"]) || command == "commit" && has(&["-n"]) {
        return Verdict::Review("the hooks of the repository are skipped");
    }
    Verdict::Matches
}

/// Splits as a shell does, and refuses whatever a shell would do more than split.
pub(crate) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    if line.len() > 16 * 1024 {
        return Err("longer than a command line");
    }
    if has_unseen(&line.replace('\t', " ")) {
        return Err("control or invisible characters");
    }
    if line.contains(['$', '`']) {
        return Err("an expansion");
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let open = word.get_or_insert_default();
                quoted(&mut letters, letter, open)?;
            }
            ' ' | '\t' => words.extend(word.take()),
            '\\' => return Err("a backslash"),
            ';' | '&' | '|' | '<' | '>' | '(' | ')' => return Err("an operator of the shell"),
            '*' | '?' | '[' | ']' => return Err("a pattern that the shell replaces by file names"),
            '{' | '}' => return Err("braces that the shell expands"),
            '!' => return Err("history expansion"),
            '~' if word.as_ref().is_none_or(|word| word.ends_with(['=', ':'])) => {
                return Err("a tilde that the shell expands");
            }
            '#' if word.is_none() => return Err("a comment that hides the rest"),
            letter if letter.is_whitespace() => return Err("a blank that only looks like a space"),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    quote: char,
    word: &mut String,
) -> Result<(), &'static str> {
    loop {
        match letters.next().ok_or("a quote that does not close")? {
            letter if letter == quote => return Ok(()),
            '\\' if quote == '"' => match letters.next() {
                Some(escaped @ ('"' | '\\')) => word.push(escaped),
                Some(other) => word.extend(['\\', other]),
                None => return Err("a quote that does not close"),
            },
            '!' if quote == '"' => return Err("history expansion"),
            letter => word.push(letter),
        }
    }
}
