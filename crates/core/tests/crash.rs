//! A storm of kills: producers, consumers and users of a lock are killed at random instructions, hundreds of times
//! a minute, and replaced. Nothing may hang, come twice or torn; lost may be only what a killed consumer had taken.
//!
//! The long form runs by `make crash` for `CRASH_SECONDS`; `CRASH_SEED` repeats the choices (not the kernel's
//! scheduling).
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

mod support;

use procession_core::arena::{Arena, Kind};
use procession_core::lock::{Acquired, OwnerLock};
use procession_core::ring::{Message, Ring, Wait};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use support::{Random, block, contents, fork, kill, number_of, payload, place, ring_at, wait};

/// Numbers of messages; each has a byte in `Shared::seen`. Memory is touched as numbers are used.
const NUMBERS: usize = 1 << 28;
/// No message for so long, with somebody there to put and to take, is a hang.
const WORST_STALL: Duration = Duration::from_secs(2);
const BATCH: usize = 4;

/// What tester and tested share beside the arena. All zero at first.
struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    stop_producers: AtomicBool,
    taken: AtomicU64,
    turns: AtomicU64,
    torn: AtomicU64,
    twice: AtomicU64,
    seen: [AtomicU8; NUMBERS],
}

fn shared() -> &'static Shared {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: fresh zeroed memory of the right size, never unmapped; zero is valid for all atomics.
    unsafe {
        let base = libc::mmap(std::ptr::null_mut(), size_of::<Shared>(), access, flags, -1, 0);
        assert_ne!(base, libc::MAP_FAILED);
        &*base.cast::<Shared>()
    }
}

/// Guards `pair`, whose halves are equal whenever it is free.
type Guarded = (OwnerLock, [AtomicU64; 2]);

#[derive(Clone, Copy)]
struct Stage {
    arena: &'static Arena,
    ring: &'static Ring,
    guarded: &'static Guarded,
    shared: &'static Shared,
}

impl Stage {
    fn produce(self, random: &mut Random) {
        while !self.shared.stop_producers.load(SeqCst) {
            let count = 1 + random.below(BATCH as u64);
            let first = self.shared.next.fetch_add(count, SeqCst);
            assert!(((first + count) as usize) < NUMBERS, "more numbers are needed for so long a run");
            let made: Vec<_> = (first..first + count)
                .map(|number| {
                    let blocks = if random.below(50) == 0 { 1 + random.below(2) } else { 0 };
                    let blocks: Vec<_> =
                        (0..blocks).map(|_| block(self.arena, 70_000 + random.size(1 << 20), number as u8)).collect();
                    let offsets: Vec<_> = blocks.iter().map(procession_core::arena::Handle::offset).collect();
                    (payload(number, random.size(2000)), blocks, offsets)
                })
                .collect();
            let messages: Vec<_> =
                made.iter().map(|(payload, _, offsets)| Message { payload, attachments: offsets }).collect();
            let mut put = 0;
            while put < messages.len() && !self.shared.stop.load(SeqCst) {
                let soon = Some(Instant::now() + Duration::from_millis(500));
                put += self.arena.put(self.ring, &messages[put..], Wait::Until(soon)).map_or(0, |(count, _)| count);
            }
        }
    }

    fn consume(self) {
        while !self.shared.stop.load(SeqCst) {
            let (mut got, mut handles, mut ends) = (Vec::new(), Vec::new(), Vec::new());
            let soon = Wait::Until(Some(Instant::now() + Duration::from_millis(50)));
            let _ = self.ring.get(&self.arena, BATCH, soon, None, |_, bytes, attachments| {
                self.arena.receive(attachments, &mut handles);
                got.push(bytes.to_vec());
                ends.push(handles.len());
                true
            });
            let mut from = 0;
            for (bytes, to) in got.iter().zip(ends) {
                let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                let whole = *bytes == payload(number, bytes.len() - 8)
                    && handles[from..to].iter().all(|block| contents(block).iter().all(|&byte| byte == number as u8));
                self.shared.torn.fetch_add(u64::from(!whole), SeqCst);
                self.shared.twice.fetch_add(self.shared.seen[number as usize].swap(1, SeqCst) as u64, SeqCst);
                self.shared.taken.fetch_add(1, SeqCst);
                from = to;
            }
        }
    }

    fn take_turns(self) {
        let (lock, pair) = self.guarded;
        while !self.shared.stop.load(SeqCst) {
            if let Acquired::Abandoned(_) = lock.acquire_inner(self.arena.me(), self.arena.processes()) {
                pair[1].store(pair[0].load(SeqCst), SeqCst);
            }
            let [first, second] = pair.each_ref().map(|half| half.load(SeqCst));
            self.shared.torn.fetch_add(u64::from(first != second), SeqCst);
            pair[0].store(first + 1, SeqCst);
            pair[1].store(first + 1, SeqCst);
            lock.release();
            self.shared.turns.fetch_add(1, SeqCst);
        }
    }

