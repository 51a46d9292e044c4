//! The bells of this process, and those of others that it has reached: what watching a ring needs in private memory.
//!
//! A process has one bell for each side of a ring that it watches, however many of its handles ask. Bells of others are
//! opened through /proc once and kept until the last handle on the ring is dropped. All of this is guarded by the local
//! lock, which is held while a byte is written: a descriptor is never closed, and its number given to something else,
//! under the hands of who rings.
//!
//! A fork copies the list. The copy of a bell is the parent's, so a bell belongs to the process that made it; the child
//! closes its copies when it first watches something itself.

use super::{Arena, Ring};
use crate::error::ArenaError;
use crate::loom::{AtomicU32, Ordering};
use crate::owner::Liveness;
use crate::ring::{Side, Watcher};
use crate::sys::{self, Bell, Pipe, Reopened};
use crate::wait;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// How long to wait for a claimant that lives: one that is stopped must not stop the watcher.
const PATIENCE: Duration = Duration::from_millis(50);
/// After so long it is asked whether the claimant lives at all.
const LOOK: Duration = Duration::from_millis(1);
/// Bells of others kept open; beyond that the oldest is closed.
const MOST_REACHED: usize = 64;

/// A bell of this process.
#[derive(Debug)]
struct Mine {
    ring: usize,
    side: Side,
    slot: usize,
    pipe: Pipe,
    /// Who made it; a forked child has a copy that is not its own.
    pid: u32,
    /// Handles that asked for it.
    users: u32,
}

/// A bell of another process.
#[derive(Debug)]
struct Reached {
    ring: usize,
    slot: (Side, usize),
    inode: u64,
    bell: Reopened,
}

/// The bells that this process knows.
#[derive(Debug, Default)]
pub(super) struct Bells {
    mine: Vec<Mine>,
    reached: Vec<Reached>,
}

/// What a handle remembers: the process in which it watches, 0 for none. For each side.
#[derive(Debug, Default)]
pub struct Watching([AtomicU32; 2]);

fn key(ring: &Ring) -> usize {
    std::ptr::from_ref(ring) as usize
}

impl Bells {
    /// This process's bell for a side of a ring.
    fn find(&mut self, ring: usize, side: Side, pid: u32) -> Option<&mut Mine> {
        self.mine.iter_mut().find(|mine| mine.ring == ring && mine.side == side && mine.pid == pid)
    }

    /// Ring a bell, here or elsewhere.
    fn ring(&mut self, ring: usize, watcher: &Watcher, pid: u32) -> bool {
        if pid == sys::pid() {
            let mine = self.find(ring, watcher.slot.0, pid).filter(|mine| mine.pipe.inode() == watcher.inode);
            return mine.map(|mine| mine.pipe.ring()).is_some();
        }
        if let Some(index) = self.reached.iter().position(|known| known.ring == ring && known.slot == watcher.slot) {
            if self.reached[index].inode == watcher.inode {
                self.reached[index].bell.ring();
                return true;
            }
            self.reached.remove(index); // of a watcher that has gone
        }
        let Some(bell) = Reopened::new(pid, watcher.fd as RawFd, watcher.inode) else { return false };
        bell.ring();
        if self.reached.len() == MOST_REACHED {
            self.reached.remove(0);
        }
        self.reached.push(Reached { ring, slot: watcher.slot, inode: watcher.inode, bell });
        true
    }

    /// Close what belongs to a ring that this process has no longer open.
    pub(super) fn forget(&mut self, ring: usize) {
        self.mine.retain(|mine| mine.ring != ring);
        self.reached.retain(|reached| reached.ring != ring);
    }
}

impl Arena {
    /// Watch a ring of this arena for a handle that remembers so in `watching`: a descriptor of this process that is
    /// readable while the side is ready. Calling it again brings it in line with the ring, should a putter have died.
    /// None: too many processes watch.
    pub fn watch(&'static self, ring: &Ring, side: Side, watching: &Watching) -> Result<Option<RawFd>, ArenaError> {
        ring.prepare(&self)?;
        let (key, pid) = (key(ring), sys::pid());
        let fd = self.local.with_bells(|bells| {
            bells.mine.retain(|mine| mine.pid == pid);
            if bells.find(key, side, pid).is_none() {
                let pipe = Pipe::new().map_err(|error| ArenaError::System { call: "pipe", error })?;
                let Some(slot) = ring.enrol(&self, side, pipe.fd() as u32, pipe.inode()) else {
                    return Ok::<_, ArenaError>(None);
                };
                bells.mine.push(Mine { ring: key, side, slot, pipe, pid, users: 0 });
            }
            let mine = bells.find(key, side, pid).expect("it was found or made just now");
            if watching.0[side as usize].swap(pid, Ordering::Relaxed) != pid {
                mine.users += 1;
            }
            Ok(Some(mine.pipe.fd()))
        })?;
        self.attune(ring, side);
        Ok(fd)
    }

    /// A handle watches no longer; the last one closes the descriptor.
    pub fn unwatch(&'static self, ring: &Ring, side: Side, watching: &Watching) {
        let pid = sys::pid();
        if watching.0[side as usize].load(Ordering::Relaxed) == 0 {
            return;
        }
        self.local.with_bells(|bells| {
            if watching.0[side as usize].swap(0, Ordering::Relaxed) != pid {
                return; // its parent watched
            }
            let Some(mine) = bells.find(key(ring), side, pid) else { return };
            mine.users -= 1;
            if mine.users == 0 {
                ring.withdraw(&self, side, mine.slot);
                bells.mine.retain(|mine| mine.users > 0);
            }
        });
    }

    /// After this process took from the ring or put into it, or found that it cannot: a bell of its own that has
    /// nothing to ring for is silenced. Free of system calls while the side is still ready.
    #[inline]
    pub fn settle_watch(&'static self, ring: &Ring, side: Side) {
        if ring.is_watched() && !ring.is_ready(side) {
            self.attune(ring, side);
        }
    }

    /// Bring this process's bell in line with the ring, if it has one.
    #[cold]
    fn attune(&'static self, ring: &Ring, side: Side) {
        let (key, pid, start) = (key(ring), sys::pid(), Instant::now());
        loop {
            let claimed = self.local.with_bells(|bells| {
                let mine = bells.find(key, side, pid)?;
                let claimant = ring.attune(&self, side, mine.slot, &mine.pipe).err()?;
                Some((mine.slot, claimant))
            });
            let Some((slot, claimant)) = claimed else { return };
            // Not with the local lock held, which a claimant of this process needs.
            if !wait::spin(|| !ring.is_claimed(&self, side, slot)) {
                let waited = start.elapsed();
                if waited > PATIENCE || (waited > LOOK && !self.processes().is_alive(claimant)) {
                    ring.disclaim(&self, side, slot, claimant);
                }
                sys::yield_now();
            }
        }
    }

    /// Ring a watcher's bell. False: it is gone, or not to be reached.
    pub(super) fn reach(&self, ring: &Ring, watcher: &Watcher) -> bool {
        let Some((pid, _)) = self.processes().identity(watcher.owner) else { return false };
        self.local.with_bells(|bells| bells.ring(key(ring), watcher, pid))
    }
}
