//! What Herma costs, always against the same server spoken to directly in the same run.
//!
//! ```text
//! cargo bench --bench load
//! cargo bench --bench load -- --only herma,floor-peek --cells 1x200,32x200 --rounds 7 --cpus 1
//! ```
//!
//! Every round goes once through every way to the server, there and back in turn, and every answer is compared
//! byte for byte with the only right one. What is reported are medians of ratios within a round, so that a
//! machine with other work shifts both sides alike. The servers answer in some 20 µs, so the ratios are the worst
//! case: in front of a tool that takes 20 ms, the added time is the number that matters.
//!
//! Servers, floors and Herma are processes of their own (the first two are this program under another role), so
//! that CPU time and memory can be read for each from /proc.

mod client;
mod floor;
mod machine;
mod server;
mod table;
mod way;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use hyper::Uri;

use client::{Era, Load};
use way::{Base, NAMES, Way};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what Herma adds to a call.
#[derive(Debug, Parser)]
#[command(name = "load", disable_help_subcommand = true)]
struct Options {
    /// Which ways to measure, of: floor-raw, floor-peek, herma, floor-pump, herma-wrap
    #[arg(long, value_delimiter = ',', default_values = NAMES)]
    only: Vec<String>,
    /// Calls in flight x bytes of payload
    #[arg(long, value_delimiter = ',', default_values = ["1x200", "32x200", "1x65536", "32x65536", "1x1048576"])]
    cells: Vec<Cell>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds for each cell, way and round
    #[arg(long, default_value_t = 1.0)]
    secs: f64,
    /// Which protocol the clients speak
    #[arg(long, value_enum, default_value = "legacy")]
    era: Era,
    /// Keep everything on these CPUs, e.g. `1`: rounds then agree, and throughput is 1 / CPU time of the whole path
    #[arg(long, value_delimiter = ',')]
    cpus: Vec<usize>,
    /// Another build of Herma, measured beside this one in the same rounds
    #[arg(long)]
    old: Option<PathBuf>,
    /// Only see that every answer is right
    #[arg(long)]
    test: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Asked by test runners
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(hide = true)]
    filter: Vec<String>,

    /// What this process is, when it is not the one that measures
    #[arg(long = "as", value_enum, hide = true)]
    role: Option<Role>,
    /// Where a floor forwards to
    #[arg(long, hide = true)]
    to: Option<Uri>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    HttpServer,
    StdioServer,
    FloorRaw,
    FloorPeek,
    FloorPump,
}

/// One column of work: so many calls in flight, so many bytes each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    in_flight: usize,
    size: usize,
}

impl std::str::FromStr for Cell {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (in_flight, size) = text.split_once('x').context("a cell is written 32x200")?;
        let cell = Self { in_flight: in_flight.parse()?, size: size.parse()? };
        if cell.in_flight == 0 {
            bail!("a cell needs at least one call in flight");
        }
        Ok(cell)
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {} B", self.in_flight, self.size)
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match options.role {
        Some(Role::HttpServer) => return server::http(),
        Some(Role::StdioServer) => return server::stdio(),
        Some(Role::FloorRaw) => return floor::http(options.to.context("no --to")?, floor::Mode::Raw),
        Some(Role::FloorPeek) => return floor::http(options.to.context("no --to")?, floor::Mode::Peek),
        Some(Role::FloorPump) => return floor::pump(),
        None => {}
    }
    if options.list {
        if !options.ignored {
            println!("load: test");
        }
        return Ok(());
    }
    if let Some(unknown) = options.only.iter().find(|name| !NAMES.contains(&name.as_str())) {
        bail!("`{unknown}` is not one of {}", NAMES.join(", "));
    }
    if !options.cpus.is_empty() {
        machine::pin(&options.cpus)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Whoever runs all targets as tests gives no `--bench`.
    if options.test || !options.bench {
        runtime.block_on(check(&options))
    } else {
        runtime.block_on(measure(&options))
    }
}

/// A few calls of each size, by each way, in both protocols.
async fn check(options: &Options) -> anyhow::Result<()> {
    for base in [Base::Http, Base::Stdio] {
        let ways = Way::open_all(base, &options.only, options.old.as_deref()).await?;
        for way in &ways {
            for era in [Era::Legacy, Era::Modern] {
                for cell in &options.cells {
                    let load =
                        Load { cell: *cell, era, warm: Duration::ZERO, time: Duration::ZERO, at_least: 3 };
                    way.drive(&load).await.with_context(|| format!("{}, {era:?}, {cell}", way.name))?;
                }
            }
            println!("{}: every answer is right", way.name);
        }
    }
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<()> {
    let time = Duration::try_from_secs_f64(options.secs)?;
    let mut table = table::Table::default();
    for base in [Base::Http, Base::Stdio] {
        let ways = Way::open_all(base, &options.only, options.old.as_deref()).await?;
        if ways.len() < 2 {
            continue;
        }
        for cell in &options.cells {
            let load = Load { cell: *cell, era: options.era, warm: time / 4, time, at_least: 1 };
            for round in 0..options.rounds {
                let mut slices = Vec::with_capacity(ways.len());
                let there = (0..ways.len()).collect::<Vec<_>>();
                let back = there.iter().rev().copied().collect();
                for way in if round % 2 == 0 { there } else { back } {
                    let Some(way) = ways.get(way) else { continue };
                    let slice = way.measure(&load).await.with_context(|| format!("{}, {cell}", way.name))?;
                    slices.push((way.name, slice));
                }
                table.add(*cell, base, slices);
            }
            eprintln!("measured {cell} over {base:?}");
        }
    }
    println!("{}", table.markdown());
    Ok(())
}
