//! Rules for words of a crisis, as typed.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Crisis {
    pub(crate) id: String,
    pub(crate) reason: String,
    /// What every language must have words for; absent where a language has more.
    pub(crate) slot: Option<Slot>,
    pub(crate) kind: String,
    pub(crate) tier: Tier,
    /// Wording that harmless talk shares: it counts for less where the second opinion finds nothing in it.
    #[serde(default)]
    pub(crate) seconded: bool,
    pub(crate) severity: u8,
    /// Literals one of which is in every match; the beginnings of the pattern when absent.
    #[serde(default)]
    pub(crate) stems: Vec<String>,
    /// The pattern, or its alternatives. Those that begin with a Latin letter begin at a word.
    #[serde(default)]
    pub(crate) re: String,
    #[serde(default)]
    pub(crate) phrases: Vec<String>,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<String>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<String>,
}

/// What people say in every language when a life is at stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Slot {
    Wish,
    NotLive,
    EndLife,
    Method,
    SelfInjury,
    Means,
    Burden,
    Goodbye,
    NoWake,
    ThirdParty,
    Helper,
    Medical,
    Abuse,
    Threat,
    Overdose,
}

impl Slot {
    pub(crate) const ALL: [Self; 15] = [
        Self::Wish,
        Self::NotLive,
        Self::EndLife,
        Self::Method,
        Self::SelfInjury,
        Self::Means,
        Self::Burden,
        Self::Goodbye,
        Self::NoWake,
        Self::ThirdParty,
        Self::Helper,
        Self::Medical,
        Self::Abuse,
        Self::Threat,
        Self::Overdose,
    ];
}

/// How much one signal weighs: alone, with one partner, with more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) enum Tier {
    C,
    B,
    A,
}

/// Wording that takes one rule's match back, where it overlaps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Calm {
    pub(crate) id: String,
    pub(crate) reason: String,
    /// Ids of the rules it may take back.
    pub(crate) calms: Vec<String>,
    pub(crate) covers: Covers,
    #[serde(default)]
    pub(crate) re: String,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<String>,
    #[serde(default, rename = "not_match")]
    pub(crate) differs: Vec<String>,
}

/// When a calming wording takes a match back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Covers {
    /// A figure of speech: it holds the whole match, which then says something else.
    Figure,
    /// The matter is a thing, a book or the news: never when the match speaks in the first or second person.
    Matter,
    /// A question or a tale about others: never when anything in it is said of the first or second person, or of
    /// somebody close to them.
    Lore,
}

/// How text is folded before crisis rules see it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fold {
    /// Whole words replaced by another wording (`kms` is not here: see the rules).
    pub(crate) words: BTreeMap<String, String>,
    /// Words worth recovering from masked, doubled or misspelt forms.
    pub(crate) keys: Vec<String>,
    /// Words that only look like a misspelt key.
    pub(crate) spared: Vec<String>,
    /// Other words a glued run may fall apart into.
    pub(crate) known: Vec<String>,
    /// Parts of words without which a glued run is not worth taking apart.
    pub(crate) hearts: Vec<String>,
    /// Words of the first and second person.
    pub(crate) persons: Vec<String>,
    /// Words for people close by, whom a report may be about.
    pub(crate) relations: Vec<String>,
}
