//! The rounds, put together into one Markdown table.

use std::fmt::Write;

use crate::Cell;
use crate::way::{Base, DIRECT, Slice};

/// All rounds of all cells.
#[derive(Default)]
pub(crate) struct Table {
    rounds: Vec<Round>,
}

struct Round {
    cell: Cell,
    base: Base,
    slices: Vec<(&'static str, Slice)>,
}

const HEAD: [&str; 15] = [
    "way",
    "in flight x payload",
    "direct p50 µs",
    "p50 µs",
    "added p50 µs",
    "x direct",
    "p99 µs",
    "calls/s",
    "share of direct calls/s",
    "added / floor's added",
    "share of floor's calls/s",
    "CPU µs/call",
    "RSS idle MiB",
    "RSS peak MiB",
    "start ms",
];

impl Table {
    pub(crate) fn add(&mut self, cell: Cell, base: Base, slices: Vec<(&'static str, Slice)>) {
        self.rounds.push(Round { cell, base, slices });
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(HEAD.len()));
        let mut seen = Vec::new();
        for round in &self.rounds {
            for (name, _) in &round.slices {
                let row = (*name, round.cell);
                if *name != DIRECT && !seen.contains(&row) {
                    seen.push(row);
                    self.write_row(&mut text, name, round.cell, round.base);
                }
            }
        }
        text
    }

    fn write_row(&self, text: &mut String, name: &str, cell: Cell, base: Base) {
        let rounds = || self.rounds.iter().filter(|round| round.cell == cell && round.base == base);
        let over = |of: &dyn Fn(&Round) -> Option<f64>| median(rounds().filter_map(of).collect());
        let own = |of: fn(&Slice) -> f64| over(&|round| Some(of(round.slice(name)?)));
        let direct = |of: fn(&Slice) -> f64| over(&|round| Some(of(round.slice(DIRECT)?)));
        let shares = |other: &'static str, of: fn(&Slice) -> f64| {
            over(&|round| Some(of(round.slice(name)?) / of(round.slice(other)?)))
        };
        let added = |name: &str| {
            let name = name.to_owned();
            move |round: &Round| Some(round.slice(&name)?.p50 - round.slice(DIRECT)?.p50)
        };
        let (added, floor_added) = (added(name), added(base.floor()));
        let first = rounds().find_map(|round| round.slice(name));
        let peak = rounds().filter_map(|round| Some(round.slice(name)?.after.peak_kib)).fold(0.0, f64::max);
        let cells = [
            number(direct(|slice| slice.p50)),
            number(own(|slice| slice.p50)),
            number(over(&added)),
            number(shares(DIRECT, |slice| slice.p50)),
            number(own(|slice| slice.p99)),
            number(own(|slice| slice.per_second)),
            number(shares(DIRECT, |slice| slice.per_second)),
            number(over(&|round| Some(added(round)? / floor_added(round)?))),
            number(shares(base.floor(), |slice| slice.per_second)),
            number(own(|slice| slice.cpu_us)),
            number(first.map(|slice| slice.before.rss_kib / 1024.0)),
            number(Some(peak / 1024.0)),
            number(first.map(|slice| slice.start_ms)),
        ];
        // A string takes all that is written to it.
        let _ = writeln!(text, "| {name} | {cell} | {} |", cells.join(" | "));
    }
}

impl Round {
    fn slice(&self, name: &str) -> Option<&Slice> {
        self.slices.iter().find_map(|(known, slice)| (*known == name).then_some(slice))
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    match values.len() % 2 {
        0 => Some((values.get(middle - 1)? + upper) / 2.0),
        _ => Some(upper),
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() < 10.0 => format!("{value:.2}"),
        Some(value) if value.abs() < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}
