//! What the file says of who may approve what, and of a crisis that may be the operator's own.

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::resolve::Reader;
use super::typed::{Holds, OneOrMany};
use crate::gate::Times;
use crate::policy::{Approval, CrisisRule, Matcher, Method};
use herma_scoring::SideEffect;

/// More people than this nobody asks for one call.
const MOST: u32 = 16;

/// One `[[approval]]`: which calls, and what it takes to approve them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Typed {
    #[serde(default)]
    class: OneOrMany<SideEffect>,
    crisis: Option<bool>,
    server: Option<String>,
    tool: Option<String>,
    /// Approvals by different people.
    quorum: Option<u32>,
    /// The weakest method that may approve.
    method: Option<Word>,
    approvers: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Terminal,
    Session,
    Passkey,
}

/// `[crisis]`: whether Herma serves one person, who may be the one in crisis, and who speaks then.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Crisis {
    personal: bool,
    second_person: OneOrMany<String>,
    /// The country whose lines are shown to the operator, by its ISO 3166 code.
    region: Option<Spanned<String>>,
    /// What whoever would otherwise get no answer is sent.
    pub(super) fixed_text: Option<String>,
}

impl Reader<'_> {
    pub(super) fn approvals(&self, typed: &[Spanned<Typed>]) -> Result<Vec<Approval>, ConfigError> {
        typed.iter().map(|spanned| self.approval(spanned)).collect()
    }

    fn approval(&self, spanned: &Spanned<Typed>) -> Result<Approval, ConfigError> {
        let Typed { class, crisis, server, tool, quorum, method, approvers } = spanned.get_ref();
        let quorum = quorum.unwrap_or(1);
        if !(1..=MOST).contains(&quorum) {
            return Err(self.at(spanned, format!("quorum is {quorum}: it lies between 1 and {MOST}")));
        }
        if let Some(named) = approvers
            && (named.len() as u64) < u64::from(quorum)
        {
            let said = format!("{quorum} people must approve and {} are named: nobody could", named.len());
            return Err(self.at(spanned, said));
        }
        let matcher = Matcher::default()
            .classes(class.0.clone())
            .server(server.as_deref())
            .and_then(|matcher| matcher.tool(tool.as_deref()))
            .map_err(|error| self.at(spanned, error.to_string()))?;
        let method = method.map(|word| match word {
            Word::Terminal => Method::Terminal,
            Word::Session => Method::Session,
            Word::Passkey => Method::Passkey,
        });
        let classes = class.0.iter().map(|class| class.name()).collect::<Vec<_>>().join(" or ");
        let named = [("server ", server), ("tool ", tool)];
        let named = named.into_iter().filter_map(|(kind, name)| Some(format!("{kind}{}", name.as_ref()?)));
        let parts: Vec<_> =
            Some(classes).filter(|classes| !classes.is_empty()).into_iter().chain(named).collect();
        let of = if parts.is_empty() { "every call".to_owned() } else { parts.join(", ") };
        Ok(Approval { of, matcher, crisis: *crisis, quorum, method, approvers: approvers.clone() })
    }

    pub(super) fn crisis(&self, typed: &Crisis) -> Result<CrisisRule, ConfigError> {
        let Crisis { personal, second_person, region, .. } = typed;
        if let Some(spanned) = region
            && !(spanned.get_ref().len() == 2
                && spanned.get_ref().bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            return Err(self.at(spanned, "a region is the two capital letters of a country: \"US\", \"DE\""));
        }
        let region = region.as_ref().map(|spanned| spanned.get_ref().clone());
        Ok(CrisisRule { personal: *personal, second_person: second_person.0.clone(), region })
    }

    pub(super) fn times(&self, typed: &Holds) -> Result<Times, ConfigError> {
        let standard = Times::default();
        let read = |spanned: &Option<Spanned<String>>, standard| match spanned {
            Some(spanned) => self.duration(spanned, spanned.get_ref()),
            None => Ok(standard),
        };
        let most = |spanned: &Option<Spanned<usize>>, standard| match spanned {
            Some(spanned) if !(1..=10_000).contains(spanned.get_ref()) => {
                Err(self.at(spanned, "so many calls cannot wait: write a number between 1 and 10000"))
            }
            Some(spanned) => Ok(*spanned.get_ref()),
            None => Ok(standard),
        };
        Ok(Times {
            expire: read(&typed.expire, standard.expire)?,
            ticket: read(&typed.ticket, standard.ticket)?,
            per_session: most(&typed.per_session, standard.per_session)?,
            per_agent: most(&typed.per_agent, standard.per_agent)?,
        })
    }
}
