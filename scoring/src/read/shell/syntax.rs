//! Shell text as the readers see it: pipelines of simple commands, words in pieces. Whatever parser is used
//! behind [`Syntax`] is translated to this.

/// Reads shell text.
pub(crate) trait Syntax {
    fn parse(&self, text: &str) -> Result<Script, Unreadable>;
}

/// Why a text gave no script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Syntax,
    TooLarge,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Script(pub(crate) Vec<Pipeline>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Pipeline {
    pub(crate) stages: Vec<Stage>,
    /// It runs only when what stands before it went well.
    pub(crate) follows: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Simple(Simple),
    /// Compound commands: every part that can run, in order.
    Group {
        variable: Option<(String, Vec<Word>)>,
        words: Vec<Word>,
        parts: Vec<Script>,
        redirects: Vec<Redirect>,
        /// A subshell: what it sets ends with it.
        apart: bool,
    },
    Function {
        name: String,
        body: Script,
    },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Simple {
    pub(crate) assigns: Vec<(String, Word)>,
    pub(crate) words: Vec<Word>,
    pub(crate) redirects: Vec<Redirect>,
    /// Characters of the script it spans.
    pub(crate) span: Option<(usize, usize)>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Word(pub(crate) Vec<Piece>);

#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// As it will be, quotes taken off.
    Text(String),
    Variable {
        name: String,
        fallback: Option<Word>,
        change: Option<Change>,
        quoted: bool,
    },
    Command {
        script: Script,
        quoted: bool,
    },
    /// `<(…)`: the name of a pipe.
    Process(Script),
    /// `>(…)`: a pipe into the script.
    Sink(Script),
    /// Expanded on the way, its value used elsewhere: an index, a pattern, a sum.
    Aside(Word),
    /// Known only when it runs.
    Unknown,
}

#[derive(Debug, Clone)]
pub(crate) enum Redirect {
    Read(Word),
    Write(Word),
    /// Text given as input, on the descriptor.
    Here(u32, Word),
    /// Input from another descriptor.
    From(u32),
}

/// What `${x…}` makes of a value.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Slice {
        from: i64,
        length: Option<i64>,
    },
    Strip {
        pattern: String,
        end: bool,
        longest: bool,
    },
    Replace {
        pattern: String,
        with: String,
        all: bool,
    },
    Upper {
        all: bool,
    },
    Lower {
        all: bool,
    },
    /// `${x@E}`
    Unescape,
    /// `${x@P}`: the value is expanded as a prompt, its commands are run.
    Prompt,
    /// `${!x}`: the value names another variable.
    Follow,
}
