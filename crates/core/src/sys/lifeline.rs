//! A process that ends with its parent: the kernel itself sends the signal, whatever the process is at.
//!
//! A parent has a pipe into which nobody ever writes, its lifeline. The writing end is the parent's alone: a fork gives
//! up its copy at once, an exec closes it. So the last writer is gone when the parent has ended, however it did. Each
//! child gets the reading end, opened anew (the request belongs to an open file, and must not be shared with siblings;
//! the parent opens it, whose /proc entry the kernel has at hand), and asks the kernel for a signal at that moment
//! (`O_ASYNC`). That takes no thread, reaches a process that is stuck in C code, and does not mix up who forked with who
//! is the parent, as `PR_SET_PDEATHSIG` does with threads and fork servers.
//!
//! The signal is one of two. `SIGKILL` ends a process that has nothing to put in order. The other is `SIGCONT`, since
//! that wakes a stopped process as well. Its handler here, if the lifeline has really ended, first gives up the process's
//! own, so that the whole family hears of it at once and not one generation after another, and then has the kernel's
//! timers send SIGTERM and, a little later, SIGKILL. Before the first there is a moment for processes that look after
//! their parent themselves and leave by their own door.
//!
//! One that blocks `SIGCONT` in every thread, or has a handler of its own for it, is not reached. A process that closes
//! its descriptors, or forks anew, has left the family.

use crate::loom::{AtomicU32, AtomicU64, Ordering};
use std::io;
use std::os::fd::RawFd;
use std::sync::Once;

use super::pipe::pipe_inode;

/// From the parent's end to SIGTERM, and to SIGKILL. Together with the kernel's own time below a second; arbitrary.
const TERM_MS: u32 = 200;
const KILL_MS: u32 = 500;

const MAKING: u32 = u32::MAX; // in the place of the owner

/// One end of a pipe that this process holds, or none. Closed only while it is that pipe's: a program that closed all
/// its descriptors, as daemons do, may have others under these numbers.
struct End {
    fd: AtomicU32,
    inode: AtomicU64,
}

static READING: End = End::none(); // of this process's own lifeline
static WRITING: End = End::none();
static OWNER: AtomicU32 = AtomicU32::new(0); // pid of the process whose lifeline it is; 0: nobody's
static PARENTS: End = End::none(); // the reading end of the parent's, asking for a signal
static ENDING: AtomicU32 = AtomicU32::new(0); // whether the timers are set

impl End {
    const fn none() -> Self {
        Self { fd: AtomicU32::new(u32::MAX), inode: AtomicU64::new(0) }
    }

    fn keep(&self, fd: RawFd) {
        self.inode.store(pipe_inode(fd).unwrap_or(0), Ordering::Relaxed);
        self.fd.store(fd as u32, Ordering::Relaxed);
    }

    /// The descriptor, while it is still this pipe's.
    fn get(&self) -> Option<RawFd> {
        let fd = self.fd.load(Ordering::Relaxed) as RawFd;
        (fd >= 0 && pipe_inode(fd) == Some(self.inode.load(Ordering::Relaxed))).then_some(fd)
    }

    /// Uses only what a signal's handler and a forked child may.
    fn close(&self) {
        if let Some(fd) = self.get() {
            // SAFETY: the descriptor is ours: of the pipe that was kept here.
            unsafe { libc::close(fd) };
        }
        self.fd.store(u32::MAX, Ordering::Relaxed);
    }

    /// Whether the pipe has no writer any more.
    fn is_hung_up(&self) -> bool {
        self.get().is_some_and(|fd| {
            let mut asked = libc::pollfd { fd, events: 0, revents: 0 };
            // SAFETY: reads and writes one pollfd, and does not wait.
            unsafe { libc::poll(&raw mut asked, 1, 0) == 1 && asked.revents & libc::POLLHUP != 0 }
        })
    }
}

/// The reading end of this process's lifeline for one child, close-on-exec: the caller's to close once the child has it.
///
/// Where /proc cannot be read it is not opened anew, and of all children only the last to ask gets its signal.
/// Raises: out of descriptors.
pub fn lifeline() -> io::Result<RawFd> {
    let own = own()?;
    let path = format!("/proc/self/fd/{own}\0");
    // SAFETY: `path` ends in a NUL; the descriptor is the caller's from here on.
    let fd = unsafe {
        match libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC) {
            -1 => libc::fcntl(own, libc::F_DUPFD_CLOEXEC, 0),
            fd => fd,
        }
    };
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

