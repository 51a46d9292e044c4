//! Real processes and real files: death at every numbered step, and a storm of kills. What a putter had put is there,
//! what a getter had taken is not, whatever was left half done; and the others go on at once, or anew from the files.
#![allow(clippy::pedantic)] // of a test one asks less

mod support;

use procession_core::arena::{Arena, Kind};
use procession_core::failpoint;
use procession_disk::{Error, Options, Queue, State};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use support::{Random, Scratch, number_of, payload, small};

type Shared = Queue<&'static Arena>;

fn arena() -> &'static Arena {
    static ARENA: OnceLock<&'static Arena> = OnceLock::new();
    ARENA.get_or_init(|| Arena::shared(0).unwrap())
}

/// Tests that fork run one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A state in the arena, which is never given back.
/// Small segments; and the machine goes on: nothing that a kill leaves may pass for damage.
fn unbroken() -> Options {
    Options { intact: true, ..small() }
}

fn state() -> &'static State {
    let handle = arena().allocate(Kind::Block, State::SIZE as u64).unwrap();
    // SAFETY: a block of the size, aligned to 64; zeros are a state; the handle is leaked.
    unsafe {
        handle.contents().write_bytes(0, State::SIZE);
        let state = &*handle.contents().cast::<State>();
        std::mem::forget(handle);
        state
    }
}

fn fork(work: impl FnOnce()) -> i32 {
    // SAFETY: the child runs `work` alone and leaves by _exit.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid > 0 {
            return pid;
        }
        libc::alarm(60);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        libc::_exit(if result.is_ok() { 0 } else { 101 });
    }
}

