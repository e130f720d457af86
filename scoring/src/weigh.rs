//! From findings to numbers: factors, noisy-or, floors, confidence, and the reasons for each.

use std::sync::Arc;

use crate::rules::{Effect, Model, Rule};
use crate::{Assessment, Reason, Reversibility, SideEffect, Undo};

/// Where a rule matched: JSON pointer of the argument and byte range in its text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pointer: Option<Arc<str>>,
    span: Option<(usize, usize)>,
    fixed: bool,
}

impl Place {
    pub(crate) fn at(pointer: &str) -> Self {
        Self { pointer: Some(Arc::from(pointer)), ..Self::default() }
    }

    pub(crate) fn span(&self, span: (usize, usize)) -> Self {
        if self.fixed {
            return self.clone();
        }
        Self { span: Some(span), ..self.clone() }
    }

    /// The same place for what is read inside it: offsets in an inner text are none in the argument.
    pub(crate) fn fix(&self) -> Self {
        Self { fixed: true, ..self.clone() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Factor {
    SideEffect,
    Target,
    Irreversibility,
    HumanImpact,
    BlastRadius,
}

const FACTORS: [Factor; 5] =
    [Factor::SideEffect, Factor::Target, Factor::Irreversibility, Factor::HumanImpact, Factor::BlastRadius];

impl Factor {
    fn name(self) -> &'static str {
        match self {
            Self::SideEffect => "side_effect",
            Self::Target => "target",
            Self::Irreversibility => "irreversibility",
            Self::HumanImpact => "human_impact",
            Self::BlastRadius => "blast_radius",
        }
    }

    fn weight(self, model: &Model) -> f64 {
        match self {
            Self::SideEffect => model.weights.side_effect,
            Self::Target => model.weights.target,
            Self::Irreversibility => model.weights.irreversibility,
            Self::HumanImpact => model.weights.human_impact,
            Self::BlastRadius => model.weights.blast_radius,
        }
    }
}

/// What holds a call for a person whatever else is said of it, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Gravity {
    crisis: bool,
    critical: bool,
    floor: f64,
}

impl Gravity {
    pub(crate) const NONE: Self = Self { crisis: false, critical: false, floor: 0.0 };

    pub(crate) fn of(effect: &Effect) -> Self {
        Self { crisis: effect.crisis, critical: effect.class == SideEffect::Critical, floor: effect.floor }
    }

    pub(crate) fn crisis(self) -> bool {
        self.crisis
    }
}

#[derive(Debug)]
struct Finding<'r> {
    rule: &'r Rule,
    place: Place,
}

