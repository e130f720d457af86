//! Trains the second opinion on crisis: reads the corpus (rows of `text` and `label`, `crisis` or `none`), takes in
//! the examples of the crisis packs, and writes the weights and their digest where the crate embeds them from.
//!
//! `cargo run --release -p herma-scoring --example train`
//!
//! Logistic regression by AdaGrad over the strongest piece of every row, a fixed order and a fixed number of rounds:
//! the same rows give the same weights. With `--folds` it writes nothing and prints how rows it has not seen are told
//! apart.

use std::path::{Path, PathBuf};

use herma_scoring::crisis::{fold, grams, pieces};
use serde_json::Value;
use sha2::{Digest, Sha256};

const BUCKETS: usize = 1 << 20;
const ROUNDS: usize = 20;
/// Rounds that learn from the whole text, before there is a strongest piece to learn from.
const WHOLE: usize = 2;
const RATE: f32 = 1.0;
/// Rows of one author repeat themselves: what they lean on too often is worth less to others.
const DECAY: f32 = 8e-4;
/// How sure no row may make the model: some of them are mislabelled, and other authors mean them otherwise.
const DOUBT: f32 = 0.03;
/// As in the model: keeps the few words of a short piece from weighing like many.
const FLOOR: f32 = 4.0;
const FOLDS: usize = 4;
/// The examples of the packs are few and plain, and plain words must not be missed.
const EMPHASIS: usize = 4;

struct Row {
    /// Every piece, and every piece with the next.
    windows: Vec<Vec<usize>>,
    crisis: bool,
    /// What belongs to one fold: a pair differs in a word only.
    group: usize,
}

struct Model {
    weights: Vec<f32>,
    squares: Vec<f32>,
    bias: f32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rows = examples(&root.join("rules/crisis"))?;
    for path in files(&root.join("model/corpus"))? {
        for line in std::fs::read_to_string(&path)?.lines() {
            let row: Value = serde_json::from_str(line)?;
            let text = row.get("text").and_then(Value::as_str).ok_or("a row without text")?;
            let label = row.get("label").and_then(Value::as_str).ok_or("a row without a label")?;
            let pair = row.get("pair").and_then(Value::as_u64).map(usize::try_from).transpose()?;
            let group = pair.unwrap_or(rows.len());
            rows.push(Row::of(text, label == "crisis", group));
        }
    }
    // Rows of one source stand together; a fixed stride mixes them.
    let stride = (rows.len() * 618 / 1000..).find(|stride| gcd(*stride, rows.len()) == 1).unwrap_or(1);
    let order: Vec<&Row> =
        (0..rows.len()).filter_map(|index| rows.get(index * stride % rows.len())).collect();
    if std::env::args().any(|argument| argument == "--folds") {
        held_out(&order);
        return Ok(());
    }
    let bytes = Model::trained(&order).bytes();
    std::fs::write(root.join("model/crisis.bin"), &bytes)?;
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(root.join("model/crisis.sha256"), format!("{digest}\n"))?;
    println!("{} rows, digest {digest}", rows.len());
    Ok(())
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The examples of the packs: what a rule matches is a crisis, what a calming rule matches or a rule must not is none.
fn examples(packs: &Path) -> Result<Vec<Row>, Box<dyn std::error::Error>> {
    let mut rows = Vec::new();
    for path in files(packs)? {
        let pack: toml::Table = toml::from_str(&std::fs::read_to_string(&path)?)?;
        for (kind, field, crisis) in
            [("crisis", "match", true), ("crisis", "not_match", false), ("calm", "match", false)]
        {
            let rules = pack.get(kind).and_then(toml::Value::as_array).into_iter().flatten();
            let weak =
                |rule: &&toml::Value| crisis && rule.get("tier").and_then(toml::Value::as_str) != Some("A");
            let texts =
                rules.filter(|rule| !weak(rule)).filter_map(|rule| rule.get(field)?.as_array()).flatten();
            for text in texts.filter_map(toml::Value::as_str) {
                let group = rows.len();
                rows.extend((0..EMPHASIS).map(|_| Row::of(text, crisis, group)));
            }
        }
    }
    Ok(rows)
}

fn held_out(order: &[&Row]) {
    let mut said = Vec::new();
    for fold in 0..FOLDS {
        let (unseen, seen): (Vec<&Row>, Vec<&Row>) =
            order.iter().copied().partition(|row| row.group % FOLDS == fold);
        let model = Model::trained(&seen);
        said.extend(unseen.iter().map(|row| (model.probability(row), row.crisis)));
    }
    for sure in [0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98] {
        let share = |crisis: bool| {
            let of: Vec<_> = said.iter().filter(|(_, label)| *label == crisis).collect();
            let raised = of.iter().filter(|(probability, _)| *probability >= sure).count();
            format!("{raised} of {}", of.len())
        };
        println!("{sure}: crisis {}, harmless {}", share(true), share(false));
    }
}

impl Row {
    fn of(text: &str, crisis: bool, group: usize) -> Self {
        let mut alone: Vec<Vec<usize>> = Vec::new();
        pieces(&fold(text), |piece| {
            let mut buckets = Vec::new();
            grams(piece, |bucket| buckets.push(bucket));
            alone.push(buckets);
        });
        let mut windows: Vec<Vec<usize>> =
            alone.windows(2).map(|pair| pair.iter().flatten().copied().collect()).collect();
        windows.extend(alone);
        Self { windows, crisis, group }
    }
}

impl Model {
    fn trained(order: &[&Row]) -> Self {
        let mut model = Self { weights: vec![0.0; BUCKETS], squares: vec![1.0; BUCKETS], bias: 0.0 };
        for round in 0..ROUNDS {
            for row in order {
                if round < WHOLE {
                    for window in &row.windows {
                        model.learn(window, row.crisis);
                    }
                } else if let Some(window) =
                    row.windows.iter().max_by(|a, b| model.logit(a).total_cmp(&model.logit(b)))
                {
                    model.learn(window, row.crisis);
                }
            }
        }
        model
    }

    fn learn(&mut self, window: &[usize], crisis: bool) {
        let label = if crisis { 1.0 - DOUBT } else { DOUBT };
        let error = label - sigmoid(self.logit(window));
        let gradient = error / (window.len() as f32 + FLOOR).sqrt();
        self.bias += 0.002 * error;
        for bucket in window {
            if let (Some(weight), Some(square)) =
                (self.weights.get_mut(*bucket), self.squares.get_mut(*bucket))
            {
                *square += gradient * gradient * 10.0;
                *weight += RATE * gradient / square.sqrt() - DECAY * *weight;
            }
        }
    }

    fn logit(&self, window: &[usize]) -> f32 {
        let sum: f32 = window.iter().filter_map(|bucket| self.weights.get(*bucket)).sum();
        sum / (window.len() as f32 + FLOOR).sqrt() + self.bias
    }

    fn probability(&self, row: &Row) -> f32 {
        row.windows.iter().map(|window| sigmoid(self.logit(window))).fold(0.0, f32::max)
    }

    fn bytes(&self) -> Vec<u8> {
        let largest = self.weights.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs())).max(1e-9);
        let step = largest / 127.0;
        let mut bytes = Vec::with_capacity(8 + BUCKETS);
        bytes.extend(step.to_le_bytes());
        bytes.extend(self.bias.to_le_bytes());
        bytes.extend(self.weights.iter().flat_map(|weight| ((weight / step).round() as i8).to_le_bytes()));
        bytes
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
