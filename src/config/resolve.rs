//! From what was typed to what is meant.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use toml::Spanned;

use super::packs::{self, Pack};
use super::{Agent, ConfigError, Listen, Server, Settings, Upstream, typed};
use crate::call::Digest;
use crate::policy::{Matcher, Policy, Rule, Thresholds};
use crate::review::Ground;

const DEFAULT_AGENT: &str = "127.0.0.1:7420";
const DEFAULT_FRAME: u64 = 16 << 20;

pub(super) fn resolve(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    let reader = Reader { path, text };
    let file: typed::File = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        reader.wrong(offset, error.message())
    })?;
    let agents = reader.agents(&file.agent)?;
    let listen = reader.listen(&file.listen, !agents.is_empty())?;
    Ok(Settings {
        file: Some(path.to_owned()),
        listen,
        operator: reader.operator(&file.operator)?,
        servers: reader.servers(&file.server)?,
        agents,
        policy: reader.policy(&file)?,
        packs: reader.packs(&file.rule_packs, &file.trusted_packs)?,
        times: reader.times(&file.holds)?,
        warrants: reader.warrants(&file)?,
        notify: reader.notify(&file)?,
        telemetry: reader.telemetry(&file.telemetry)?,
        retention: reader.retention(&file.ledger)?,
        review: reader.review(&file.review)?,
        crisis: super::Crisis { fixed_text: file.crisis.fixed_text.clone() },
        frame_limit: reader.frame_limit(file.limits.frame.as_ref())?,
        agentguard: reader.agentguard(&file.agentguard)?,
        sandbox: file.sandbox,
    })
}

/// The policy of a file that nobody uses yet. Reads nothing else, neither of the file nor of the disk.
pub(super) fn draft(text: &str) -> Result<Policy, ConfigError> {
    let reader = Reader { path: Path::new("draft"), text };
    let file: typed::File = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        reader.wrong(offset, error.message())
    })?;
    reader.policy(&file)
}

