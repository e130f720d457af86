//! The operator's word: thresholds and rules that turn a judgement into a route. Pure.

mod approval;
mod rule;
mod standing;

use std::borrow::Cow;

use herma_scoring::{Assessment, Reversibility, SideEffect, Undo};
use herma_warrant::Grant;
use serde::{Deserialize, Serialize};

pub use approval::{Approval, CrisisRule, Method, Needs};
pub use rule::{Matcher, MatcherError, Rule, Subject};
pub use standing::{Condition, Effect, Fit, Scope, Standing, leaves, may_be_allowed};

/// Where a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// It runs.
    Execute,
    /// It waits for a person.
    Gate,
    /// It runs and a person looks at it afterwards.
    Review,
    /// It does not run.
    Block,
}

impl Route {
    pub fn name(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Gate => "gate",
            Self::Review => "review",
            Self::Block => "block",
        }
    }

    /// The name this route has in traces; a blocked call follows no pattern of confirmation.
    pub fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Execute => Some("confidence_threshold"),
            Self::Gate => Some("pre_execution_gate"),
            Self::Review => Some("post_execution_review"),
            Self::Block => None,
        }
    }
}

/// Whether the policy decides or only watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Enforce,
    /// Records what it would have done. Crisis and critical calls are held all the same unless named.
    Observe,
}

/// What observe mode may also relax, named one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watched {
    Crisis,
    Critical,
}

/// How calls are decided on which reasonable operators differ ([`Assessment::contested`]): deleting one file,
/// pushing a branch, installing a package, writing to a colleague. It never touches any other call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// They wait for a person.
    Strict,
    /// Risk and confidence decide, as for every other call.
    #[default]
    Balanced,
    /// They run.
    Quiet,
}

impl Profile {
    pub const ALL: [Self; 3] = [Self::Strict, Self::Balanced, Self::Quiet];

    fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Balanced => "balanced",
            Self::Quiet => "quiet",
        }
    }
}

/// Boundaries of `risk_score` and `confidence`, all 0–1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Thresholds {
    /// Below this risk a call runs.
    pub execute_below: f64,
    /// Above this risk a call waits for a person.
    pub gate_above: f64,
    /// Between the two, less confidence than this waits for a person.
    pub weak_confidence: f64,
    /// Less confidence than this always waits for a person.
    pub no_confidence: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { execute_below: 0.25, gate_above: 0.60, weak_confidence: 0.60, no_confidence: 0.35 }
    }
}

/// A resolved policy. Two policies are the same exactly when their revisions are.
#[derive(Debug, Default)]
pub struct Policy {
    pub revision: String,
    pub mode: Mode,
    pub observe_also: Vec<Watched>,
    pub profile: Profile,
    pub thresholds: Thresholds,
    pub rules: Vec<Rule>,
    /// Addresses and domains that messages are expected to go to; others raise the risk of a message.
    pub known_recipients: Option<Vec<String>>,
    /// Classes whose confirmation may travel through the agent's own client (MCP elicitation).
    pub in_band: Vec<SideEffect>,
    /// Whether the record keeps short plain arguments, for warrants to be learned from.
    pub learn: bool,
    /// Who may approve what.
    pub approvals: Vec<Approval>,
    pub crisis: CrisisRule,
}

/// A route with the rule that chose it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    pub route: Route,
    /// Id of the operator's rule, or of the built-in step.
    pub rule: Cow<'static, str>,
    pub why: Cow<'static, str>,
    /// In observe mode: the route that was not taken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub would: Option<Route>,
}

impl Ruling {
    fn new(route: Route, rule: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Self {
        Self { route, rule: rule.into(), why: why.into(), would: None }
    }
}

impl Policy {
    /// Turns what is known of a call into its route.
    pub fn route(&self, subject: &Subject<'_>, assessment: &Assessment, grant: &Grant) -> Ruling {
        let ruling = self.strict(subject, assessment, grant);
        match self.mode {
            Mode::Enforce => ruling,
            Mode::Observe => self.observed(ruling, assessment),
        }
    }

    /// Whether what an argument is can decide.
    pub fn reads_arguments(&self) -> bool {
        self.rules.iter().any(|rule| rule.matcher.reads_arguments())
    }

    /// Whether any rule speaks of requests that a server makes to the client.
    pub fn gates_server_requests(&self) -> bool {
        self.rules.iter().any(|rule| rule.matcher.may_match_server_requests())
    }

