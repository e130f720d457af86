//! What the file says of notifications: channels and the ladder.

use std::path::PathBuf;
use std::sync::Arc;

use herma_scoring::SideEffect;
use hyper::Uri;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;

use super::resolve::Reader;
use super::typed::OneOrMany;
use super::{ConfigError, typed};
use crate::notify::{Channel, Detail, Kind, Quiet, Rung, Secret, Setup, SigningSecret};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedChannel {
    pub(super) name: String,
    kind: TypedKind,
    url: Spanned<String>,
    /// A file with the webhook's `whsec_` or `whsk_` secret, or with ntfy's access token.
    secret_file: Option<Spanned<PathBuf>>,
    /// The same in a variable of the environment.
    secret_env: Option<Spanned<String>>,
    #[serde(default)]
    detail: Detail,
    /// `"22:00-07:00"`
    quiet: Option<Spanned<String>>,
    /// The zone of those hours, for example `Europe/Berlin`; this machine's if not set.
    time_zone: Option<Spanned<String>>,
    /// Where the people's pages are.
    link: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TypedKind {
    Webhook,
    Ntfy,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedRung {
    #[serde(default)]
    class: OneOrMany<SideEffect>,
    #[serde(default)]
    crisis: bool,
    /// How long after the call began to wait; at once if not set.
    after: Option<Spanned<String>>,
    to: OneOrMany<String>,
}

impl Reader<'_> {
    pub(super) fn notify(&self, file: &typed::File) -> Result<Setup, ConfigError> {
        let mut channels: Vec<Arc<Channel>> = Vec::new();
        for typed in &file.notify {
            let channel = self.channel(typed)?;
            if channels.iter().any(|other| other.name == channel.name) {
                return Err(self.at(typed, format!("two channels are named `{}`", channel.name)));
            }
            channels.push(Arc::new(channel));
        }
        let known = |name: &str| channels.iter().find(|channel| *channel.name == *name);
        let mut rungs = Vec::new();
        for typed in &file.escalation {
            let rung = typed.get_ref();
            let mut to = Vec::new();
            for name in &rung.to.0 {
                let channel = known(name)
                    .ok_or_else(|| self.at(typed, format!("no [[notify]] channel is named `{name}`")))?;
                to.push(Arc::clone(&channel.name));
            }
            let after = rung.after.as_ref().map(|after| self.duration(after, after.get_ref())).transpose()?;
            rungs.push(Rung {
                after_ms: i64::try_from(after.unwrap_or_default().as_millis()).unwrap_or(i64::MAX),
                classes: rung.class.0.iter().map(|class| class.name().to_owned()).collect(),
                crisis: rung.crisis,
                to,
            });
        }
        let checkpoints = match &file.ledger.push_checkpoints {
            None => None,
            Some(name) => match known(name.get_ref()) {
                Some(channel) if matches!(channel.kind, Kind::Webhook(_)) => Some(Arc::clone(&channel.name)),
                _ => {
                    let said = format!(
                        "ledger.push_checkpoints names `{}`, which is no [[notify]] channel of kind \"webhook\"",
                        name.get_ref()
                    );
                    return Err(self.at(name, said));
                }
            },
        };
        Ok(Setup { channels, rungs, checkpoints })
    }

    fn channel(&self, spanned: &Spanned<TypedChannel>) -> Result<Channel, ConfigError> {
        let typed = spanned.get_ref();
        let name = typed.name.as_str();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            let said = format!("channel name `{name}`: use 1 to 64 letters, digits, `-` or `_`");
            return Err(self.at(spanned, said));
        }
        let url = self.url(&typed.url)?;
        let secret = self.secret(spanned)?;
        let kind = match (typed.kind, secret) {
            (TypedKind::Webhook, Some(secret)) => SigningSecret::read(secret.expose())
                .map(Kind::Webhook)
                .map_err(|error| self.at(spanned, format!("channel `{name}`: {error}")))?,
            (TypedKind::Webhook, None) => {
                let said =
                    format!("channel `{name}` needs `secret_file` or `secret_env`: its messages are signed");
                return Err(self.at(spanned, said));
            }
            (TypedKind::Ntfy, token) => {
                let topic = url.path().rsplit('/').next().unwrap_or_default();
                if topic.is_empty() || url.query().is_some() {
                    let said =
                        format!("channel `{name}`: the URL ends in the topic, as https://ntfy.sh/my-topic");
                    return Err(self.at(&typed.url, said));
                }
                Kind::Ntfy { topic: topic.to_owned(), token }
            }
        };
        if let Some(link) = &typed.link {
            self.url(link)?;
        }
        Ok(Channel {
            name: name.into(),
            kind,
            url,
            detail: typed.detail,
            quiet: typed
                .quiet
                .as_ref()
                .map(|quiet| self.quiet(quiet, typed.time_zone.as_ref()))
                .transpose()?,
            link: typed.link.as_ref().map(|link| link.get_ref().clone()),
        })
    }

    fn secret(&self, spanned: &Spanned<TypedChannel>) -> Result<Option<Secret>, ConfigError> {
        use std::os::unix::fs::PermissionsExt;
        let typed = spanned.get_ref();
        match (&typed.secret_file, &typed.secret_env) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                Err(self
                    .at(spanned, format!("channel `{}`: one of `secret_file` and `secret_env`", typed.name)))
            }
            (Some(file), None) => {
                let path = self.beside(file.get_ref());
                let wrong =
                    |error: std::io::Error| self.at(file, format!("cannot read {}: {error}", path.display()));
                let mode = std::fs::metadata(&path).map_err(wrong)?.permissions().mode();
                if mode & 0o077 != 0 {
                    let said =
                        format!("others can read {} (mode {:o}): chmod 600 it", path.display(), mode & 0o777);
                    return Err(self.at(file, said));
                }
                Ok(Some(Secret::new(&std::fs::read_to_string(&path).map_err(wrong)?)))
            }
            (None, Some(variable)) => {
                let value = std::env::var(variable.get_ref()).map_err(|_| {
                    self.at(variable, format!("${} is not set in the environment", variable.get_ref()))
                })?;
                Ok(Some(Secret::new(&value)))
            }
        }
    }

    fn quiet(&self, typed: &Spanned<String>, zone: Option<&Spanned<String>>) -> Result<Quiet, ConfigError> {
        let hours = typed.get_ref().split_once('-').and_then(|(from, to)| {
            let time = |text: &str| text.trim().parse::<Time>().ok();
            Some((time(from)?, time(to)?))
        });
        let (from, to) = hours.filter(|(from, to)| from != to).ok_or_else(|| {
            self.at(typed, format!("`{}` are no hours: write for example \"22:00-07:00\"", typed.get_ref()))
        })?;
        let zone = match zone {
            None => TimeZone::system(),
            Some(name) => TimeZone::get(name.get_ref())
                .map_err(|error| self.at(name, format!("`{}` is no time zone: {error}", name.get_ref())))?,
        };
        Ok(Quiet { from, to, zone })
    }

    pub(super) fn url(&self, typed: &Spanned<String>) -> Result<Uri, ConfigError> {
        let text = typed.get_ref();
        let url: Option<Uri> = text.parse().ok();
        let url =
            url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some());
        let url = url.ok_or_else(|| self.at(typed, format!("`{text}` is no http:// or https:// URL")))?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(self.at(typed, "a URL must not carry a password: use `secret_file` or `secret_env`"));
        }
        Ok(url)
    }
}
