//! Trains the second opinion on crisis: reads rows `{"text", "crisis": bool}`, one per line, takes in the examples
//! of the crisis packs, and writes the weights and their digest where the crate embeds them from.
//!
//! `cargo run --release -p herma-scoring --example train < scoring/model/rows.jsonl`
//!
//! Logistic regression by stochastic gradient descent, a fixed order and a fixed number of rounds: the same rows
//! give the same weights. With `--folds` it writes nothing and prints how rows it has not seen are told apart.

use std::io::BufRead;
use std::path::Path;

use herma_scoring::crisis::{fold, grams};
use serde_json::Value;
use sha2::{Digest, Sha256};

const BUCKETS: usize = 1 << 14;
const ROUNDS: usize = 30;
const FOLDS: usize = 5;

struct Row {
    buckets: Vec<usize>,
    crisis: bool,
}

struct Model {
    weights: Vec<f64>,
    bias: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rows = examples(&root.join("rules/crisis"))?;
    for line in std::io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let text = row.get("text").and_then(Value::as_str).ok_or("a row without text")?;
        rows.push(Row::of(text, row.get("crisis").and_then(Value::as_bool).ok_or("a row without a label")?));
    }
    // Rows of one source stand together; a fixed stride mixes them.
    let stride = (rows.len() / 2..).find(|stride| gcd(*stride, rows.len()) == 1).unwrap_or(1);
    let order: Vec<usize> = (0..rows.len()).map(|index| index * stride % rows.len()).collect();
    if std::env::args().any(|argument| argument == "--folds") {
        return held_out(&rows, &order);
    }
    let bytes = Model::trained(&rows, &order).bytes();
    std::fs::write(root.join("model/crisis.bin"), &bytes)?;
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(root.join("model/crisis.sha256"), format!("{digest}\n"))?;
    println!("{} rows, digest {digest}", rows.len());
    Ok(())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The examples of the packs: what a rule matches is a crisis, what a calming rule matches or a rule must not is none.
fn examples(packs: &Path) -> Result<Vec<Row>, Box<dyn std::error::Error>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(packs)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    let mut rows = Vec::new();
    for path in paths {
        let pack: toml::Table = toml::from_str(&std::fs::read_to_string(&path)?)?;
        for (kind, field, crisis) in
            [("crisis", "match", true), ("crisis", "not_match", false), ("calm", "match", false)]
        {
            let rules = pack.get(kind).and_then(toml::Value::as_array).into_iter().flatten();
            let weak =
                |rule: &&toml::Value| crisis && rule.get("tier").and_then(toml::Value::as_str) != Some("A");
            let texts =
                rules.filter(|rule| !weak(rule)).filter_map(|rule| rule.get(field)?.as_array()).flatten();
            rows.extend(texts.filter_map(toml::Value::as_str).map(|text| Row::of(text, crisis)));
        }
    }
    Ok(rows)
}

fn held_out(rows: &[Row], order: &[usize]) -> Result<(), Box<dyn std::error::Error>> {
    let mut said = Vec::new();
    for fold in 0..FOLDS {
        let (seen, unseen): (Vec<_>, Vec<_>) =
            order.iter().enumerate().partition(|(at, _)| at % FOLDS != fold);
        let indices =
            |part: Vec<(usize, &usize)>| part.into_iter().map(|(_, index)| *index).collect::<Vec<_>>();
        let model = Model::trained(rows, &indices(seen));
        for row in indices(unseen).iter().filter_map(|index| rows.get(*index)) {
            said.push((model.probability(row), row.crisis));
        }
    }
    for sure in [0.5, 0.7, 0.8, 0.9, 0.95] {
        let share = |crisis: bool| {
            let of: Vec<_> = said.iter().filter(|(_, label)| *label == crisis).collect();
            let raised = of.iter().filter(|(probability, _)| *probability >= sure).count();
            format!("{raised} of {}", of.len())
        };
        println!("{sure}: crisis {}, harmless {}", share(true), share(false));
    }
    Ok(())
}

impl Row {
    fn of(text: &str, crisis: bool) -> Self {
        let mut buckets = Vec::new();
        grams(&fold(text), |bucket| buckets.push(bucket));
        Self { buckets, crisis }
    }
}

impl Model {
    fn trained(rows: &[Row], order: &[usize]) -> Self {
        let mut model = Self { weights: vec![0.0; BUCKETS], bias: 0.0 };
        for round in 0..ROUNDS {
            let rate = 0.5 / (1.0 + round as f64 / 5.0);
            for row in order.iter().filter_map(|index| rows.get(*index)).filter(|row| !row.buckets.is_empty())
            {
                let error = f64::from(u8::from(row.crisis)) - model.probability(row);
                let step = rate * error / (row.buckets.len() as f64).sqrt();
                model.bias += rate * error * 0.1;
                for bucket in &row.buckets {
                    if let Some(weight) = model.weights.get_mut(*bucket) {
                        *weight = *weight * (1.0 - 1e-5) + step;
                    }
                }
            }
        }
        model
    }

    fn probability(&self, row: &Row) -> f64 {
        let sum: f64 = row.buckets.iter().filter_map(|bucket| self.weights.get(*bucket)).sum();
        let logit = sum / (row.buckets.len().max(1) as f64).sqrt() + self.bias;
        1.0 / (1.0 + (-logit).exp())
    }

    fn bytes(&self) -> Vec<u8> {
        let largest = self.weights.iter().fold(0.0f64, |largest, weight| largest.max(weight.abs())).max(1e-9);
        let step = largest / 127.0;
        let mut bytes = Vec::with_capacity(8 + BUCKETS);
        bytes.extend((step as f32).to_le_bytes());
        bytes.extend((self.bias as f32).to_le_bytes());
        bytes.extend(self.weights.iter().flat_map(|weight| ((weight / step).round() as i8).to_le_bytes()));
        bytes
    }
}
