//! Whom this machine trusts, and what was taken back here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use herma_warrant::error::ChainError;
use herma_warrant::revocation::Revocations;
use herma_warrant::verify::{Chain, Trust};

use super::key;
use super::presented::Presented;
use crate::config::{Settings, find_config};
use crate::store::Sqlite;
use crate::warrants::{Setup, Warrants};

#[derive(Debug, clap::Args)]
pub(super) struct Roots {
    /// A public key that may sign root warrants, or its file [default: those of herma.toml]
    #[arg(long, value_name = "KEY")]
    root: Vec<String>,
    /// The file that names the trusted roots [default: ./herma.toml, else ~/.config/herma/herma.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Roots {
    /// What the file says of warrants, with the roots of the flags in place of its own.
    pub(super) fn setup(&self) -> anyhow::Result<Setup> {
        let mut setup = match find_config(self.config.as_deref())? {
            Some(file) => Settings::load(&file)?.warrants,
            None => Setup::default(),
        };
        if !self.root.is_empty() {
            let verifier =
                |given: &String| key::public(given)?.verifier().map_err(|error| anyhow!("{error}"));
            setup.trust.roots = self.root.iter().map(verifier).collect::<anyhow::Result<_>>()?;
        }
        Ok(setup)
    }
}

/// Verifies as the daemon of this data directory would.
pub(super) fn verify(
    stack: &[u8],
    setup: Setup,
    data_dir: &Path,
    now: u64,
) -> anyhow::Result<Result<Arc<Chain>, ChainError>> {
    if !data_dir.join(crate::store::sqlite::FILE).exists() {
        let mut revocations = Revocations::restore(1, []);
        for (list, revoker) in &setup.lists {
            revocations.adopt(list, revoker)?;
        }
        return Ok(Chain::verify(stack, &setup.trust, &revocations, now).map(Arc::new));
    }
    let ms = i64::try_from(now).context("the clock is wrong")?.saturating_mul(1000);
    block_on(async {
        let store = Arc::new(Sqlite::open(data_dir)?);
        let warrants = Warrants::restore(store, setup, ms).await?;
        Ok(warrants.verify(stack, ms))
    })
}

/// The chain as if its root were trusted, for looking at what it would say: and the second of its life that is
/// nearest to now.
pub(super) fn suppose(presented: &Presented, now: u64) -> anyhow::Result<(Chain, u64)> {
    let root = presented.links.first().context("the stack is empty")?;
    let root = root.payload.issuer.verifier().map_err(|error| anyhow!("the issuer has {error}"))?;
    let lives = presented.links.iter().map(|link| &link.payload);
    let begins = lives.clone().map(|payload| payload.issued_at).max().unwrap_or(now);
    let ends = lives.map(|payload| payload.expires_at).min().unwrap_or(now);
    let within = now.clamp(begins, ends.saturating_sub(1).max(begins));
    let chain =
        Chain::verify(&presented.bytes, &Trust::new(vec![root]), &Revocations::restore(1, []), within)?;
    Ok((chain, within))
}

pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
