//! What scoring says of a call.

use serde::{Deserialize, Serialize};

use crate::Undo;

/// Side-effect class, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SideEffect {
    ReadOnly,
    LocalReversible,
    External,
    Critical,
}

impl SideEffect {
    /// As rules, policies, warrants and the record write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::LocalReversible => "local_reversible",
            Self::External => "external",
            Self::Critical => "critical",
        }
    }
}

/// Whether what the call does can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reversibility {
    Yes,
    Partial,
    No,
}

/// One traceable contribution to the score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Id of the rule, e.g. `shell.fs.rm_recursive`.
    pub rule: String,
    /// The rule's own words; never text taken from the call.
    pub text: String,
    /// Which factor it speaks to: `side_effect`, `target`, `irreversibility`, `human_impact`,
    /// `blast_radius`, `crisis`, `floor` or `certainty`.
    pub factor: String,
    /// What it adds to `risk_score` (0–1), or takes from `confidence` when the factor is `certainty`.
    pub points: f64,
    /// JSON pointer of the argument that matched, when one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pointer: Option<String>,
    /// Byte range of the match in that string.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub span: Option<(usize, usize)>,
}

/// The judgement on one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    pub class: SideEffect,
    pub reversibility: Reversibility,
    /// 0–1.
    pub risk_score: f64,
    /// 0–1: how sure the judgement is, not how safe the call is.
    pub confidence: f64,
    /// Something leaves: a message, a request with effects, a publication, a scheduled send.
    pub outbound: bool,
    pub crisis_sensitive: bool,
    /// Near the gate, understood, not critical, and no decisive rule spoke: reasonable operators differ on such a
    /// call.
    #[serde(default)]
    pub contested: bool,
    /// Ordered, heaviest first.
    pub reasons: Vec<Reason>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undo: Option<Undo>,
    /// Digest of the rules that judged, [`crate::Rules::digest`].
    #[serde(default)]
    pub pack_digest: String,
}

impl Assessment {
    /// The seed's boolean view of reversibility.
    pub fn reversible(&self) -> bool {
        self.reversibility == Reversibility::Yes
    }
}
