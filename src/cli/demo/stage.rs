//! What the audience sees: at most a hundred columns, and nothing that only colour says.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::cli::holds::visible;
use crate::cli::lines::wrapped;
use crate::ledger::Record;

const WIDEST: usize = 100;
const INDENT: usize = 4;

/// What became of a call, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Ran,
    RanForReview,
    Held,
    Approved,
    Denied,
    Blocked,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::Ran => "RAN",
            Self::RanForReview => "RAN, TO BE REVIEWED",
            Self::Held => "HELD",
            Self::Approved => "APPROVED, AND RAN",
            Self::Denied => "DENIED",
            Self::Blocked => "BLOCKED",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Ran | Self::Approved => "32",
            Self::RanForReview => "36",
            Self::Held => "33",
            Self::Denied | Self::Blocked => "31",
        }
    }
}

#[derive(Debug)]
pub(super) struct Stage {
    width: usize,
    colour: bool,
}

impl Stage {
    pub(super) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        let columns = crossterm::terminal::size()
            .ok()
            .filter(|_| terminal)
            .map_or(WIDEST, |(columns, _)| columns.into());
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { width: columns.clamp(40, WIDEST), colour }
    }

    fn line(&self, line: &str) -> io::Result<()> {
        writeln!(io::stdout(), "{}", line.trim_end())
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn rule(&self) -> String {
        "─".repeat(self.width)
    }

    pub(super) fn title(&self, text: &str) -> io::Result<()> {
        self.line(&self.painted("1", text))?;
        self.line(&self.rule())
    }

    pub(super) fn step(&self, number: usize, text: &str) -> io::Result<()> {
        self.line("")?;
        self.line(&self.painted("1", &format!(" {number}  {text}")))
    }

    pub(super) fn heading(&self, text: &str) -> io::Result<()> {
        self.line("")?;
        self.line(&self.painted("1", &format!("    {text}")))
    }

    pub(super) fn gap(&self) -> io::Result<()> {
        self.line("")
    }

    pub(super) fn say(&self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            for line in wrapped(&visible(line), self.width, INDENT, INDENT) {
                self.line(&line)?;
            }
        }
        Ok(())
    }

    /// Output of another command, as it is, a little to the right.
    pub(super) fn quote(&self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            let inner = line.chars().take_while(|c| *c == ' ').count().saturating_add(INDENT);
            for line in wrapped(line.trim_start(), self.width, inner, inner.saturating_add(2)) {
                self.line(&line)?;
            }
        }
        Ok(())
    }

    /// A line for a shell: never wrapped, so that it can be copied.
    pub(super) fn command(&self, text: &str) -> io::Result<()> {
        self.line(&format!("      {}", self.painted("1", text)))
    }

    pub(super) fn call(&self, tool: &str, arguments: &Value) -> io::Result<()> {
        for line in
            wrapped(&format!("→ {tool} {}", visible(&arguments.to_string())), self.width, INDENT, INDENT + 2)
        {
            self.line(&line)?;
        }
        Ok(())
    }

    pub(super) fn fate(&self, fate: Fate, about: &str) -> io::Result<()> {
        let word = fate.word();
        let room = INDENT.saturating_add(word.len()).saturating_add(2);
        let mut lines = wrapped(&visible(about), self.width, room, room).into_iter();
        let first = lines.next().unwrap_or_default();
        self.line(&format!(
            "    {}  {}",
            self.painted(&format!("1;{}", fate.colour()), word),
            first.trim_start()
        ))?;
        lines.try_for_each(|line| self.line(&line))
    }

    pub(super) fn ask(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        write!(out, "    {}", self.painted("1", text))?;
        out.flush()
    }

    /// Ends the line of a question that was answered elsewhere.
    pub(super) fn elsewhere(&self) -> io::Result<()> {
        self.line("(decided elsewhere)")?;
        self.gap()
    }

    /// One entry of the record with what says most of it.
    pub(super) fn entry(&self, record: &Record) -> io::Result<()> {
        let mut line = format!("    {:>4}  {:<10}", record.seq, visible(&record.step));
        let facts = ["tool_name", "route", "rule", "hold", "review", "status", "why", "state"];
        for name in facts {
            if let Some(value) = record.detail.get(name).filter(|value| !value.is_null()) {
                line.push_str(&format!("  {}", bare(value)));
            }
        }
        if let Some(receipt) = record.detail.get("receipt") {
            for name in ["decision", "hold", "reason"] {
                line.push_str(&format!("  {}", receipt.get(name).map(bare).unwrap_or_default()));
            }
        }
        self.line(&crate::cli::lines::cut(&line, self.width))
    }
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| visible(&value.to_string()), visible)
}
