//! What the tests share: a process that always lives, a state in this process's memory, a directory of one's own.

#![allow(dead_code)] // each test file uses its part

use procession_core::owner::{Liveness, OwnerId};
use procession_disk::{Error, Options, Process, Queue, State};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub mod model;

/// xorshift64*: small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

/// One of several processes, as one thread plays them: those numbered from 100 on are dead.
#[derive(Debug, Clone, Copy)]
pub struct Played(pub usize);

impl Liveness for Played {
    fn is_alive(&self, owner: OwnerId) -> bool {
        owner.place() < 100
    }
}

impl Process for Played {
    fn me(&self) -> OwnerId {
        OwnerId::new(self.0, 1)
    }
}

/// A state that nobody has made. Its memory is kept to the end of the tests.
pub fn state() -> &'static State {
    let layout = std::alloc::Layout::from_size_align(State::SIZE, 64).unwrap();
    // SAFETY: zeros of the size and alignment, which are a state; never given back.
    unsafe { &*std::alloc::alloc_zeroed(layout).cast::<State>() }
}

/// Make a state one that nobody has made.
pub fn wipe(state: &'static State) -> &'static State {
    // SAFETY: nobody uses it now; zeros are a state.
    unsafe { std::ptr::from_ref(state).cast_mut().cast::<u8>().write_bytes(0, State::SIZE) };
    state
}

/// A directory that goes away with this.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        Self::within(&std::env::temp_dir(), name)
    }

    /// One in memory, if this machine has such files: for what is not about the disk, and would wait for it.
    pub fn fast(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::within(memory, name) } else { Self::new(name) }
    }

    fn within(parent: &Path, name: &str) -> Self {
        let path = parent.join(format!("procession-disk-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Names and lengths of the files in it.
    pub fn files(&self) -> Vec<(String, u64)> {
        let mut files: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
            .collect();
        files.sort();
        files
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Small segments, so that there are many.
pub fn small() -> Options {
    Options { segments: (4096, 16384), ..Options::default() }
}

/// A payload that tells when it is torn: its number, then bytes that follow from it.
pub fn payload(number: u64, size: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((0..size).map(|index| (number as usize).wrapping_mul(31).wrapping_add(index) as u8));
    bytes
}

/// The number of a payload that must be whole.
pub fn number_of(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, payload(number, bytes.len() - 8), "torn record {number}");
    number
}

pub fn now() -> Option<Instant> {
    Some(Instant::now())
}

pub fn put<P: Process, S: procession_disk::Storage>(queue: &Queue<P, S>, number: u64, size: usize) {
    let ticket = queue.put(&[&payload(number, size)], now()).unwrap();
    queue.settle(ticket, None).unwrap();
}

/// The number of the next record; None when there is none.
pub fn get<P: Process, S: procession_disk::Storage>(queue: &Queue<P, S>) -> Option<u64> {
    let mut bytes = Vec::new();
    match queue.get(now(), &mut bytes) {
        Ok((_, ticket)) => {
            queue.settle(ticket, None).unwrap();
            Some(number_of(&bytes))
        }
        Err(Error::Empty | Error::ShutDown) => None,
        Err(error) => panic!("{error:?}"),
    }
}

pub fn drain<P: Process, S: procession_disk::Storage>(queue: &Queue<P, S>) -> Vec<u64> {
    std::iter::from_fn(|| get(queue)).collect()
}