    fn strict(&self, subject: &Subject<'_>, assessment: &Assessment, grant: &Grant) -> Ruling {
        if let Grant::Refused { why } = grant {
            return Ruling::new(Route::Block, "warrant", why.clone());
        }
        let matched = self.rules.iter().find(|rule| rule.matcher.matches(subject, assessment.class));
        let forbidden = self
            .rules
            .iter()
            .find(|rule| rule.route == Route::Block && rule.matcher.matches(subject, assessment.class));
        if let Some(rule) = forbidden {
            return Ruling::new(Route::Block, rule.id.clone(), rule.reason.clone());
        }
        if must_be_confirmed(assessment) {
            return Ruling::new(Route::Gate, "crisis", "a person may be in crisis: a person confirms first");
        }
        if let Grant::Gated { why } = grant {
            return Ruling::new(Route::Gate, "warrant", why.clone());
        }
        match matched {
            Some(rule) if rule.route == Route::Review && !may_be_reviewed(assessment) => Ruling::new(
                Route::Gate,
                rule.id.clone(),
                format!("{} (review needs a declared undo, and none holds for this call)", rule.reason),
            ),
            Some(rule) => Ruling::new(rule.route, rule.id.clone(), rule.reason.clone()),
            None => self.by_threshold(assessment),
        }
    }

    fn by_threshold(&self, assessment: &Assessment) -> Ruling {
        let Thresholds { execute_below, gate_above, weak_confidence, no_confidence } = self.thresholds;
        let Assessment { class, risk_score, confidence, .. } = *assessment;
        if class == SideEffect::Critical {
            Ruling::new(Route::Gate, "critical", "critical calls wait for a person")
        } else if assessment.contested && self.profile == Profile::Strict {
            self.by_profile(Route::Gate)
        } else if assessment.contested && self.profile == Profile::Quiet && confidence >= no_confidence {
            self.by_profile(if undoable(assessment) { Route::Review } else { Route::Execute })
        } else if risk_score > gate_above {
            Ruling::new(Route::Gate, "risk", format!("risk {risk_score:.2} is above {gate_above:.2}"))
        } else if confidence < no_confidence {
            Ruling::new(
                Route::Gate,
                "confidence",
                format!(
                    "confidence {confidence:.2} is below {no_confidence:.2}: too little is known of this call"
                ),
            )
        } else if risk_score < execute_below {
            Ruling::new(Route::Execute, "risk", "the risk is below what waits or is reviewed")
        } else if confidence < weak_confidence {
            Ruling::new(
                Route::Gate,
                "confidence",
                format!("risk {risk_score:.2} with confidence {confidence:.2} below {weak_confidence:.2}"),
            )
        } else if undoable(assessment) {
            Ruling::new(Route::Review, "undo", "it can be undone: it runs now and is reviewed afterwards")
        } else {
            Ruling::new(Route::Execute, "confidence", "the risk is moderate, and enough is known of the call")
        }
    }

    fn by_profile(&self, route: Route) -> Ruling {
        let profile = self.profile.name();
        Ruling::new(route, "profile", format!("operators differ on such calls, and the profile is {profile}"))
    }

    fn observed(&self, ruling: Ruling, assessment: &Assessment) -> Ruling {
        if matches!(ruling.route, Route::Execute | Route::Review) {
            return ruling;
        }
        let held_all_the_same = (must_be_confirmed(assessment)
            && !self.observe_also.contains(&Watched::Crisis))
            || (assessment.class == SideEffect::Critical && !self.observe_also.contains(&Watched::Critical));
        if held_all_the_same {
            return ruling;
        }
        Ruling { would: Some(ruling.route), route: Route::Execute, ..ruling }
    }
}

/// Whether the declared undo is one that an operator's rule may rely on. Time to stop a call is no answer to a
/// crisis, nor to what cannot be made good.
fn may_be_reviewed(assessment: &Assessment) -> bool {
    match &assessment.undo {
        None => false,
        Some(Undo::Delay(_)) => assessment.class < SideEffect::Critical && !assessment.crisis_sensitive,
        Some(Undo::Preimage(_) | Undo::Compensate(_)) => true,
    }
}

/// Whether it is one that the built-in steps rely on.
fn undoable(assessment: &Assessment) -> bool {
    let is_undone = match &assessment.undo {
        Some(Undo::Delay(_)) => true,
        Some(Undo::Preimage(_) | Undo::Compensate(_)) => {
            assessment.class == SideEffect::LocalReversible && assessment.reversibility != Reversibility::No
        }
        None => false,
    };
    is_undone && may_be_reviewed(assessment)
}

/// The crisis rule. Nothing an operator, a warrant or a score says turns it off.
fn must_be_confirmed(assessment: &Assessment) -> bool {
    assessment.crisis_sensitive && (assessment.outbound || assessment.reversibility != Reversibility::Yes)
}

#[cfg(test)]
mod tests;
