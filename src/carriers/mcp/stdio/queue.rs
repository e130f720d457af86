//! The client's frames on their way to the server, in the client's order.

use std::collections::VecDeque;
use std::io::Write;
use std::process::ChildStdin;

use bytes::Bytes;

/// Frames that are ready, behind those that are still being judged.
#[derive(Debug)]
pub(super) struct Queue {
    server: Option<ChildStdin>,
    slots: VecDeque<Slot>,
}

#[derive(Debug)]
enum Slot {
    Ready(Bytes),
    Waiting(u64),
}

impl Queue {
    pub(super) fn new(server: ChildStdin) -> Self {
        Self { server: Some(server), slots: VecDeque::new() }
    }

    /// Sends a frame once those before it have gone. False when the server takes no more.
    pub(super) fn push(&mut self, frame: Bytes) -> bool {
        if self.slots.is_empty() {
            return self.write(&frame);
        }
        self.slots.push_back(Slot::Ready(frame));
        self.server.is_some()
    }

    /// Keeps a place for a frame that is being judged.
    pub(super) fn wait_for(&mut self, seq: u64) {
        self.slots.push_back(Slot::Waiting(seq));
    }

    /// The frame may go: in its place, or at once when it has left the queue.
    pub(super) fn release(&mut self, seq: u64, frame: Bytes) {
        let place =
            self.slots.iter_mut().find(|slot| matches!(slot, Slot::Waiting(waiting) if *waiting == seq));
        match place {
            Some(slot) => *slot = Slot::Ready(frame),
            None => drop(self.write(&frame)),
        }
        self.drain();
    }

    /// Sends a frame that has no place among the client's: what waits there may wait for it.
    pub(super) fn send_past(&mut self, frame: &Bytes) {
        self.write(frame);
    }

    /// Nothing waits for this frame any more.
    pub(super) fn pass_by(&mut self, seq: u64) {
        self.slots.retain(|slot| !matches!(slot, Slot::Waiting(waiting) if *waiting == seq));
        self.drain();
    }

    pub(super) fn close(&mut self) {
        self.server = None;
    }

    fn drain(&mut self) {
        while let Some(Slot::Ready(frame)) = self.slots.pop_front_if(|slot| matches!(slot, Slot::Ready(_))) {
            self.write(&frame);
        }
    }

    fn write(&mut self, frame: &[u8]) -> bool {
        let written = self.server.as_mut().is_some_and(|server| server.write_all(frame).is_ok());
        if !written {
            self.server = None;
        }
        written
    }
}
