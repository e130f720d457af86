//! What an intruder can do to the files, and that `verify` names it.

use proptest::prelude::*;

use super::*;

struct Tampered {
    dir: TempDir,
}

impl Tampered {
    /// Three hundred entries under three checkpoints.
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        write(dir.path(), 300, &[100, 290, 300]);
        Self { dir }
    }

    fn edit(self, file: &str, change: impl FnOnce(String) -> String) -> Self {
        let path = self.dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, change(text)).unwrap();
        self
    }

    fn lines(self, change: impl FnOnce(&mut Vec<&str>)) -> Self {
        self.edit("entries/000000.jsonl", |text| {
            let mut lines: Vec<_> = text.split_inclusive('\n').collect();
            change(&mut lines);
            lines.concat()
        })
    }

    fn problems(&self) -> Vec<String> {
        let report = check(self.dir.path());
        report.problems.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn a_changed_entry_is_named() {
    let ledger =
        Tampered::new().edit("entries/000000.jsonl", |text| text.replacen("\"call-41\"", "\"call-42\"", 1));
    assert_eq!(
        ledger.problems(),
        ["entry 41 (entries/000000.jsonl:42): bytes changed: its leaf hash differs from tile/0/000"]
    );
}

#[test]
fn a_changed_entry_number_does_not_hide_the_rest() {
    let ledger =
        Tampered::new().edit("entries/000000.jsonl", |text| text.replacen("\"seq\":41,", "\"seq\":241,", 1));
    assert_eq!(
        ledger.problems(),
        ["entry 41 (entries/000000.jsonl:42): bytes changed: its leaf hash differs from tile/0/000"]
    );
}

#[test]
fn a_dropped_line_is_named() {
    let ledger = Tampered::new().lines(|lines| {
        lines.remove(41);
    });
    assert_eq!(ledger.problems(), ["entry 41 is missing"]);
}

#[test]
fn lines_in_another_order_are_named() {
    let ledger = Tampered::new().lines(|lines| lines.swap(41, 45));
    assert_eq!(
        ledger.problems(),
        [
            "entry 42 (entries/000000.jsonl:43) stands out of order",
            "entry 43 (entries/000000.jsonl:44) stands out of order",
            "entry 44 (entries/000000.jsonl:45) stands out of order",
            "entry 41 (entries/000000.jsonl:46) stands out of order",
        ]
    );
}

#[test]
fn a_line_put_in_twice_is_named() {
    let ledger = Tampered::new().lines(|lines| lines.insert(100, lines[41]));
    assert_eq!(ledger.problems(), ["entry 41 (entries/000000.jsonl:101) stands there a second time"]);
}

#[test]
fn a_file_cut_below_the_checkpoint_is_named() {
    let ledger = Tampered::new().lines(|lines| lines.truncate(250));
    assert_eq!(ledger.problems(), ["entries 250 to 299 are missing"]);
}

#[test]
fn a_line_feed_cut_off_below_the_checkpoint_is_named() {
    let ledger = Tampered::new().edit("entries/000000.jsonl", |text| text.trim_end().into());
    assert_eq!(ledger.problems(), ["entry 299 (entries/000000.jsonl:300): its line is cut off"]);
}

#[test]
fn a_file_that_is_gone_is_named() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 4100, &[4100]);
    fs::remove_file(dir.path().join("entries/000000.jsonl")).unwrap();
    let ledger = Tampered { dir };
    assert_eq!(ledger.problems(), ["entries 0 to 4095 are missing"]);
}

#[test]
fn a_checkpoint_signed_by_another_key_is_refused() {
    let forged = TempDir::new().unwrap();
    let mut journal = Journal::open(forged.path(), SigningKey::from_bytes(&[9; 32]), ORIGIN).unwrap();
    journal.append((0..300).map(entry).collect::<Vec<_>>().iter()).unwrap();
    journal.sign().unwrap();
    let ledger = Tampered::new();
    let place = |dir: &TempDir| dir.path().join("checkpoint");
    fs::copy(place(&forged), place(&ledger.dir)).unwrap();
    let problems = ledger.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("checkpoint: not signed with the ledger's key"), "{problems:?}");
}

#[test]
fn a_checkpoint_put_back_to_an_older_one_is_named() {
    let ledger = Tampered::new();
    let past = fs::read_to_string(ledger.dir.path().join("checkpoints.jsonl")).unwrap();
    let older: serde_json::Value = serde_json::from_str(past.lines().nth(1).unwrap()).unwrap();
    let note = older["note"].as_str().unwrap();
    fs::write(ledger.dir.path().join("checkpoint"), note).unwrap();
    assert_eq!(ledger.problems(), ["checkpoint: covers 100 entries, but one over 300 was signed before"]);
}

