//! What the file says of traces and metrics, and of how long what is kept.

use std::net::SocketAddr;

use serde::Deserialize;
use toml::Spanned;

use super::resolve::Reader;
use super::{ConfigError, Retention};
use crate::telemetry::{Setup, traces};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TypedTelemetry {
    /// The OTLP/HTTP receiver, without `/v1/traces`.
    otlp: Option<Spanned<String>>,
    /// Give calls without a trace one of ours.
    propagate: Option<Spanned<bool>>,
    /// Where Prometheus metrics are served.
    metrics: Option<Spanned<String>>,
}

impl Reader<'_> {
    pub(super) fn telemetry(&self, typed: &TypedTelemetry) -> Result<Setup, ConfigError> {
        let otlp = typed.otlp.as_ref().map(|otlp| {
            self.url(otlp)?;
            traces::address(otlp.get_ref())
                .ok_or_else(|| self.at(otlp, "telemetry.otlp is an address as http://127.0.0.1:4318"))
        });
        let metrics = typed.metrics.as_ref().map(|metrics| {
            let text = metrics.get_ref();
            let address: SocketAddr = text
                .parse()
                .map_err(|_| self.at(metrics, format!("`{text}` is no address: write IP:PORT, for example 127.0.0.1:9464")))?;
            if !address.ip().is_loopback() {
                let said = "metrics tell who works with what, and ask nobody who they are: listen on 127.0.0.1 \
                            and let a collector on this machine pass them on";
                return Err(self.at(metrics, said));
            }
            Ok(address)
        });
        let propagate = typed.propagate.as_ref();
        if let (Some(propagate), None) = (propagate, &otlp) {
            return Err(self.at(propagate, "telemetry.propagate goes with telemetry.otlp"));
        }
        Ok(Setup {
            otlp: otlp.transpose()?,
            propagate: propagate.is_some_and(|propagate| *propagate.get_ref()),
            metrics: metrics.transpose()?,
        })
    }

    pub(super) fn retention(&self, typed: &super::typed::Ledger) -> Result<Retention, ConfigError> {
        let days = |text: &Option<Spanned<String>>, standard: i64| match text {
            None => Ok(Some(standard)),
            Some(text) if text.get_ref() == "forever" => Ok(None),
            Some(text) => text
                .get_ref()
                .strip_suffix('d')
                .and_then(|days| days.parse::<i64>().ok())
                .filter(|days| (1..=36_500).contains(days))
                .map(Some)
                .ok_or_else(|| {
                    self.at(text, format!("`{}`: write days as \"30d\", or \"forever\"", text.get_ref()))
                }),
        };
        const DAY_MS: i64 = 86_400_000;
        Ok(Retention {
            arguments_ms: days(&typed.keep_arguments, 30)?.map(|days| days * DAY_MS),
            decisions_ms: days(&typed.keep_decisions, 400)?.map(|days| days * DAY_MS),
        })
    }
}
