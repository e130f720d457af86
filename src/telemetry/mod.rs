//! What others may measure: a trace of every call by OTLP, and figures for Prometheus. Both are off unless the file
//! asks for them; then nothing here costs more than a few counters.

mod context;
pub mod metrics;
mod otlp;
mod span;
pub mod traces;

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::Uri;

use crate::call::Call;
use metrics::Counts;
pub use span::{End, Routed, Span};
use traces::Tracer;

/// What the operator's file says of it.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Where spans are sent.
    pub otlp: Option<Uri>,
    /// Calls without a trace get one of ours.
    pub propagate: bool,
    /// Where figures are served.
    pub metrics: Option<SocketAddr>,
}

/// What the firewall tells of every call.
#[derive(Debug, Default)]
pub struct Telemetry {
    pub counts: Counts,
    tracer: Option<Arc<Tracer>>,
}

impl Telemetry {
    /// Starts sending spans if the file asks for it.
    pub fn start(setup: &Setup, pool: &crate::pool::Pool) -> Arc<Self> {
        let tracer = setup.otlp.clone().map(|to| Tracer::start(to, setup.propagate, pool.clone()));
        Arc::new(Self { counts: Counts::default(), tracer })
    }

    /// The span of a call that has just been received; an empty one when nobody asks for traces.
    pub fn begin(&self, call: &Call, private: bool) -> Span {
        self.tracer.as_ref().map_or_else(Span::none, |tracer| Span::begin(tracer, call, private))
    }

    /// Spans that were thrown away because the receiver was too slow or not there.
    pub fn dropped_spans(&self) -> u64 {
        self.tracer.as_ref().map_or(0, |tracer| tracer.dropped())
    }

    /// Sends what waits to be sent.
    pub async fn flush(&self) {
        if let Some(tracer) = &self.tracer {
            tracer.flush().await;
        }
    }
}
