//! The salts that keep argument digests in the ledger from being guessed back: one to a day, so that a day can be
//! made unreadable by forgetting its salt.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::store::{Store, StoreError};

const DAY_MS: i64 = 86_400_000;

/// The salts of today and tomorrow.
pub struct Salts {
    store: Arc<dyn Store>,
    near: ArcSwap<[(i64, [u8; 32]); 2]>,
}

impl std::fmt::Debug for Salts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Salts").finish_non_exhaustive()
    }
}

/// No salt could be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum SaltError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no randomness from the operating system: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl Salts {
    pub async fn restore(store: Arc<dyn Store>, now: i64) -> Result<Self, SaltError> {
        let near = near(&*store, now).await?;
        Ok(Self { store, near: ArcSwap::from_pointee(near) })
    }

    /// Makes ready for tomorrow. Called now and then; the salts of a day never change.
    pub async fn keep_up(&self, now: i64) -> Result<(), SaltError> {
        if self.near.load().first().is_some_and(|(day, _)| *day == now.div_euclid(DAY_MS)) {
            return Ok(());
        }
        self.near.store(Arc::new(near(&*self.store, now).await?));
        Ok(())
    }

    /// The salt of the day of `at`; should nobody have kept up, the nearest one.
    pub(super) fn of(&self, at: i64) -> [u8; 32] {
        let [today, tomorrow] = **self.near.load();
        if at.div_euclid(DAY_MS) >= tomorrow.0 { tomorrow.1 } else { today.1 }
    }
}

async fn near(store: &dyn Store, now: i64) -> Result<[(i64, [u8; 32]); 2], SaltError> {
    let today = now.div_euclid(DAY_MS);
    Ok([(today, salt(store, today).await?), (today + 1, salt(store, today + 1).await?)])
}

async fn salt(store: &dyn Store, day: i64) -> Result<[u8; 32], SaltError> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh)?;
    Ok(store.salt(day, fresh).await?)
}