#[test]
fn checkpoints_that_are_gone_are_named() {
    let ledger = Tampered::new();
    let past = ledger.dir.path().join("checkpoints.jsonl");
    let text = fs::read_to_string(&past).unwrap();
    let gone = ["checkpoints.jsonl: the checkpoints that were signed at first are gone"];
    let later = text.split_once('\n').unwrap().1;
    fs::write(&past, later).unwrap();
    assert_eq!(ledger.problems(), gone);
    fs::remove_file(&past).unwrap();
    assert_eq!(ledger.problems(), gone);
}

#[test]
fn a_missing_checkpoint_is_named() {
    let ledger = Tampered::new();
    fs::remove_file(ledger.dir.path().join("checkpoint")).unwrap();
    assert_eq!(ledger.problems(), ["checkpoint: missing: nothing says what this ledger held"]);
}

#[test]
fn a_ledger_rewritten_and_signed_anew_contradicts_its_past() {
    let ledger = Tampered::new();
    let past = ledger.dir.path().join("checkpoints.jsonl");
    let signed_before = fs::read(&past).unwrap();
    for gone in ["entries", "tile"] {
        fs::remove_dir_all(ledger.dir.path().join(gone)).unwrap();
    }
    fs::remove_file(ledger.dir.path().join("checkpoint")).unwrap();
    let mut journal = Journal::open(ledger.dir.path(), key(), ORIGIN).unwrap();
    journal.append((1..=400).map(entry).collect::<Vec<_>>().iter()).unwrap();
    journal.sign().unwrap();
    assert!(fs::read(&past).unwrap().starts_with(&signed_before));
    let problems = ledger.problems();
    for file in ["checkpoints.jsonl:2", "checkpoints.jsonl:3", "checkpoints.jsonl:4"] {
        let named = format!("{file}: the signed root over ");
        assert!(problems.iter().any(|problem| problem.starts_with(&named)), "{problems:?}");
    }
}

#[test]
fn a_changed_tile_is_told_from_changed_entries() {
    for tile in ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"] {
        let ledger = Tampered::new();
        let path = ledger.dir.path().join(tile);
        let mut data = fs::read(&path).unwrap();
        data[20] ^= 1;
        fs::write(&path, data).unwrap();
        assert_eq!(ledger.problems(), [format!("{tile}: differs from the entries it stands for")]);
    }
}

#[test]
fn a_missing_tile_is_named() {
    let ledger = Tampered::new();
    fs::remove_file(ledger.dir.path().join("tile/0/000")).unwrap();
    assert_eq!(ledger.problems(), ["tile/0/000: missing or too short"]);
}

#[test]
fn entries_and_tiles_changed_together_contradict_the_checkpoints() {
    let ledger =
        Tampered::new().edit("entries/000000.jsonl", |text| text.replacen("\"call-41\"", "\"call-42\"", 1));
    let lines: Vec<_> = Reader::open(ledger.dir.path())
        .unwrap()
        .map(|line| tlog_tiles::record_hash(&line.unwrap().bytes))
        .collect();
    let mut tile = Vec::new();
    for leaf in &lines[..256] {
        tile.extend_from_slice(&leaf.0);
    }
    fs::write(ledger.dir.path().join("tile/0/000"), tile).unwrap();
    let problems = ledger.problems();
    assert!(
        problems.iter().any(|problem| problem.starts_with("checkpoints.jsonl:4: the signed root over 300")),
        "{problems:?}"
    );
}

#[test]
fn a_broken_number_after_the_last_checkpoint_is_named() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 20, &[10]);
    let ledger = Tampered { dir }.lines(|lines| {
        lines.remove(15);
    });
    assert_eq!(ledger.problems(), ["entry 15 is missing"]);
}

#[test]
fn a_ledger_being_written_is_not_taken_for_a_damaged_one() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 250, &[250]);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(dir.path(), 300, &(0..300).collect::<Vec<_>>()));
        while !writer.is_finished() {
            assert_eq!(check(dir.path()).problems, []);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_changed_byte_is_found(position in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        use std::sync::LazyLock;
        static LEDGER: LazyLock<(TempDir, Vec<u8>)> = LazyLock::new(|| {
            let dir = TempDir::new().unwrap();
            write(dir.path(), 40, &[17, 40]);
            let text = fs::read(dir.path().join("entries/000000.jsonl")).unwrap();
            (dir, text)
        });
        let (dir, text) = &*LEDGER;
        let mut changed = text.clone();
        let at = position.index(changed.len());
        changed[at] ^= flip;
        fs::write(dir.path().join("entries/000000.jsonl"), &changed).unwrap();
        let problems = check(dir.path()).problems;
        let line = text[..at].iter().filter(|byte| **byte == b'\n').count();
        let named = format!("entry {line} ");
        prop_assert!(
            problems.iter().any(|problem| problem.to_string().starts_with(&named)),
            "line {line}: {problems:?}"
        );
    }
}