/// Its exit code, or minus the signal that ended it.
fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: writes into `status` only.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    if libc::WIFSIGNALED(status) { -libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

/// Call again what was only interrupted.
fn patiently<R>(mut call: impl FnMut() -> Result<R, Error>) -> Result<R, Error> {
    loop {
        match call() {
            Err(Error::Interrupted) => {}
            other => return other,
        }
    }
}

fn put(queue: &Shared, number: u64, size: usize) {
    let bytes = payload(number, size);
    let ticket = patiently(|| queue.put(&[&bytes], None)).unwrap();
    patiently(|| queue.settle(ticket, None)).unwrap();
}

fn get(queue: &Shared, patience: Duration) -> Option<u64> {
    let (mut bytes, end) = (Vec::new(), Instant::now() + patience);
    match patiently(|| queue.get(Some(end), &mut bytes)) {
        Ok((_, ticket)) => {
            patiently(|| queue.settle(ticket, None)).unwrap();
            Some(number_of(&bytes))
        }
        Err(Error::Empty) => None,
        Err(error) => panic!("{error}"),
    }
}

fn finish(queue: &Shared) {
    let ticket = patiently(|| queue.done(None)).unwrap().expect("one that was taken");
    patiently(|| queue.settle(ticket, None)).unwrap();
}

fn drain(queue: &Shared) -> Vec<u64> {
    let mut numbers = Vec::new();
    while queue.unfinished() > 0 {
        numbers.push(get(queue, Duration::from_secs(5)).expect("what is unfinished comes"));
        if queue.options().joinable {
            finish(queue);
        }
    }
    numbers
}

/// Run `work` in children that die at step 1, 2, ... until one gets through. What is left is judged twice: as those
/// see it who are still there, and from the files alone.
fn at_every_step(options: Options, least: u64, work: impl Fn(&Shared), judge: impl Fn(&[u64])) {
    let _alone = alone();
    let mut step = 0;
    loop {
        step += 1;
        let scratch = Scratch::fast("steps");
        let queue = Queue::make(scratch.path(), &options, state(), arena()).unwrap();
        for number in 0..6 {
            put(&queue, number, 900);
        }
        let child = fork(|| {
            failpoint::arm(step);
            work(&queue);
            failpoint::disarm();
        });
        let status = wait(child);
        let copy = Scratch::fast("steps-copy");
        for (name, _) in scratch.files() {
            std::fs::copy(scratch.path().join(&name), copy.path().join(&name)).unwrap();
        }
        // Those who are still there go on at once.
        let start = Instant::now();
        patiently(|| queue.give_back_of_the_dead()).unwrap(); // which is looked for every 30 ms only
        put(&queue, 99, 5000);
        let numbers = drain(&queue);
        assert!(start.elapsed() < Duration::from_secs(5), "step {step}: {:?}", start.elapsed());
        assert_eq!(numbers.last(), Some(&99), "step {step}");
        judge(&numbers[..numbers.len() - 1]);
        assert_eq!((queue.len(), queue.unfinished(), queue.nbytes()), (0, 0, 0), "step {step}");
        // And whoever comes when all are gone finds the same.
        let queue = Queue::make(copy.path(), &options, state(), arena()).unwrap();
        judge(&drain(&queue));
        put(&queue, 100, 10);
        assert_eq!(drain(&queue), [100], "step {step}");
        arena().reap_all();
        match status {
            0 => break,
            other => assert_eq!(other, -libc::SIGKILL, "step {step}"),
        }
    }
    assert!(step > least, "only {step} steps");
    println!("{step} steps");
}

fn is_beginning(numbers: &[u64], of: &[u64], least: usize) {
    assert!(of.starts_with(numbers) && numbers.len() >= least, "{numbers:?}");
}

#[test]
fn a_putter_who_makes_segments() {
    for power in [false, true] {
        at_every_step(
            Options { power, ..unbroken() },
            20,
            |queue| {
                let bytes = [payload(6, 1500), payload(7, 10), payload(8, 9000)];
                let parts = bytes.each_ref().map(|bytes| [&bytes[..]]);
                let records = parts.each_ref().map(|parts| &parts[..]);
                let (count, ticket) = queue.put_many(&records, None).unwrap();
                assert_eq!(count, 3);
                queue.settle(ticket, None).unwrap();
                put(queue, 9, 3000);
            },
            |numbers| is_beginning(numbers, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 6),
        );
    }
}

/// Whole records behind the tail, which a dead putter left, must not follow what the next one puts in their place.
#[test]
fn what_a_dead_putter_left_does_not_come_back() {
    let _alone = alone();
    for (step, size) in (1..).flat_map(|step| [(step, 100), (step, 30)]) {
        let scratch = Scratch::fast("left");
        let queue = Queue::make(scratch.path(), &unbroken(), state(), arena()).unwrap();
        put(&queue, 0, 100);
        let status = wait(fork(|| {
            failpoint::arm(step);
            let bytes = [1, 2, 3].map(|number| payload(number, 100));
            let parts = bytes.each_ref().map(|bytes| [&bytes[..]]);
            let _ = queue.put_many(&parts.each_ref().map(|parts| &parts[..]), None).unwrap();
            failpoint::disarm();
        }));
        put(&queue, 9, size);
        drop(queue);
        arena().reap_all();
        let found = drain(&Queue::make(scratch.path(), &unbroken(), state(), arena()).unwrap());
        assert!([&[0, 9][..], &[0, 1, 2, 3, 9]].contains(&&found[..]), "step {step}: {found:?}");
        if status == 0 && size == 30 {
            assert!(step > 5);
            break;
        }
    }
}

#[test]
fn a_getter_who_removes_segments() {
    for power in [false, true] {
        at_every_step(
            Options { power, ..unbroken() },
            30,
            |queue| {
                for number in 0..6 {
                    assert_eq!(get(queue, Duration::ZERO), Some(number));
                }
            },
            |numbers| assert!([0, 1, 2, 3, 4, 5].ends_with(numbers), "{numbers:?}"),
        );
    }
}

#[test]
fn a_taker_whose_records_come_back_in_their_old_place() {
    for power in [false, true] {
        at_every_step(
            Options { power, joinable: true, ..unbroken() },
            40,
            |queue| {
                assert_eq!(get(queue, Duration::ZERO), Some(0));
                assert_eq!(get(queue, Duration::ZERO), Some(1));
                finish(queue);
                assert_eq!(get(queue, Duration::ZERO), Some(2));
                assert!(queue.put_back(2).unwrap());
                assert_eq!(get(queue, Duration::ZERO), Some(2));
                finish(queue);
                assert_eq!(get(queue, Duration::ZERO), Some(3));
                assert_eq!(get(queue, Duration::ZERO), Some(4));
                finish(queue);
            },
            |numbers| {
                // Done, oldest first: 0, 1, 2.
                assert!([0, 1, 2, 3, 4, 5].ends_with(numbers) && numbers.len() >= 3, "{numbers:?}");
            },
        );
    }
}

#[test]
fn who_recovers() {
    let _alone = alone();
    let scratch = Scratch::fast("recovering");
    let queue = Queue::make(scratch.path(), &unbroken(), state(), arena()).unwrap();
    for number in 0..20 {
        put(&queue, number, 900);
    }
    drop(queue);
    for step in 1.. {
        let child = fork(|| {
            failpoint::arm(step);
            Queue::make(scratch.path(), &unbroken(), state(), arena()).unwrap();
            failpoint::disarm();
        });
        let status = wait(child);
        // Something for it to do: the end is torn, and there is a segment that nothing leads to.
        let (last, length) = scratch.files().into_iter().rfind(|file| file.0.ends_with(".log")).unwrap();
        let queue = Queue::make(scratch.path(), &unbroken(), state(), arena()).unwrap();
        assert_eq!(queue.len(), 20, "step {step}");
        drop(queue);
        let file = std::fs::OpenOptions::new().write(true).open(scratch.path().join(&last)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 100], length - 100).unwrap();
        std::fs::write(scratch.path().join("new-segment"), [0; 4096]).unwrap();
        arena().reap_all();
        if status == 0 {
            assert!(step > 1);
            break;
        }
    }
}

