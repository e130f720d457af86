//! End to end: the real binary, real peers, real clients. Each test is named by what a user notices.
//!
//! `HERMA_TEST_DIRECT=1` takes Herma out and connects the two ends directly: what `frames`,
//! `transparency` and `servers` then report as failing is the suite's own fault.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

mod agentguard;
mod attacks;
mod audit;
mod browser;
mod clients;
mod conformance;
mod crowd;
mod decisions;
mod doors;
mod faults;
mod frames;
mod held;
mod hermes;
mod house;
mod notify;
mod onramp;
mod operator;
mod operator_api;
mod operator_changes;
mod packages;
mod passkeys;
mod pipe;
mod policy;
mod presented;
mod review;
mod review_api;
mod sandbox;
mod sandbox_http;
mod servers;
mod telemetry;
mod tls;
mod transparency;
mod warrants;
mod warrants_cli;
mod watch;
mod wire;
