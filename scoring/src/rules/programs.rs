//! What shell programs do, by name.

use std::collections::HashMap;
use std::sync::Arc;

use super::options::{self, Options};
use super::pack::{Gives, Language, Operands, Pack, ProgramRule, Wrapper};
use super::{Effects, Rule, RuleError, glob};

#[derive(Debug, Default)]
pub(crate) struct Programs {
    pub(crate) wrappers: HashMap<String, Vec<Arc<(Rule, Wrapper)>>>,
    pub(crate) options: Options,
    specs: HashMap<String, Vec<Arc<Spec>>>,
    globbed: Vec<(String, Arc<Spec>)>,
    verbs: HashMap<String, Arc<Rule>>,
    /// Verbs by how they begin: `delete-all`, `deletebucket`.
    openings: Vec<(String, Arc<Rule>)>,
}

/// One program as a pack describes it.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) values: Vec<String>,
    pub(crate) default: Option<Rule>,
    pub(crate) closed: bool,
    pub(crate) operands: Operands,
    pub(crate) code: Vec<String>,
    pub(crate) language: Option<Language>,
    pub(crate) loads: Vec<String>,
    pub(crate) gives: Option<Gives>,
    pub(crate) sends: bool,
    pub(crate) installs: bool,
    pub(crate) admin: bool,
    pub(crate) subs: Vec<Sub>,
}

#[derive(Debug, Clone)]
pub(crate) struct Sub {
    pub(crate) rule: Rule,
    spec: ProgramRule,
    paths: Vec<Vec<String>>,
}

impl Programs {
    pub(super) fn compile(packs: &[(String, Pack, bool)], effects: &Effects<'_>) -> Result<Self, RuleError> {
        let mut programs = Self { options: options::compile(packs, effects)?, ..Self::default() };
        for (name, pack, _) in packs {
            for wrapper in &pack.wrapper {
                let rule = effects.rule(name, &wrapper.id, &wrapper.reason, "none")?;
                let wrapper = Arc::new((rule, wrapper.clone()));
                for program in &wrapper.1.names {
                    programs.wrappers.entry(program.clone()).or_default().push(Arc::clone(&wrapper));
                }
            }
            for verb in &pack.shell_verb {
                let rule = Arc::new(effects.rule(name, &verb.id, &verb.reason, &verb.effect)?);
                for word in &verb.words {
                    match word.strip_suffix('*') {
                        Some(opening) => programs.openings.push((opening.to_owned(), rule.clone())),
                        None => {
                            programs.verbs.entry(word.clone()).or_insert_with(|| rule.clone());
                        }
                    }
                }
            }
            for program in &pack.program {
                let first = program.names.first().map(String::as_str).unwrap_or_default();
                let default = program.effect.as_ref().map(|effect| {
                    effects.rule(
                        name,
                        &format!("shell.program.{first}"),
                        "What this program ordinarily does",
                        effect,
                    )
                });
                let subs = program.rule.iter().map(|rule| {
                    Ok(Sub {
                        rule: effects.rule(name, &rule.id, &rule.reason, &rule.effect)?,
                        paths: rule
                            .sub
                            .iter()
                            .map(|path| path.split(' ').map(str::to_owned).collect())
                            .collect(),
                        spec: rule.clone(),
                    })
                });
                let spec = Arc::new(Spec {
                    values: program.values.clone(),
                    default: default.transpose()?,
                    closed: program.closed,
                    operands: program.operands,
                    code: program.code.clone(),
                    language: program.language,
                    loads: program.loads.clone(),
                    gives: program.gives,
                    sends: program.sends,
                    installs: program.installs,
                    admin: program.admin,
                    subs: subs.collect::<Result<_, RuleError>>()?,
                });
                for name in &program.names {
                    if glob::is_literal(name) {
                        programs.specs.entry(name.clone()).or_default().push(spec.clone());
                    } else {
                        programs.globbed.push((name.clone(), spec.clone()));
                    }
                }
            }
        }
        Ok(programs)
    }

