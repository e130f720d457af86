//! What the file says of reviews: how many are looked at, how long a call can be taken back, how much is kept.

use toml::Spanned;

use super::resolve::Reader;
use super::{ConfigError, typed};
use crate::review::{Ground, Settings};

impl Reader<'_> {
    pub(super) fn review(&self, typed: &typed::Review) -> Result<Settings, ConfigError> {
        let standard = Settings::default();
        let share = match &typed.share {
            Some(share) if !(0.0..=1.0).contains(share.get_ref()) => {
                return Err(self.at(share, "review.share lies between 0 and 1"));
            }
            Some(share) => *share.get_ref(),
            None => standard.share,
        };
        let window = match &typed.window {
            Some(window) => self.duration(window, window.get_ref())?,
            None => standard.window,
        };
        Ok(Settings {
            first: typed.first.unwrap_or(standard.first),
            share,
            window,
            keep: typed.keep.unwrap_or(standard.keep),
        })
    }

    /// The files of a server. One that Herma starts shares this machine's; of another the operator says so.
    pub(super) fn files(
        &self,
        spanned: &Spanned<typed::Server>,
        started_here: Option<Ground>,
    ) -> Result<Option<Ground>, ConfigError> {
        let server = spanned.get_ref();
        if let Some(relative) = server.files.iter().flatten().find(|root| !root.is_absolute()) {
            let said = format!(
                "server `{}`: `{}` in `files` must be an absolute path",
                server.name,
                relative.display()
            );
            return Err(self.at(spanned, said));
        }
        let ground = |roots| Ground { roots, ..Ground::default() };
        Ok(match &server.files {
            Some(roots) => (!roots.is_empty()).then(|| ground(roots.clone())),
            None => started_here,
        })
    }
}
