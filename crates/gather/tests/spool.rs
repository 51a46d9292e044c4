//! Blocks appended to a spool: by several at once, and when the file may not grow any more.

mod common;

use std::os::fd::AsRawFd;
use std::process::Command;

use common::memory_file;
use procession_gather::spool::{ALIGNED, HEADER, LARGEST, Spool};

/// Set in the process that runs a test under a limit, which holds for all of a process.
const LIMITED: &str = "PROCESSION_TEST_LIMITED";

fn check(spool: &Spool, offset: u64, block: &[u8]) {
    let mut found = vec![0; block.len()];
    spool.read(&mut found, offset).unwrap();
    assert!(found == block, "the block at {offset} is not what was appended");
    assert!(offset >= HEADER as u64 && offset.is_multiple_of(ALIGNED));
}

#[test]
fn several_append_and_each_finds_its_blocks_whole() {
    let (file, spool) = memory_file();
    std::thread::scope(|scope| {
        for writer in 1..=4u8 {
            let file = &file;
            scope.spawn(move || {
                let own = Spool::open(file.as_raw_fd()).unwrap();
                let blocks: Vec<Vec<u8>> = (0..500).map(|number| vec![writer; 1 + number * 13 % 5000]).collect();
                let offsets: Vec<u64> = blocks.iter().map(|block| own.append(block).unwrap()).collect();
                blocks.iter().zip(offsets).for_each(|(block, offset)| check(&own, offset, block));
            });
        }
    });
    let bytes: u64 = (0..500u64).map(|number| (1 + number * 13 % 5000).next_multiple_of(ALIGNED)).sum();
    assert_eq!(file.metadata().unwrap().len(), HEADER as u64 + 4 * bytes);
    check(&spool, spool.append(b"later").unwrap(), b"later");
}

#[test]
fn a_block_that_no_call_writes_whole_is_refused_and_writes_nothing() {
    let (file, spool) = memory_file();
    let block = vec![0; LARGEST + 1]; // never touched: no memory behind it
    assert_eq!(spool.append(&block).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
    assert_eq!(file.metadata().unwrap().len(), HEADER as u64);
}

fn limit_file_size(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a whole rlimit; ignoring a signal installs no code.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}

#[test]
fn a_file_that_may_not_grow_is_an_error_and_later_blocks_are_whole_again() {
    if std::env::var_os(LIMITED).is_none() {
        let name = "a_file_that_may_not_grow_is_an_error_and_later_blocks_are_whole_again";
        let mut again = Command::new(std::env::current_exe().unwrap());
        let output = again.args([name, "--exact", "--nocapture"]).env(LIMITED, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    // Cut in the middle of a block, at a multiple of 8 and elsewhere; the padding fits in between in one case
    for limit in [HEADER + 20_000, HEADER + 20_003, HEADER + 1001] {
        limit_file_size(limit as u64);
        let (file, spool) = memory_file();
        let mut whole = Vec::new();
        let error = loop {
            let block = vec![whole.len() as u8 + 1; 999];
            match spool.append(&block) {
                Ok(offset) => whole.push((offset, block)),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::EFBIG), "{error}");
        assert_eq!(file.metadata().unwrap().len(), limit as u64, "the last block was cut short");
        limit_file_size(libc::RLIM_INFINITY);
        whole.push((spool.append(b"there is space again").unwrap(), b"there is space again".to_vec()));
        for (offset, block) in &whole {
            check(&spool, *offset, block);
        }
    }
}
