//! A client whose wait at the gate is timed for those who watch.

use super::{Waited, Waits};
use crate::gate::Stay;
use crate::telemetry::Span;

pub(super) struct Watched<'a, C> {
    pub(super) client: &'a mut C,
    pub(super) span: &'a mut Span,
}

impl<C: Waits> Waits for Watched<'_, C> {
    async fn wait(&mut self, stay: &mut Stay) -> Waited {
        self.span.wait(stay.hold_id());
        let waited = self.client.wait(stay).await;
        self.span.waited(match &waited {
            Waited::Decided(Ok(verdict)) => verdict.word(),
            Waited::Decided(Err(_)) => "failed",
            Waited::Gone => "gone",
            Waited::OutOfPatience => "pending",
        });
        waited
    }
}
