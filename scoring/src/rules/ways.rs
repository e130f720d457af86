//! A pattern taken apart: its alternatives, and for each the words without which it cannot match. The build
//! script does this for the shipped packs, so it knows nothing of the rest of the crate.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, HirKind};

use super::fold_pattern;

/// Shorter literals turn up too often to tell anything.
const SHORTEST: usize = 3;
/// Sets of words asked for; each makes an idle alternative rarer and a busy text dearer.
const SETS: usize = 3;
/// Literals in one set.
const LITERALS: usize = 64;
/// Letters of one class that are told apart.
const CLASS: usize = 5;
/// Words of every text: asked for only where a pattern has no others.
const COMMON: [&str; 16] = [
    "the", "and", "you", "for", "not", "have", "that", "with", "this", "are", "was", "will", "can", "but",
    "all", "your",
];

/// Marks a literal that may stand inside a word; others begin one.
pub(crate) const INSIDE: char = '~';

/// One alternative of a pattern.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) re: String,
    /// A match holds one literal of each set, in this order.
    pub(crate) sets: Vec<Vec<String>>,
    /// It begins with a literal of the first.
    pub(crate) begun: bool,
}

/// The alternatives of `re` and `phrases`, folded as texts are. Phrases that begin with a Latin letter begin at
/// a word. `stems` stand in where an alternative shows no literal of its own.
///
/// # Errors
/// What is wrong with the pattern, or that an alternative could be anything.
pub(crate) fn ways(re: &str, phrases: &[String], stems: &[String]) -> Result<Vec<Way>, String> {
    let begun = |phrase: &String| {
        let phrase = fold_pattern(phrase);
        let at_word = phrase.is_ascii()
            && phrase.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '(');
        format!("{}(?:{phrase})", if at_word { r"\b" } else { "" })
    };
    let whole = (!re.is_empty()).then(|| fold_pattern(re));
    let mut found = Vec::new();
    for pattern in whole.into_iter().chain(phrases.iter().map(begun)) {
        let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(&pattern);
        let parsed = parsed.map_err(|error| format!("{pattern}: {error}"))?;
        for branch in branches(&parsed) {
            let (mut sets, begun) = sets(&branch);
            if sets.is_empty() {
                let declared =
                    stems.iter().map(|stem| fold_pattern(stem)).filter(|stem| stem.len() >= SHORTEST);
                let long: Vec<String> = declared.map(|stem| format!("{INSIDE}{stem}")).collect();
                if long.is_empty() {
                    return Err(format!("{branch}: no literal of three letters in it, and no stems"));
                }
                sets.push(long);
            }
            found.push(Way { re: branch.to_string(), sets, begun });
        }
    }
    Ok(found)
}

fn branches(hir: &Hir) -> Vec<Hir> {
    match hir.kind() {
        HirKind::Alternation(all) => all.iter().flat_map(branches).collect(),
        HirKind::Concat(parts) => {
            let is_choice = |part: &Hir| matches!(part.kind(), HirKind::Alternation(_));
            let is_edge = |part: &Hir| matches!(part.kind(), HirKind::Look(_));
            let choices = parts.iter().filter(|part| is_choice(part)).count();
            if choices != 1 || !parts.iter().all(|part| is_choice(part) || is_edge(part)) {
                return vec![hir.clone()];
            }
            let chosen = parts.iter().find(|part| is_choice(part)).map(branches).unwrap_or_default();
            let with = |branch: &Hir| {
                let part = |part: &Hir| if is_choice(part) { branch.clone() } else { part.clone() };
                Hir::concat(parts.iter().map(part).collect())
            };
            chosen.iter().map(with).flat_map(|whole| branches(&whole)).collect()
        }
        _ => vec![hir.clone()],
    }
}

/// The literals of one run of a pattern.
struct Set {
    shortest: usize,
    literals: Vec<String>,
    /// A match begins with them.
    begins: bool,
}

