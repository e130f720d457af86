//! Warrants as the commands that would mint them.

use std::collections::BTreeMap;

use herma_warrant::capability::Capability;
use herma_warrant::syntax::write_grant;

use super::limits;

/// A command over several lines, ready to be pasted into a shell.
#[derive(Debug)]
pub(super) struct Line(String);

impl Line {
    pub(super) fn new(program: &str) -> Self {
        Self(program.to_owned())
    }

    pub(super) fn flag(&mut self, name: &str, value: &str) {
        self.0.push_str(" \\\n  ");
        self.0.push_str(name);
        self.0.push(' ');
        self.0.push_str(&quoted(value));
    }

    /// Everything that is granted. Limits that all tools share are written once.
    pub(super) fn grants(&mut self, tools: &BTreeMap<String, Capability>) {
        let mut shared = tools.values().map(|capability| capability.limits.as_deref());
        let first = shared.next().flatten();
        let alike = first.is_some() && shared.all(|other| other == first);
        for (tool, capability) in tools {
            self.flag("--allow", &write_grant(tool, &capability.constraints));
            if capability.allow_unknown && !capability.constraints.is_empty() {
                self.flag("--allow-unknown", tool);
            }
            if capability.constraints.is_empty() && !capability.is_open() {
                self.flag("--no-arguments", tool);
            }
            let own = capability.limits.as_deref().filter(|_| !alike);
            for (flag, value) in own.map(limits::write).unwrap_or_default() {
                self.flag(flag, &format!("{tool}@{value}"));
            }
        }
        if let Some(limits) = first.filter(|_| alike) {
            for (flag, value) in limits::write(limits) {
                self.flag(flag, &value);
            }
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