/// Everything the readers found in one call.
#[derive(Debug)]
pub(crate) struct Findings<'r> {
    model: &'r Model,
    found: Vec<Finding<'r>>,
    doubts: Vec<(&'r Rule, f64, Place)>,
    class: SideEffect,
    outbound: bool,
    /// Words go with it to another machine, though it only reads.
    pub(crate) speaks: bool,
    crisis: Option<(&'r Rule, Place)>,
    pub(crate) undo: Option<Undo>,
}

impl<'r> Findings<'r> {
    pub(crate) fn new(model: &'r Model) -> Self {
        Self {
            model,
            found: Vec::with_capacity(4),
            doubts: Vec::new(),
            class: SideEffect::ReadOnly,
            outbound: false,
            speaks: false,
            crisis: None,
            undo: None,
        }
    }

    pub(crate) fn add(&mut self, rule: &'r Rule, place: Place) {
        self.class = self.class.max(rule.effect.class);
        self.outbound |= rule.effect.outbound;
        if rule.effect.crisis {
            self.mark_crisis(rule, place.clone());
        }
        if let Some(cap) = rule.effect.confidence {
            self.doubt(rule, cap, place.clone());
        }
        self.found.push(Finding { rule, place });
    }

    /// Bounds the confidence from above.
    pub(crate) fn doubt(&mut self, rule: &'r Rule, cap: f64, place: Place) {
        if !self.doubts.iter().any(|(known, bound, _)| known.id == rule.id && *bound <= cap) {
            self.doubts.push((rule, cap, place));
        }
    }

    pub(crate) fn mark_crisis(&mut self, rule: &'r Rule, place: Place) {
        self.crisis.get_or_insert((rule, place));
    }

    /// Whether a person would be asked because of these findings alone.
    pub(crate) fn decisive(&self) -> bool {
        self.class == SideEffect::Critical
            || self.crisis.is_some()
            || self.found.iter().any(|finding| finding.rule.effect.floor > 0.0)
    }

    /// The gravest finding, and its rule.
    pub(crate) fn gravest(&self) -> (Gravity, String) {
        let mut gravest = (Gravity::NONE, String::new());
        for finding in &self.found {
            let gravity = Gravity::of(&finding.rule.effect);
            if gravity > gravest.0 {
                gravest = (gravity, finding.rule.id.clone());
            }
        }
        if let Some((rule, _)) = &self.crisis
            && !gravest.0.crisis
        {
            gravest = (Gravity { crisis: true, ..gravest.0 }, rule.id.clone());
        }
        gravest
    }

    /// The same findings at `pointer`, which holds the arguments they were found in.
    pub(crate) fn within(mut self, pointer: &str) -> Self {
        let places = self.found.iter_mut().map(|finding| &mut finding.place);
        let places = places.chain(self.doubts.iter_mut().map(|(.., place)| place));
        for place in places.chain(self.crisis.iter_mut().map(|(_, place)| place)) {
            *place = Place { pointer: Some(Arc::from(pointer)), span: None, fixed: true };
        }
        self
    }

    /// Adds everything found elsewhere.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.class = self.class.max(other.class);
        self.outbound |= other.outbound;
        self.speaks |= other.speaks;
        self.found.extend(other.found);
        self.doubts.extend(other.doubts);
        if self.crisis.is_none() {
            self.crisis = other.crisis;
        }
    }

    /// The least of the bounds on confidence so far.
    pub(crate) fn certainty(&self) -> f64 {
        self.doubts.iter().fold(1.0, |least, (_, cap, _)| cap.min(least))
    }

    pub(crate) fn class(&self) -> SideEffect {
        self.class
    }

    pub(crate) fn outbound(&self) -> bool {
        self.outbound
    }

    pub(crate) fn crisis(&self) -> bool {
        self.crisis.is_some()
    }

    /// What it does is known only when it runs.
    fn is_opaque(&self) -> bool {
        let acts = |effect: &Effect| effect.class > SideEffect::ReadOnly && effect.confidence.is_some();
        self.found.iter().any(|finding| acts(&finding.rule.effect))
    }

    /// While somebody is in crisis: what may carry words to a person counts as doing so, and what cannot be undone
    /// waits with it.
    pub(crate) fn latch(&mut self, rule: &'r Rule) {
        if self.crisis.is_none() && (self.outbound || self.irreversible() || self.speaks || self.is_opaque())
        {
            self.outbound |= self.speaks || self.is_opaque();
            self.mark_crisis(rule, Place::default());
        }
    }

    pub(crate) fn irreversible(&self) -> bool {
        self.reversibility() != Reversibility::Yes
    }

    pub(crate) fn reversibility(&self) -> Reversibility {
        self.found.iter().map(|finding| finding.rule.effect.undone).max().unwrap_or(Reversibility::Yes)
    }

    /// Ids of the rules that spoke, for the examples in the packs.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &'r str> {
        let doubts = self.doubts.iter().map(|(rule, ..)| rule.id.as_str());
        let crisis = self.crisis.iter().map(|(rule, _)| rule.id.as_str());
        self.found.iter().map(|finding| finding.rule.id.as_str()).chain(doubts).chain(crisis)
    }

    /// Noisy-or over the strongest finding of each factor, raised to the highest floor.
    pub(crate) fn settle(self) -> Assessment {
        let reversibility = self.reversibility();
        let strongest = FACTORS.map(|factor| self.strongest(factor));
        let log = |weighted: f64| (1.0 - weighted.min(0.999_999)).ln();
        let total: f64 = strongest.iter().flatten().map(|(_, weighted, _)| log(*weighted)).sum();
        let noisy = 1.0 - total.exp();
        let mut reasons: Vec<Reason> = strongest
            .iter()
            .flatten()
            .map(|(factor, weighted, finding)| {
                reason(finding.rule, factor.name(), noisy * log(*weighted) / total, &finding.place)
            })
            .collect();

        let floor = self.found.iter().max_by(|a, b| a.rule.effect.floor.total_cmp(&b.rule.effect.floor));
        let mut risk = noisy;
        if let Some(finding) = floor
            && finding.rule.effect.floor > risk
        {
            risk = finding.rule.effect.floor;
            reasons.push(reason(finding.rule, "floor", risk - noisy, &finding.place));
        }
        if let Some((rule, place)) = &self.crisis {
            reasons.push(reason(rule, "crisis", 1.0 - risk, place));
            risk = 1.0;
        }
        let mut confidence = 1.0_f64;
        let mut doubts = self.doubts;
        doubts.sort_by(|a, b| a.1.total_cmp(&b.1));
        for (rule, cap, place) in &doubts {
            confidence = confidence.min(*cap);
            reasons.push(reason(rule, "certainty", 1.0 - cap, place));
        }
        reasons.sort_by(|a, b| {
            (a.factor == "certainty").cmp(&(b.factor == "certainty")).then(b.points.total_cmp(&a.points))
        });
        let decisive = self.crisis.is_some()
            || self.found.iter().any(|finding| {
                let effect = &finding.rule.effect;
                effect.floor > 0.0 || effect.breadth > 0.0
            });
        // On a critical call and on one that nobody understands there is no room for taste.
        let band = &self.model.contested;
        let decisive = decisive || self.class == SideEffect::Critical || confidence < band.confidence;
        Assessment {
            contested: !decisive && (band.from..=band.to).contains(&risk),
            class: self.class,
            reversibility,
            risk_score: risk.clamp(0.0, 1.0),
            confidence: confidence.clamp(0.0, 1.0),
            outbound: self.outbound,
            crisis_sensitive: self.crisis.is_some(),
            reasons,
            undo: self.undo,
            pack_digest: String::new(),
        }
    }

    fn strongest(&self, factor: Factor) -> Option<(Factor, f64, &Finding<'r>)> {
        let weight = factor.weight(self.model);
        let mut best: Option<(Factor, f64, &Finding<'r>)> = None;
        for finding in &self.found {
            let weighted = weight * self.value(factor, finding.rule);
            if weighted > best.as_ref().map_or(0.0, |(_, known, _)| *known) {
                best = Some((factor, weighted, finding));
            }
        }
        best
    }

    fn value(&self, factor: Factor, rule: &Rule) -> f64 {
        let effect = &rule.effect;
        match factor {
            Factor::SideEffect => effect.prior.unwrap_or_else(|| prior(self.model, effect.class)),
            Factor::Target => effect.target,
            Factor::Irreversibility => match effect.undone {
                Reversibility::Yes => self.model.irreversibility.yes,
                Reversibility::Partial => self.model.irreversibility.partial,
                Reversibility::No => self.model.irreversibility.no,
            },
            Factor::HumanImpact => effect.harm,
            Factor::BlastRadius => effect.breadth,
        }
    }
}

