//! A child that is proven narrower takes nothing that its parent refuses. Lines: parent, child, then values.
#![no_main]

use herma_warrant::constraint::{Constraint, Reading, Verdict};
use herma_warrant::json::{read_document, write};
use herma_warrant::syntax::{read_grant, write_grant};
use herma_warrant::value::Value;
use libfuzzer_sys::fuzz_target;

fn constraint(line: &str) -> Option<Constraint> {
    let constraint = Constraint::from_value(&read_document(line).ok()?).ok()?;
    assert_eq!(Constraint::from_value(&constraint.to_value()).as_ref(), Ok(&constraint));
    Some(constraint)
}

fuzz_target!(|text: &str| {
    if let Ok((tool, constraints)) = read_grant(text, Some("/home/ada")) {
        let written = write_grant(&tool, &constraints);
        assert_eq!(read_grant(&written, None), Ok((tool, constraints)), "{written}");
    }
    let mut lines = text.lines();
    let (Some(parent), Some(child)) = (lines.next().and_then(constraint), lines.next().and_then(constraint))
    else {
        return;
    };
    let narrower = child.narrows(&parent, Reading::Strict);
    for line in lines {
        let value = read_document(line).unwrap_or_else(|_| Value::from(line));
        assert_eq!(read_document(&write(&value)).as_ref(), Ok(&value));
        if child.check(&value) == Verdict::Matches && narrower {
            assert_eq!(parent.check(&value), Verdict::Matches, "{child:?} under {parent:?} takes {value}");
        }
        if let Some(nearest) = child.nearest(&value) {
            assert_eq!(child.check(&nearest), Verdict::Matches);
        }
    }
});