    fn start(self, role: usize, seed: u64) -> u32 {
        fork(|| match role % 3 {
            0 => self.produce(&mut Random(seed | 1)),
            1 => self.consume(),
            _ => self.take_turns(),
        })
    }
}

/// The longest time in which each of some counters stood still.
struct Stalls([(u64, Instant, Duration); 3]);

impl Stalls {
    fn look(&mut self, counters: [u64; 3]) {
        for ((last, since, worst), now) in self.0.iter_mut().zip(counters) {
            if *last != now {
                (*last, *since) = (now, Instant::now());
            }
            *worst = (*worst).max(since.elapsed());
        }
    }

    fn worst(&self) -> Duration {
        self.0.iter().map(|stall| stall.2).max().unwrap()
    }
}

fn storm(seconds: u64, max_items: u32, max_bytes: u64) {
    let _alone = support::alone();
    let mut random = Random(support::seed());
    let arena = Arena::shared(0).unwrap();
    let baseline = arena.usage();
    let (ring_handle, ring) = ring_at(arena, Ring::new(max_items, max_bytes));
    let (guarded_handle, guarded) =
        place(arena, Kind::Lock, (OwnerLock::new(), [AtomicU64::new(0), AtomicU64::new(0)]));
    let stage = Stage { arena, ring, guarded, shared: shared() };
    let mut children: Vec<(usize, u32)> = (0..9).map(|role| (role, stage.start(role, random.next()))).collect();
    let start = Instant::now();
    let (mut kills, mut consumers_killed) = (0, 0);
    let mut stalls = Stalls([(0, start, Duration::ZERO); 3]);
    while start.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        let counters = [ring.position().1 as u64, ring.position().0 as u64, stage.shared.turns.load(SeqCst)];
        stalls.look(counters);
        if stalls.worst() > WORST_STALL {
            break;
        }
        let victim = random.below(children.len() as u64) as usize;
        let (role, pid) = children[victim];
        kill(pid);
        assert_eq!(wait(pid), -libc::SIGKILL, "role {role} ended by itself");
        kills += 1;
        consumers_killed += u64::from(role % 3 == 1);
        if random.below(2) == 0 {
            arena.reap(pid);
        }
        children[victim].1 = stage.start(role, random.next());
    }
    let elapsed = start.elapsed().as_secs_f64();
    stage.shared.stop_producers.store(true, SeqCst);
    let drained = Instant::now();
    while !ring.is_empty() && drained.elapsed() < WORST_STALL * 5 {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    stage.shared.stop.store(true, SeqCst);
    children.into_iter().for_each(|(role, pid)| assert_eq!(wait(pid), 0, "role {role} failed"));
    arena.processes().expire_reservations(); // of children killed before their first step, see `death.md`
    arena.reap_all();
    let put = ring.position().1 as u64; // from zero, and fewer than 2^32
    let (taken, turns) = (stage.shared.taken.load(SeqCst), stage.shared.turns.load(SeqCst));
    println!(
        "{kills} kills in {elapsed:.1} s ({:.0} a minute); {put} messages put, {taken} received, {} lost by {consumers_killed} \
         killed consumers; {turns} turns of the lock; worst stalls: put {:?}, get {:?}, lock {:?}",
        kills as f64 / elapsed * 60.0,
        put as i64 - taken as i64,
        stalls.0[0].2,
        stalls.0[1].2,
        stalls.0[2].2,
    );
    assert!(stalls.worst() < WORST_STALL, "a hang");
    assert_eq!(stage.shared.torn.load(SeqCst), 0, "torn");
    assert_eq!(stage.shared.twice.load(SeqCst), 0, "twice");
    assert!(ring.is_empty() && taken <= put && put - taken <= consumers_killed * BATCH as u64, "lost");
    arena.check().unwrap();
    drop((ring_handle, guarded_handle));
    arena.check().unwrap();
    let left: Vec<_> = arena.objects().into_iter().map(|object| (object, arena.holders(object.0))).collect();
    assert_eq!((arena.usage().objects, arena.usage().used), (baseline.objects, baseline.used), "{left:?}");
    number_of(&payload(7, 9)); // the check itself
}

fn long() -> u64 {
    std::env::var("CRASH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

#[test]
fn a_short_storm_over_a_growing_ring() {
    storm(3, 0, 0);
}

#[test]
fn a_short_storm_over_a_bounded_ring() {
    storm(3, 8, 0);
}

#[test]
#[ignore = "as long as CRASH_SECONDS says (60)"]
fn storms() {
    for (items, bytes) in [(0, 0), (20, 0), (0, 50_000)] {
        storm(long() / 3, items, bytes);
    }
}