    /// The rule for a verb; participles (`deleted`) say what was done, not what to do.
    pub(crate) fn verb(&self, word: &str) -> Option<&Rule> {
        let exact = self.verbs.get(word).map(Arc::as_ref);
        exact.or_else(|| {
            let opens = |opening: &str| word.starts_with(opening) && !word.ends_with("ed");
            self.openings.iter().find(|(opening, _)| opens(opening)).map(|(_, rule)| rule.as_ref())
        })
    }

    /// Whether any pack describes a program, or a program that runs others, of this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.specs.contains_key(name)
            || self.wrappers.contains_key(name)
            || self.globbed.iter().any(|(pattern, _)| glob::matches(pattern, name))
    }

    /// Whether a wildcard could stand for a program some pack describes. A class is taken for any one letter.
    pub(crate) fn any_like(&self, pattern: &str) -> bool {
        let mut plain = String::new();
        let mut inside = false;
        for letter in pattern.chars() {
            match letter {
                '[' if !inside => {
                    inside = true;
                    plain.push('?');
                }
                ']' if inside => inside = false,
                _ if inside => {}
                letter => plain.push(letter),
            }
        }
        plain != "*" && self.specs.keys().chain(self.wrappers.keys()).any(|name| glob::matches(&plain, name))
    }

    /// Every description of the program called `name`.
    pub(crate) fn of(&self, name: &str) -> Vec<&Spec> {
        let lower = name.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| name.to_ascii_lowercase());
        let lowered =
            lower.and_then(|lower| self.specs.get(&lower)).filter(|_| !self.specs.contains_key(name));
        let exact = self.specs.get(name).or(lowered).into_iter().flatten();
        let globbed =
            self.globbed.iter().filter(|(pattern, _)| glob::matches(pattern, name)).map(|(_, spec)| spec);
        exact.chain(globbed).map(Arc::as_ref).collect()
    }
}

impl Sub {
    pub(crate) fn files(&self) -> Option<Operands> {
        self.spec.files
    }

    pub(crate) fn gives(&self) -> Option<Gives> {
        self.spec.gives
    }

    /// Whether the rule speaks to these words: `operands` without options and their values, `words` all of them.
    pub(crate) fn takes(&self, operands: &[&str], words: &[&str]) -> bool {
        let path = self.paths.is_empty()
            || self.paths.iter().any(|path| {
                path.len() <= operands.len()
                    && path.iter().zip(operands).all(|(step, word)| glob::matches(step, word))
            });
        let present = |wanted: &Vec<String>| {
            wanted.iter().any(|option| words.iter().any(|word| option_in(option, word)))
        };
        path && operands.len() >= self.spec.operands
            && self.spec.most.is_none_or(|most| operands.len() <= most)
            && (self.spec.any.is_empty() || present(&self.spec.any))
            && (self.spec.also.is_empty() || present(&self.spec.also))
            && !present(&self.spec.none)
    }
}

/// `-f` is in `-f` and in `-xf`; `--force` in `--force` and `--force=yes`; else a glob over the word.
pub(crate) fn option_in(option: &str, word: &str) -> bool {
    // Asked of every word for every option of every rule: most differ in the first letter.
    match (option.as_bytes(), word.as_bytes()) {
        ([b'*' | b'?', ..], _) => {}
        ([first, ..], [letter, ..]) if first == letter => {}
        _ => return false,
    }
    if glob::matches(option, word) {
        return true;
    }
    match option.as_bytes() {
        [b'-', letter] if letter.is_ascii_alphabetic() => match word.as_bytes() {
            [b'-', cluster @ ..] => {
                !cluster.starts_with(b"-")
                    && cluster.len() <= 4
                    && cluster.contains(letter)
                    && cluster.iter().all(u8::is_ascii_alphabetic)
            }
            _ => false,
        },
        [b'-', b'-', ..] => word.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')),
        _ => false,
    }
}