pub(super) struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, offset: usize, message: impl Into<String>) -> ConfigError {
        let line = 1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        ConfigError::Wrong { path: self.path.to_owned(), line, message: message.into() }
    }

    pub(super) fn at<T>(&self, spanned: &Spanned<T>, message: impl Into<String>) -> ConfigError {
        self.wrong(spanned.span().start, message)
    }

    /// Names in the file are relative to it.
    pub(super) fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new(".")).join(path)
    }

    fn listen(&self, typed: &typed::Listen, has_agents: bool) -> Result<Listen, ConfigError> {
        let offset = typed.agent.as_ref().map_or(0, |agent| agent.span().start);
        let text = typed.agent.as_ref().map_or(DEFAULT_AGENT, |agent| agent.get_ref());
        let agent: SocketAddr = text.parse().map_err(|_| {
            self.wrong(offset, format!("`{text}` is no address: write IP:PORT, for example {DEFAULT_AGENT}"))
        })?;
        if !agent.ip().is_loopback() && !has_agents {
            return Err(self.wrong(
                offset,
                format!(
                    "`{text}` can be reached from other machines: add an [[agent]] with a token \
                     (`herma agent NAME` makes one), or listen on 127.0.0.1"
                ),
            ));
        }
        Ok(Listen {
            agent,
            hosts: typed.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            anonymous: typed.anonymous.unwrap_or(!has_agents),
        })
    }

    fn servers(&self, typed: &[Spanned<typed::Server>]) -> Result<Vec<Server>, ConfigError> {
        let mut servers: Vec<Server> = Vec::new();
        for spanned in typed {
            let server = self.server(spanned)?;
            if servers.iter().any(|other| other.name == server.name) {
                return Err(self.at(spanned, format!("two servers are named `{}`", server.name)));
            }
            servers.push(server);
        }
        Ok(servers)
    }

    fn server(&self, spanned: &Spanned<typed::Server>) -> Result<Server, ConfigError> {
        let typed = spanned.get_ref();
        let name = &typed.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) || name.starts_with('.') {
            return Err(self.at(
                spanned,
                format!("server name `{name}` stands in a URL: use 1 to 64 letters, digits, `-`, `_` or `.`"),
            ));
        }
        let upstream = match (&typed.command, &typed.url) {
            (Some(command), None) => {
                if !typed.headers.is_empty() {
                    return Err(
                        self.at(spanned, format!("server `{name}`: `headers` go with `url`, not `command`"))
                    );
                }
                Upstream::Process {
                    command: command.clone(),
                    args: typed.args.clone(),
                    env: self.expand_all(spanned, &typed.env)?,
                    cwd: typed.cwd.clone(),
                }
            }
            (None, Some(url)) => {
                if !typed.args.is_empty() || !typed.env.is_empty() || typed.cwd.is_some() {
                    return Err(self.at(
                        spanned,
                        format!("server `{name}`: `args`, `env` and `cwd` go with `command`, not `url`"),
                    ));
                }
                self.http(spanned, url, &typed.headers)?
            }
            _ => {
                return Err(self.at(
                    spanned,
                    format!(
                        "server `{name}` needs exactly one of `command` (Herma starts it) and `url` (it runs)"
                    ),
                ));
            }
        };
        let hold_budget =
            typed.hold_budget.as_deref().map(|text| self.duration(spanned, text)).transpose()?;
        let started_here = match &upstream {
            Upstream::Process { command, args, .. } => {
                Ground::of_command(std::iter::once(command).chain(args).map(OsStr::new))
            }
            Upstream::Http { .. } => None,
        };
        Ok(Server {
            name: name.clone(),
            files: self.files(spanned, started_here)?,
            upstream,
            denial: typed.denial,
            hold_budget,
            trusted: typed.trusted,
            forward_warrant: typed.forward_warrant,
        })
    }

    fn http(
        &self,
        spanned: &Spanned<typed::Server>,
        url: &str,
        headers: &BTreeMap<String, String>,
    ) -> Result<Upstream, ConfigError> {
        let wrong = || self.at(spanned, format!("`{url}` is no http:// or https:// URL"));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(wrong());
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(self.at(spanned, "a URL must not carry a password: use `headers`"));
        }
        let mut pairs = Vec::new();
        for (name, value) in self.expand_all(spanned, headers)? {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| self.at(spanned, format!("`{name}` is no header name")))?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| {
                self.at(spanned, format!("the value of header `{name}` has characters no header may have"))
            })?;
            value.set_sensitive(true);
            pairs.push((header, value));
        }
        Ok(Upstream::Http { url: uri, headers: pairs })
    }

    /// Replaces `${NAME}` by the environment's value, so that secrets need not stand in the file.
    fn expand_all(
        &self,
        spanned: &Spanned<typed::Server>,
        values: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        values
            .iter()
            .map(|(key, value)| {
                let expanded = expand(value, |name| std::env::var(name).ok()).map_err(|name| {
                    self.at(
                        spanned,
                        format!("`{key}` names ${{{name}}}, which is not set in the environment"),
                    )
                })?;
                Ok((key.clone(), expanded))
            })
            .collect()
    }

    fn agents(&self, typed: &[Spanned<typed::Agent>]) -> Result<Vec<Agent>, ConfigError> {
        let mut agents: Vec<Agent> = Vec::new();
        for spanned in typed {
            let agent = spanned.get_ref();
            let token = Digest::from_hex(&agent.token_sha256).ok_or_else(|| {
                self.at(
                    spanned,
                    format!(
                        "agent `{}`: token_sha256 must be 64 hex digits; `herma agent {0}` makes one",
                        agent.name
                    ),
                )
            })?;
            if agent.name.is_empty() || agents.iter().any(|other| other.name == agent.name) {
                return Err(self.at(spanned, format!("agent name `{}` is empty or used twice", agent.name)));
            }
            agents.push(Agent { name: agent.name.clone(), token });
        }
        Ok(agents)
    }

    fn policy(&self, file: &typed::File) -> Result<Policy, ConfigError> {
        let typed::File { policy: typed, rule: rules, approval, crisis, ledger, .. } = file;
        let (typed, learn) = (typed.as_ref(), ledger.learn);
        let policy = typed.map(|typed| typed.get_ref().clone()).unwrap_or_default();
        let offset = typed.map_or(0, |typed| typed.span().start);
        let standard = Thresholds::default();
        let thresholds = Thresholds {
            execute_below: policy.execute_below.unwrap_or(standard.execute_below),
            gate_above: policy.gate_above.unwrap_or(standard.gate_above),
            weak_confidence: policy.weak_confidence.unwrap_or(standard.weak_confidence),
            no_confidence: policy.no_confidence.unwrap_or(standard.no_confidence),
        };
        let all = [
            ("execute_below", thresholds.execute_below),
            ("gate_above", thresholds.gate_above),
            ("weak_confidence", thresholds.weak_confidence),
            ("no_confidence", thresholds.no_confidence),
        ];
        if let Some((name, value)) = all.into_iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            return Err(self.wrong(offset, format!("policy.{name} is {value}: it must lie between 0 and 1")));
        }
        if thresholds.execute_below > thresholds.gate_above {
            return Err(
                self.wrong(offset, "policy.execute_below is above policy.gate_above: no call could be both")
            );
        }
        let mut resolved: Vec<Rule> = Vec::new();
        for spanned in rules {
            let rule = self.rule(spanned)?;
            if resolved.iter().any(|other| other.id == rule.id) {
                return Err(self.at(spanned, format!("two rules have the id `{}`", rule.id)));
            }
            resolved.push(rule);
        }
        let typed_rules: Vec<_> = rules.iter().map(Spanned::get_ref).collect();
        let typed_approvals: Vec<_> = approval.iter().map(Spanned::get_ref).collect();
        Ok(Policy {
            revision: Digest::of(
                format!("{policy:?}{typed_rules:?}{typed_approvals:?}{crisis:?}{learn}").as_bytes(),
            )
            .short(),
            mode: policy.mode,
            observe_also: policy.observe_also,
            profile: policy.profile,
            known_recipients: policy.known_recipients,
            thresholds,
            rules: resolved,
            in_band: policy.in_band,
            learn,
            approvals: self.approvals(approval)?,
            crisis: self.crisis(crisis)?,
        })
    }

    fn rule(&self, spanned: &Spanned<typed::Rule>) -> Result<Rule, ConfigError> {
        let typed = spanned.get_ref();
        if typed.id.is_empty() {
            return Err(self.at(spanned, "a rule needs an `id`: the record names it"));
        }
        let wrong =
            |error: crate::policy::MatcherError| self.at(spanned, format!("rule `{}`: {error}", typed.id));
        let mut matcher = Matcher::default()
            .kinds(typed.kind.0.iter().copied().map(Into::into).collect())
            .classes(typed.class.0.clone())
            .server(typed.server.as_deref())
            .and_then(|matcher| matcher.tool(typed.tool.as_deref()))
            .and_then(|matcher| matcher.principal(typed.principal.as_deref()))
            .and_then(|matcher| matcher.session(typed.session.as_deref()))
            .map_err(wrong)?;
        for (pointer, pattern) in &typed.arguments {
            matcher = matcher.argument(pointer, pattern).map_err(wrong)?;
        }
        for (pointer, limit) in &typed.above {
            matcher = matcher.above(pointer, *limit).map_err(wrong)?;
        }
        let reason =
            if typed.reason.is_empty() { format!("rule {}", typed.id) } else { typed.reason.clone() };
        Ok(Rule { id: typed.id.clone(), matcher, route: typed.route, reason })
    }

    fn packs(
        &self,
        places: &[Spanned<PathBuf>],
        trusted: &[Spanned<String>],
    ) -> Result<Vec<Pack>, ConfigError> {
        let keys = trusted.iter().map(|typed| {
            packs::public_key(typed.get_ref()).ok_or_else(|| {
                self.at(
                    typed,
                    "a key of trusted_packs has 64 hex digits: `herma rules keygen FILE` makes one",
                )
            })
        });
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        let mut all = Vec::new();
        for place in places {
            let read = packs::read(&self.beside(place.get_ref()), &keys);
            all.extend(read.map_err(|error| self.at(place, format!("rule pack: {error}")))?);
        }
        Ok(all)
    }

    pub(super) fn duration<T>(&self, spanned: &Spanned<T>, text: &str) -> Result<Duration, ConfigError> {
        text.parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .filter(|duration| !duration.is_zero())
            .ok_or_else(|| {
                self.at(
                    spanned,
                    format!("`{text}` is no length of time: write for example \"50s\" or \"15m\""),
                )
            })
    }

    fn frame_limit(&self, typed: Option<&Spanned<u64>>) -> Result<usize, ConfigError> {
        let Some(spanned) = typed else { return Ok(DEFAULT_FRAME as usize) };
        usize::try_from(*spanned.get_ref())
            .ok()
            .filter(|bytes| (1024..=1 << 30).contains(bytes))
            .ok_or_else(|| self.at(spanned, "limits.frame is in bytes and lies between 1024 and 1073741824"))
    }
}

/// `Err` carries the name that is not set.
fn expand(text: &str, look_up: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        expanded.push_str(before);
        expanded.push_str(&look_up(name).ok_or_else(|| name.to_owned())?);
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}
