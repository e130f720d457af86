//! What another parser finds, the one in use finds too.

use std::collections::BTreeSet;

use serde_json::Value;
use tree_sitter::{Node, Parser};

use super::brush::Brush;
use super::syntax::{Piece, Redirect, Script, Stage, Syntax, Word};

/// Words of the shell's own grammar that tree-sitter takes for commands.
const UNDERSTOOD: [&str; 5] = ["[", "[[", "time", "coproc", "}"];

#[test]
fn no_command_escapes_that_tree_sitter_sees() {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).unwrap();
    let (mut read, mut missed) = (0, Vec::new());
    for text in texts() {
        let tree = parser.parse(&text, None).unwrap();
        let Ok(script) = Brush.parse(&text) else { continue };
        if tree.root_node().has_error() {
            continue;
        }
        read += 1;
        let mut ours = BTreeSet::new();
        heads(&script, &mut ours);
        let mut theirs = BTreeSet::new();
        names(tree.root_node(), text.as_bytes(), &mut theirs);
        let lost: Vec<&String> =
            theirs.difference(&ours).filter(|name| !UNDERSTOOD.contains(&name.as_str())).collect();
        if !lost.is_empty() {
            missed.push(format!("{lost:?} in {text:?}, of {ours:?}"));
        }
    }
    assert!(read > 1_000, "only {read} texts were read by both");
    assert!(missed.is_empty(), "{} of {read}:\n{}", missed.len(), missed.join("\n"));
}

fn texts() -> Vec<String> {
    let rows = include_str!("../../../../fixtures/judged/calls.jsonl").lines();
    let rows = rows.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let commands = rows.filter_map(|row| Some(row.pointer("/args/command")?.as_str()?.to_owned()));
    let lists = [
        include_str!("../../../tests/rewrites/dresses.txt"),
        include_str!("../../../tests/rewrites/mentions.txt"),
    ];
    let lines = lists.iter().flat_map(|list| list.lines()).filter(|line| !line.starts_with("# "));
    let dressed = lines.map(|line| {
        line.replace('⏎', "\n").replace("{q}", "'rm -rf x'").replace("{}", "rm -rf x").replace("{h}", "rm")
    });
    commands.chain(dressed).map(|text| text.replace("\r\n", "\n")).collect()
}

fn heads(script: &Script, found: &mut BTreeSet<String>) {
    for stage in script.0.iter().flat_map(|pipeline| &pipeline.stages) {
        match stage {
            Stage::Simple(simple) => {
                if let Some(Word(pieces)) = simple.words.first() {
                    let text = |piece: &Piece| match piece {
                        Piece::Text(text) => Some(text.clone()),
                        _ => None,
                    };
                    found.extend(pieces.iter().map(text).collect::<Option<String>>());
                }
                simple.words.iter().for_each(|word| inner(word, found));
                simple.assigns.iter().for_each(|(_, word)| inner(word, found));
                redirected(&simple.redirects, found);
            }
            Stage::Group { words, parts, redirects, variable, .. } => {
                words.iter().for_each(|word| inner(word, found));
                variable.iter().flat_map(|(_, words)| words).for_each(|word| inner(word, found));
                parts.iter().for_each(|part| heads(part, found));
                redirected(redirects, found);
            }
            Stage::Function { body, .. } => heads(body, found),
        }
    }
}

fn redirected(redirects: &[Redirect], found: &mut BTreeSet<String>) {
    for redirect in redirects {
        match redirect {
            Redirect::Read(word) | Redirect::Write(word) | Redirect::Here(_, word) => inner(word, found),
            Redirect::From(_) => {}
        }
    }
}

fn inner(word: &Word, found: &mut BTreeSet<String>) {
    for piece in &word.0 {
        match piece {
            Piece::Command { script, .. } | Piece::Process(script) | Piece::Sink(script) => {
                heads(script, found)
            }
            Piece::Variable { fallback: Some(word), .. } | Piece::Aside(word) => inner(word, found),
            _ => {}
        }
    }
}

/// Command names without quotes, where they hold nothing that is expanded.
fn names(node: Node<'_>, text: &[u8], found: &mut BTreeSet<String>) {
    if node.kind() == "command_name" {
        let name = node.utf8_text(text).unwrap();
        if !name.contains(['$', '`', '\\', '{', '<', '>', '\n']) {
            found.insert(name.replace(['\'', '"'], ""));
        }
    }
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        names(child, text, found);
    }
}