/// The reading end of this process's lifeline: made when first asked for, and kept for good.
fn own() -> io::Result<RawFd> {
    give_up_in_forks();
    loop {
        let owner = OWNER.load(Ordering::Acquire); // SYNC: with the release below: the ends are there when the owner is
        if owner == super::pid()
            && let Some(fd) = READING.get()
        {
            return Ok(fd);
        }
        // Not made yet, or closed by the program; or another thread is at it.
        if owner != MAKING && OWNER.compare_exchange(owner, MAKING, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            break;
        }
        super::yield_now();
    }
    let made = make();
    // SYNC: with the acquire above.
    OWNER.store(if made.is_ok() { super::pid() } else { 0 }, Ordering::Release);
    made
}

fn make() -> io::Result<RawFd> {
    let mut ends = [-1; 2];
    // SAFETY: writes two descriptors, which are ours from here on.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    READING.keep(ends[0]);
    WRITING.keep(ends[1]);
    Ok(ends[0])
}

/// The ends of this process's lifeline, for who counts descriptors; -1 where there is none.
pub fn lifeline_ends() -> [RawFd; 2] {
    let own = OWNER.load(Ordering::Relaxed) == super::pid(); // not those of the process that forked this one
    [&READING, &WRITING].map(|end| end.get().filter(|_| own).unwrap_or(-1))
}

/// Let this process end when its parent does, by SIGTERM and then SIGKILL. `fd` is what [`lifeline`] gave the parent
/// for it, and is kept here. False: it will not end, since the kernel does not do it.
pub fn end_with_parent(fd: RawFd) -> bool {
    give_up_in_forks();
    ENDING.store(0, Ordering::Relaxed);
    PARENTS.keep(fd);
    install_handler();
    // SAFETY: passes numbers only.
    let asked = ask(fd, libc::SIGCONT)
        && unsafe {
            libc::fcntl(fd, libc::F_SETOWN, super::pid()) == 0
                && libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK | libc::O_ASYNC) == 0
        };
    if PARENTS.is_hung_up() {
        begin_to_end(); // it ended before it could be asked for
    }
    asked
}

/// The same, but by SIGKILL and without a moment: for a process that has nothing to put in order.
///
/// False: this process does not end with its parent.
pub fn end_at_once() -> bool {
    let asked = PARENTS.get().is_some_and(|fd| ask(fd, libc::SIGKILL));
    if PARENTS.is_hung_up() {
        kill_self(libc::SIGKILL);
    }
    asked
}

const F_SETSIG: libc::c_int = 10; // missing in `libc`

/// Choose the signal that comes when the last writer is gone.
fn ask(fd: RawFd, signal: libc::c_int) -> bool {
    // SAFETY: passes numbers only.
    unsafe { libc::fcntl(fd, F_SETSIG, signal) == 0 }
}

fn install_handler() {
    // SAFETY: all-zero structures are valid; the handler uses only what a handler may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_continue as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGCONT, &raw const action, std::ptr::null_mut());
    }
}

extern "C" fn on_continue(_: libc::c_int) {
    // SAFETY: the calling thread's own errno, which whoever was interrupted is about to read.
    let errno = unsafe { *libc::__errno_location() };
    if PARENTS.is_hung_up() {
        begin_to_end();
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn begin_to_end() {
    if ENDING.swap(1, Ordering::Relaxed) != 0 {
        return;
    }
    WRITING.close();
    if !(send_later(libc::SIGTERM, TERM_MS) && send_later(libc::SIGKILL, KILL_MS)) {
        kill_self(libc::SIGKILL); // no timers are left
    }
}

/// Let the kernel send this process a signal in so many milliseconds.
fn send_later(signal: libc::c_int, after_ms: u32) -> bool {
    // SAFETY: all-zero structures are valid; for this kind of timer the C library only passes them on to the kernel.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal;
        let mut timer: libc::timer_t = std::mem::zeroed();
        let mut time: libc::itimerspec = std::mem::zeroed();
        time.it_value.tv_nsec = libc::c_long::from(after_ms) * 1_000_000;
        libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) == 0
            && libc::timer_settime(timer, 0, &raw const time, std::ptr::null_mut()) == 0
    }
}

fn kill_self(signal: libc::c_int) {
    // SAFETY: passes numbers only.
    unsafe { libc::kill(libc::getpid(), signal) };
}

/// A forked child is not the parent, and not the one that ends with it.
fn give_up_in_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler closes descriptors of ours and touches nothing else.
        unsafe { libc::pthread_atfork(None, None, Some(after_fork_in_child)) };
    });
}

extern "C" fn after_fork_in_child() {
    WRITING.close();
    PARENTS.close();
    OWNER.store(0, Ordering::Relaxed);
}
