//! Who may approve which calls, and how many of them it takes.

use herma_scoring::Assessment;
use serde::{Deserialize, Serialize};

use super::{Matcher, Policy, Subject};

/// How an approver was known, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// MCP elicitation: the answer travelled through the agent's own client.
    InBand,
    /// Peer credentials on the control socket.
    Terminal,
    /// A browser that was paired, by its own key.
    Session,
    /// A passkey touched for this very decision.
    Passkey,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::InBand => "in_band",
            Self::Terminal => "terminal",
            Self::Session => "session",
            Self::Passkey => "passkey",
        }
    }
}

/// What it takes to approve one hold. To deny it takes nobody in particular.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// Approvals by different people.
    pub quorum: u32,
    /// Nothing weaker than this may approve.
    pub method: Method,
    /// Who may approve; anybody when `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvers: Option<Vec<String>>,
    /// Herma's own user may be the one in crisis: only these others may approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_person: Option<Vec<String>>,
}

impl Default for Needs {
    fn default() -> Self {
        Self { quorum: 1, method: Method::InBand, approvers: None, second_person: None }
    }
}

/// Who may say that nobody is in crisis, where the operator may be the one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrisisRule {
    /// Herma serves one person, who may be the one in crisis.
    pub personal: bool,
    pub second_person: Vec<String>,
    /// The country whose lines that person is shown.
    pub region: Option<String>,
}

/// One `[[approval]]` of the operator's file.
#[derive(Debug)]
pub struct Approval {
    /// Of which calls it speaks, as it was written.
    pub of: String,
    pub matcher: Matcher,
    /// Only calls that are crisis-sensitive, or only those that are not.
    pub crisis: Option<bool>,
    pub quorum: u32,
    pub method: Option<Method>,
    pub approvers: Option<Vec<String>>,
}

impl Policy {
    /// What it takes to approve this call: all that speak of it hold together.
    pub fn needs(&self, subject: &Subject<'_>, assessment: &Assessment) -> Needs {
        let mut needs = Needs::default();
        let speaks = |approval: &&Approval| {
            approval.crisis.is_none_or(|crisis| crisis == assessment.crisis_sensitive)
                && approval.matcher.matches(subject, assessment.class)
        };
        for approval in self.approvals.iter().filter(speaks) {
            needs.quorum = needs.quorum.max(approval.quorum);
            needs.method = needs.method.max(approval.method.unwrap_or(Method::InBand));
            if let Some(named) = &approval.approvers {
                let both =
                    |before: Vec<String>| before.into_iter().filter(|name| named.contains(name)).collect();
                needs.approvers = Some(needs.approvers.take().map_or_else(|| named.clone(), both));
            }
        }
        if assessment.crisis_sensitive {
            needs.second_person = self.second_person().map(<[String]>::to_vec);
        }
        needs
    }

    /// Whether some call takes a passkey: whoever has none may not change what calls may do either.
    pub fn asks_for_passkeys(&self) -> bool {
        self.approvals.iter().any(|approval| approval.method == Some(Method::Passkey))
    }

    /// Those of whom one must speak in a crisis; `None` where any operator may.
    pub fn second_person(&self) -> Option<&[String]> {
        self.crisis.personal.then_some(self.crisis.second_person.as_slice())
    }
}