/// What tester and tested share beside the queue. All zero at first.
struct Told {
    next: AtomicU64,
    stop: AtomicBool,
    taken: AtomicU64,
    twice: AtomicU64,
    put: [AtomicU8; 1 << 26],
    seen: [AtomicU8; 1 << 26],
}

const SEEN: u8 = 1;
const GONE: u8 = 2;

impl Told {
    /// Somebody has a record now, for good or until it is done.
    fn note(&self, number: u64, joinable: bool) {
        let before = self.seen[number as usize].swap(if joinable { SEEN } else { GONE }, SeqCst);
        self.twice.fetch_add(u64::from(before == GONE), SeqCst);
    }
}

fn told() -> &'static Told {
    let (access, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
    // SAFETY: fresh zeroed memory of the right size, never unmapped; zero is valid for all atomics.
    unsafe {
        let base = libc::mmap(std::ptr::null_mut(), size_of::<Told>(), access, flags, -1, 0);
        assert_ne!(base, libc::MAP_FAILED);
        &*base.cast::<Told>()
    }
}

fn storm(options: Options, seconds: u64) {
    let _alone = alone();
    let mut random = Random(0x5707 + u64::from(options.joinable));
    let scratch = Scratch::fast("storm");
    let told = told();
    let queue = Queue::make(scratch.path(), &options, state(), arena()).unwrap();
    let start_one = |role: u64, seed: u64| {
        fork(|| {
            let mut random = Random(seed | 1);
            while !told.stop.load(SeqCst) {
                if role.is_multiple_of(2) {
                    let number = told.next.fetch_add(1, SeqCst);
                    put(&queue, number, random.below(3000) as usize);
                    told.put[number as usize].store(1, SeqCst);
                } else if let Some(number) = get(&queue, Duration::from_millis(20)) {
                    told.note(number, options.joinable);
                    told.taken.fetch_add(1, SeqCst);
                    if options.joinable {
                        finish(&queue);
                        told.seen[number as usize].store(GONE, SeqCst);
                    }
                }
            }
        })
    };
    let mut children: Vec<_> = (0..4).map(|role| (role, start_one(role, random.next()))).collect();
    let (start, mut kills, mut getters) = (Instant::now(), 0u64, 0u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_micros(random.below(8000)));
        let victim = random.below(4) as usize;
        let (role, pid) = children[victim];
        // SAFETY: a child of ours that was not waited for.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        assert_eq!(wait(pid), -libc::SIGKILL, "role {role} ended by itself");
        (kills, getters) = (kills + 1, getters + role % 2);
        if random.below(3) == 0 {
            arena().reap_all();
        }
        children[victim].1 = start_one(role, random.next());
    }
    told.stop.store(true, SeqCst);
    children.into_iter().for_each(|(role, pid)| assert_eq!(wait(pid), 0, "role {role} failed"));
    arena().processes().expire_reservations();
    arena().reap_all();
    // From the files alone.
    drop(queue);
    let queue = Queue::make(scratch.path(), &options, state(), arena()).unwrap();
    let left = drain(&queue);
    left.iter().for_each(|&number| told.note(number, options.joinable));
    let next = told.next.load(SeqCst) as usize;
    let lost = (0..next).filter(|&at| told.put[at].load(SeqCst) == 1 && told.seen[at].load(SeqCst) == 0).count() as u64;
    println!("{kills} kills, {next} put, {} left, {lost} with {getters} killed getters", left.len());
    // One that was taken for good, and not yet counted by who was killed then.
    assert!(lost <= if options.joinable { 0 } else { getters }, "{lost} lost with {getters} killed getters");
    assert!(told.twice.load(SeqCst) == 0, "{} twice", told.twice.load(SeqCst));
    assert!(told.taken.load(SeqCst) > 0 && kills > 0);
}

#[test]
fn a_storm_of_kills() {
    storm(unbroken(), 1);
}

#[test]
fn a_storm_of_kills_over_a_queue_that_is_joined() {
    storm(Options { joinable: true, power: true, ..unbroken() }, 1);
}

#[test]
#[ignore = "as long as CRASH_SECONDS says (60)"]
fn storms() {
    let seconds = std::env::var("CRASH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    for (power, joinable) in [(false, false), (false, true), (true, false), (true, true)] {
        storm(Options { power, joinable, ..unbroken() }, seconds / 4);
    }
}