fn prior(model: &Model, class: SideEffect) -> f64 {
    match class {
        SideEffect::ReadOnly => model.prior.read_only,
        SideEffect::LocalReversible => model.prior.local_reversible,
        SideEffect::External => model.prior.external,
        SideEffect::Critical => model.prior.critical,
    }
}

fn reason(rule: &Rule, factor: &str, points: f64, place: &Place) -> Reason {
    Reason {
        rule: rule.id.clone(),
        text: rule.reason.clone(),
        factor: factor.to_owned(),
        points,
        pointer: place.pointer.as_deref().map(str::to_owned),
        span: place.span,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::Rules;

    static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::shipped().unwrap());

    const CLASSES: [SideEffect; 4] =
        [SideEffect::ReadOnly, SideEffect::LocalReversible, SideEffect::External, SideEffect::Critical];
    const UNDONE: [Reversibility; 3] = [Reversibility::Yes, Reversibility::Partial, Reversibility::No];

    prop_compose! {
        fn rule()(
            class in prop::sample::select(CLASSES.to_vec()), undone in prop::sample::select(UNDONE.to_vec()),
            prior in prop::option::of(0.0..=1.0_f64), target in 0.0..=1.0_f64, harm in 0.0..=1.0_f64,
            breadth in 0.0..=1.0_f64, floor in 0.0..=1.0_f64, outbound: bool, crisis in prop::bool::weighted(0.1),
            confidence in prop::option::of(0.0..=1.0_f64),
        ) -> Rule {
            let effect = Effect { class, prior, undone, target, harm, breadth, floor, outbound, crisis, confidence };
            Rule { id: format!("{class:?} {floor}"), reason: String::new(), effect }
        }
    }

    fn settled(rules: &[Rule], model: &Model) -> Assessment {
        let mut findings = Findings::new(model);
        for rule in rules {
            findings.add(rule, Place::default());
        }
        findings.settle()
    }

    proptest! {
        #[test]
        fn a_finding_more_never_makes_a_call_safer(known in prop::collection::vec(rule(), 0..6), more in rule()) {
            let model = &RULES.model;
            let before = settled(&known, model);
            let after = settled(&[known, vec![more]].concat(), model);
            prop_assert!(after.risk_score >= before.risk_score - 1e-12, "{} -> {}", before.risk_score, after.risk_score);
            prop_assert!(after.confidence <= before.confidence + 1e-12);
            prop_assert!(after.class >= before.class && after.reversibility >= before.reversibility);
            prop_assert!(after.outbound >= before.outbound && after.crisis_sensitive >= before.crisis_sensitive);
        }

        #[test]
        fn the_order_of_findings_changes_nothing(known in prop::collection::vec(rule(), 0..6)) {
            let model = &RULES.model;
            let there = settled(&known, model);
            let back = settled(&known.iter().rev().cloned().collect::<Vec<_>>(), model);
            prop_assert!((there.risk_score - back.risk_score).abs() < 1e-12);
            prop_assert_eq!((there.class, there.confidence, there.contested), (back.class, back.confidence, back.contested));
        }

        #[test]
        fn the_points_of_the_reasons_sum_to_the_risk(known in prop::collection::vec(rule(), 0..6)) {
            let model = &RULES.model;
            let found = settled(&known, model);
            let points: f64 = found.reasons.iter().filter(|r| r.factor != "certainty").map(|r| r.points).sum();
            prop_assert!((points - found.risk_score).abs() < 1e-9, "{points} {}", found.risk_score);
        }
    }
}