/// What a match holds, and whether it begins with the first of that.
fn sets(hir: &Hir) -> (Vec<Vec<String>>, bool) {
    let parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    let mut found: Vec<Set> = Vec::new();
    let mut start = 0;
    for run in parts.split(|part| matches!(part.kind(), HirKind::Repetition(_))) {
        let inside =
            !run.first().is_some_and(begins_word) && !ends_word(parts.get(..start).unwrap_or_default());
        found.extend(literals(&Hir::concat(run.to_vec()), inside, start == 0));
        start += run.len() + 1;
    }
    let common =
        |set: &Set| set.literals.iter().any(|literal| COMMON.contains(&literal.trim_matches([' ', INSIDE])));
    if !found.iter().all(common) {
        found.retain(|set| !common(set));
    }
    while found.len() > SETS {
        let worth = |(_, set): &(usize, &Set)| (set.shortest, std::cmp::Reverse(set.literals.len()));
        match found.iter().enumerate().min_by_key(worth).map(|(index, _)| index) {
            Some(least) => found.remove(least),
            None => break,
        };
    }
    let begun = found.first().is_some_and(|set| set.begins);
    (found.into_iter().map(|set| set.literals).collect(), begun)
}

fn begins_word(part: &Hir) -> bool {
    matches!(part.kind(), HirKind::Look(_))
}

/// Whether a word can only begin after `parts`.
fn ends_word(parts: &[Hir]) -> bool {
    let Some((last, before)) = parts.split_last() else { return false };
    match last.kind() {
        HirKind::Look(_) => true,
        HirKind::Literal(literal) => literal.0.ends_with(b" "),
        HirKind::Repetition(repeated) => {
            ends_word(std::slice::from_ref(&repeated.sub)) && (repeated.min > 0 || ends_word(before))
        }
        HirKind::Concat(parts) => ends_word(parts),
        HirKind::Alternation(all) => all.iter().all(|branch| ends_word(std::slice::from_ref(branch))),
        HirKind::Empty | HirKind::Class(_) | HirKind::Capture(_) => false,
    }
}

/// Beginnings or endings of everything `hir` matches, whichever say more. Those that may stand `inside` a word
/// are marked so.
fn literals(hir: &Hir, inside: bool, first: bool) -> Option<Set> {
    let extracted = |kind: ExtractKind| {
        let sequence =
            Extractor::new().kind(kind.clone()).limit_class(CLASS).limit_total(LITERALS).extract(hir);
        let mut literals = Vec::new();
        for literal in sequence.literals()? {
            literals.push(whole_letters(literal.as_bytes(), matches!(kind, ExtractKind::Suffix))?);
        }
        literals.sort();
        // What begins with another of them says nothing more.
        literals.dedup_by(|next, literal| next.starts_with(literal.as_str()));
        let shortest = literals.iter().map(|literal| literal.trim().len()).min()?;
        let suffix = matches!(kind, ExtractKind::Suffix);
        let inside = inside || suffix;
        for literal in literals.iter_mut().filter(|literal| inside && !literal.starts_with(' ')) {
            literal.insert(0, INSIDE);
        }
        (shortest >= SHORTEST).then_some(Set { shortest, literals, begins: first && !suffix })
    };
    let (prefix, suffix) = (extracted(ExtractKind::Prefix), extracted(ExtractKind::Suffix));
    // Of two that say as much the beginning wins: it is looked for at words only.
    [suffix, prefix].into_iter().flatten().max_by_key(|set| set.shortest)
}

/// The bytes without a letter cut in two at the open end.
fn whole_letters(bytes: &[u8], suffix: bool) -> Option<String> {
    let cut = |end: usize| if suffix { bytes.get(end..) } else { bytes.get(..bytes.len() - end) };
    (0..4.min(bytes.len())).find_map(|end| std::str::from_utf8(cut(end)?).ok()).map(str::to_owned)
}
