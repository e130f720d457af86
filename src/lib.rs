//! Herma: a transparent proxy for tool calls.
//!
//! The life of a call is in [`firewall`]; [`carriers`] bring calls in and spend the permits; [`policy`] and the
//! crates `herma-scoring` and `herma-warrant` judge, purely; [`warrants`] keeps what is known of warrants here; [`gate`] and [`review`] bring in people, [`notify`] calls them; [`ledger`]
//! and [`store`] remember. [`control`] and [`cli`] are the operator's side. ARCHITECTURE.md is the map.

pub mod call;
pub mod carriers;
pub mod cli;
pub mod config;
pub mod control;
pub mod firewall;
pub mod gate;
pub mod ledger;
pub mod listen;
pub mod notify;
pub mod operator;
pub mod policy;
pub mod pool;
pub mod review;
pub mod store;
pub mod telemetry;
pub mod warrants;
