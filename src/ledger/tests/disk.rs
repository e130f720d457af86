//! Disks that are slow, full or broken.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use futures_util::FutureExt;

use super::segment::{Medium, Opener, open_file};
use super::*;

/// A disk whose faults the test commands.
#[derive(Default)]
struct Disk {
    /// Bytes it still takes, if it is limited.
    space: Mutex<Option<u64>>,
    sync_fails: AtomicBool,
    syncs: AtomicU64,
    stalled: Mutex<bool>,
    resumed: Condvar,
}

impl Disk {
    fn limit(&self, space: Option<u64>) {
        *self.space.lock().unwrap() = space;
    }

    fn stall(&self, stalled: bool) {
        *self.stalled.lock().unwrap() = stalled;
        self.resumed.notify_all();
    }

    fn opener(self: &Arc<Self>) -> Opener {
        let disk = Arc::clone(self);
        Box::new(move |path| {
            let (file, len) = open_file(path)?;
            let disk = Arc::clone(&disk);
            Ok((Box::new(OnDisk { disk, file }), len))
        })
    }
}

struct OnDisk {
    disk: Arc<Disk>,
    file: Box<dyn Medium>,
}

impl Medium for OnDisk {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stalled = self.disk.stalled.lock().unwrap();
        drop(self.disk.resumed.wait_while(stalled, |stalled| *stalled).unwrap());
        let mut space = self.disk.space.lock().unwrap();
        let Some(left) = space.as_mut() else {
            return self.file.write_all(bytes);
        };
        let fits = bytes.len().min(usize::try_from(*left).unwrap());
        *left -= fits as u64;
        self.file.write_all(&bytes[..fits])?;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        if self.disk.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk does not answer"));
        }
        self.file.sync()
    }
}

fn open(dir: &TempDir, disk: &Arc<Disk>) -> Ledger {
    let journal = Journal::open_on(dir.path(), key(), ORIGIN, disk.opener()).unwrap();
    Ledger::start(journal).unwrap()
}

async fn healthy(ledger: &Ledger) {
    let recovered = async {
        while ledger.health().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), recovered).await.expect("the ledger did not recover");
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing_that_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(Disk::default());
    let ledger = open(&dir, &disk);
    ledger.record_durable(entry(0)).await.unwrap();

    // Less than an entry: what fits has to be taken back. Stalled until both have been handed over.
    disk.limit(Some(10));
    disk.stall(true);
    ledger.record(entry(1)).unwrap();
    let mut durable = Box::pin(ledger.record_durable(entry(2)));
    assert!((&mut durable).now_or_never().is_none());
    disk.stall(false);
    let error = durable.await.unwrap_err();
    assert!(matches!(error, LedgerError::Failed(_)), "{error}");
    assert!(ledger.health().is_err());
    assert!(matches!(ledger.record(entry(3)), Err(LedgerError::Failed(_))));
    let error = ledger.record_durable(entry(4)).await.unwrap_err();
    assert!(error.to_string().contains("no storage space"), "{error}");

    disk.limit(None);
    healthy(&ledger).await;
    ledger.record_durable(entry(5)).await.unwrap();
    ledger.close().await.unwrap();

    let written: Vec<_> =
        records(dir.path()).into_iter().map(|record| record.call.unwrap_or(record.step)).collect();
    assert_eq!(written, ["call-0", "recovered", "call-1", "call-5"]);
    let recovered = records(dir.path()).remove(1);
    assert_eq!(recovered.detail["refused"], 1);
    assert_eq!(check(dir.path()).problems, []);
}

#[tokio::test]
async fn a_failed_sync_is_not_believed_the_second_time() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(Disk::default());
    let ledger = open(&dir, &disk);
    disk.sync_fails.store(true, Ordering::SeqCst);
    ledger.record_durable(entry(0)).await.unwrap_err();
    assert!(ledger.health().is_err());
    disk.sync_fails.store(false, Ordering::SeqCst);
    healthy(&ledger).await;
    ledger.record_durable(entry(1)).await.unwrap();
    ledger.close().await.unwrap();

    let records = records(dir.path());
    let unconfirmed = records.iter().find_map(|record| record.detail.get("unconfirmed"));
    assert_eq!(unconfirmed, Some(&serde_json::json!([0])));
    let written: Vec<_> =
        records.iter().map(|record| record.call.as_deref().unwrap_or(&record.step)).collect();
    assert_eq!(written, ["call-0", "recovered", "call-1"]);
    assert_eq!(check(dir.path()).problems, []);
}

#[tokio::test]
async fn closing_on_a_full_disk_says_so() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(Disk::default());
    let ledger = open(&dir, &disk);
    disk.limit(Some(0));
    ledger.record(entry(0)).unwrap();
    let error = ledger.close().await.unwrap_err();
    assert!(matches!(error, LedgerError::Failed(_)), "{error}");
}

#[tokio::test]
async fn all_who_wait_share_one_sync() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(Disk::default());
    let ledger = open(&dir, &disk);
    disk.stall(true);
    ledger.record(entry(0)).unwrap();
    let before = disk.syncs.load(Ordering::SeqCst);
    let waiting: Vec<_> = (1..=64)
        .map(|number| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.record_durable(entry(number)).await })
        })
        .collect();
    // One thread runs the tasks in turn: after this all have asked.
    tokio::task::yield_now().await;
    disk.stall(false);
    let mut numbers = Vec::new();
    for task in waiting {
        numbers.push(task.await.unwrap().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=64).collect::<Vec<_>>());
    let syncs = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs <= 3, "{syncs} syncs");
}

#[tokio::test]
async fn a_buffer_that_is_full_refuses() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(Disk::default());
    let ledger = open(&dir, &disk);
    disk.stall(true);
    let mut taken = 0;
    let refused = loop {
        match ledger.record(Entry::new(0, Step::Received)) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LedgerError::Full), "{refused}");
    assert!(taken >= CAPACITY);
    disk.stall(false);
    ledger.close().await.unwrap();
    assert_eq!(check(dir.path()).entries, taken as u64);
}
