//! An arena looked at from outside: every object is found and told as it is, the looker has no part in it, and damage
//! gives less, never a crash or an endless walk.

#![allow(clippy::cast_ptr_alignment)]

use procession_core::arena::{Arena, Handle, Kind};
use procession_core::event::Event;
use procession_core::heap::{BLOCK_HEADER, START};
use procession_core::mutex::Mutex;
use procession_core::observe::{Observer, State};
use procession_core::owner::Policy;
use procession_core::ring::{Message, Ring, Wait};
use procession_core::semaphore::Semaphore;
use procession_core::source::Source;
use std::path::PathBuf;

fn path_of(arena: &Arena) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", arena.fd()))
}

fn observer_of(arena: &Arena) -> Observer {
    Observer::new(Source::of_file(&path_of(arena)).expect("a file")).expect("an arena")
}

/// A fresh object; its handle is to be kept as long as it is used.
fn object<T>(arena: &'static Arena, kind: Kind, value: T) -> (Handle, &'static T) {
    let handle = arena.allocate(kind, size_of::<T>() as u64).expect("room");
    let place = handle.contents().cast::<T>();
    // SAFETY: fresh, aligned to 64 bytes and large enough; the handle outlives the use of the reference.
    unsafe {
        place.write(value);
        (handle, &*place)
    }
}

#[test]
fn objects_are_told_as_they_are() {
    let arena = Arena::shared(0).expect("an arena");
    let (mutex_handle, mutex) = object(arena, Kind::Lock, Mutex::new(Policy::Warn));
    let (_semaphore_handle, _) = object(arena, Kind::Semaphore, Semaphore::new(3, 5, Policy::Warn));
    let (_event_handle, event) = object(arena, Kind::Event, Event::new());
    let (_ring_handle, ring) = object(arena, Kind::Ring, Ring::new(0, 0));
    mutex_handle.set_site(arena.label("/home/u/bank.py:12 in deposit"));
    mutex_handle.set_name(Some("accounts"));
    assert!(mutex.try_acquire(arena.me(), 77));
    event.set();
    let message = Message { payload: &[1; 40], attachments: &[] };
    assert!(arena.put(ring, &[message; 3], Wait::Never).is_ok());
    arena.processes().introduce(arena.me(), "looker");

    let picture = observer_of(arena).look();
    assert_eq!(picture.token, arena.token());
    assert_eq!(picture.damaged, None);
    assert_eq!(picture.members.len(), 1, "who looks has no place");
    assert_eq!(picture.members[0].name.as_deref(), Some("looker"));
    assert!(picture.members[0].alive);
    let (block, state) = &picture.objects[0];
    assert_eq!((block.offset, block.serial), mutex_handle.address());
    assert_eq!(picture.label(block.site).as_deref(), Some("/home/u/bank.py:12 in deposit"));
    assert_eq!(picture.label(block.name).as_deref(), Some("accounts"));
    assert_eq!(block.holders[0], 1 << arena.me().place());
    let State::Mutex { owner: Some(owner), count: 1, .. } = state else { panic!("{state:?}") };
    assert_eq!((owner.owner, owner.thread), (arena.me(), 77));
    let states: Vec<_> = picture.objects.iter().map(|(_, state)| state).collect();
    assert!(states.iter().any(|state| matches!(state, State::Semaphore { value: 3, maximum: 5, held: 0, waiters: 0 })));
    assert!(states.iter().any(|state| matches!(state, State::Event { is_set: true, times_set: 1, waiters: 0 })));
    assert!(states.iter().any(|state| matches!(state, State::Ring { depth: 3, put: 3, taken: 0, storage: 4096, .. })));
}

#[test]
fn each_look_is_a_new_one() {
    let arena = Arena::shared(0).expect("an arena");
    let mut observer = observer_of(arena);
    assert_eq!(observer.look().objects.len(), 0);
    let handle = arena.allocate(Kind::Block, 300).expect("room");
    assert_eq!(observer.look().objects.len(), 1);
    drop(handle);
    assert_eq!(observer.look().objects.len(), 0);
    assert_eq!(arena.check(), Ok(()));
}

#[test]
fn ones_own_memory_can_be_read_as_well() {
    let arena = Arena::private().expect("an arena");
    let (handle, _) = object(arena, Kind::Event, Event::new());
    let start = handle.contents() as u64 - BLOCK_HEADER - handle.offset();
    let length = arena.usage().capacity;
    let source = Source::of_memory(std::process::id(), start, length).expect("one's own");
    let picture = Observer::new(source).expect("an arena").look();
    assert_eq!(picture.objects.len(), 1);
    assert_eq!(picture.objects[0].0.offset, handle.offset());
}

#[test]
fn what_is_no_arena_is_refused() {
    assert!(Observer::new(Source::of_file(&PathBuf::from("/proc/self/exe")).expect("a file")).is_err());
    assert!(Observer::new(Source::of_file(&PathBuf::from("/dev/null")).expect("a file")).is_err());
    assert!(Source::of_file(&PathBuf::from("/proc/self/fd/999999")).is_err());
}

/// The next of a series of numbers that looks random (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn damage_gives_less_and_nothing_worse() {
    const EXTENT: usize = START as usize + (64 << 10);
    let arena = Arena::shared(0).expect("an arena");
    let (first, mutex) = object(arena, Kind::RLock, Mutex::new(Policy::Warn));
    assert!(mutex.try_acquire(arena.me(), 1));
    let (_ring_handle, ring) = object(arena, Kind::Ring, Ring::new(0, 0));
    let _ = arena.put(ring, &[Message { payload: &[1; 40], attachments: &[] }; 3], Wait::Never);
    let kinds = [Kind::Condition, Kind::Barrier, Kind::Semaphore, Kind::Value, Kind::Array, Kind::Claim, Kind::Block];
    let others: Vec<_> = kinds.iter().map(|&kind| arena.allocate(kind, 4096).expect("room")).collect();
    for (number, handle) in others.iter().enumerate() {
        handle.set_name(Some(&format!("name {number}")));
    }
    let base = first.contents().wrapping_sub((first.offset() + BLOCK_HEADER) as usize);
    // SAFETY: the beginning of the arena; only this thread uses it.
    let whole = unsafe { std::slice::from_raw_parts_mut(base, EXTENT) };
    let before = whole.to_vec();
    let mut observer = observer_of(arena);
    let objects = observer.look().objects.len();
    assert_eq!(objects, 10);
    let (mut state, mut most) = (0x9e37_79b9_7f4a_7c15, 0);
    for round in 0..2000 {
        for _ in 0..=(round % 7) {
            let anywhere = next(&mut state) as usize;
            // Half of it near the objects' headers, where most depends on it.
            let at = match anywhere % 4 {
                0 => anywhere / 4 % 4096,
                1 => anywhere / 4 % EXTENT,
                _ => START as usize + anywhere / 4 % 16384,
            } & !3;
            let value = [0, 1, 2, 64, u32::MAX, 1 << 31, START as u32, next(&mut state) as u32][round % 8];
            whole[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        let picture = observer.look();
        most = most.max(picture.objects.len());
        for (block, _) in &picture.objects {
            let _ =
                (picture.label(block.name), picture.label(block.site), picture.member(block.offset as usize % 1024));
        }
        let _ = Source::of_file(&path_of(arena)).map(Observer::new); // may be no arena any more
        whole.copy_from_slice(&before);
    }
    assert!(most <= 2000, "{most}");
    let picture = observer.look();
    assert_eq!((picture.objects.len(), picture.damaged), (objects, None));
    assert_eq!(arena.check(), Ok(()));
}
