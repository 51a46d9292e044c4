//! Linux system calls behind the contract in `mod.rs`.
//!
//! Those that glibc 2.17 has no function for go by number: the wheels run on it, and one missing name would be one too
//! many when the extension is loaded. `scripts/wheels.sh` looks for such names.

use super::FutexWait;
use crate::loom::AtomicU32;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

/// Sleep while `word` holds `expected`, at most `timeout`.
pub fn futex_wait(word: &AtomicU32, expected: u32, timeout: Duration) -> FutexWait {
    let time =
        libc::timespec { tv_sec: timeout.as_secs() as libc::time_t, tv_nsec: timeout.subsec_nanos() as libc::c_long };
    // SAFETY: `word` is a live, aligned u32 for the length of the call; `time` outlives it; FUTEX_WAIT reads both only.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &raw const time) };
    if result == 0 {
        return FutexWait::Woken;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::ETIMEDOUT) => FutexWait::TimedOut,
        Some(libc::EINTR) => FutexWait::Interrupted,
        _ => FutexWait::Woken, // EAGAIN: the word had changed already
    }
}

/// Wake at most `count` sleepers on `word`; tells how many.
pub fn futex_wake(word: &AtomicU32, count: u32) -> u32 {
    let count = count.min(i32::MAX as u32);
    // SAFETY: the kernel uses the address as a key only; it reads and writes nothing.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
    u32::try_from(woken).unwrap_or(0)
}

/// Let another runnable thread have this CPU.
pub fn yield_now() {
    // SAFETY: takes no argument, touches no memory of ours.
    unsafe { libc::sched_yield() };
}

/// How many CPUs this process may run on (affinity, read once).
pub fn cpus() -> usize {
    static CPUS: OnceLock<usize> = OnceLock::new();
    *CPUS.get_or_init(|| {
        // SAFETY: an all-zero cpu_set_t is a valid empty set; the call writes at most its size.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) == 0 {
                libc::CPU_COUNT(&set).max(1) as usize
            } else {
                1
            }
        }
    })
}

/// Pages that the calling thread touched and the kernel had to map, ever, without reading them from a disk.
pub fn page_faults() -> u64 {
    // SAFETY: an all-zero rusage is valid; the call writes into it only.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage.ru_minflt as u64
    }
}

/// This process's id.
pub fn pid() -> u32 {
    std::process::id()
}

/// The id of the process that started this one, or has adopted it since.
pub fn parent_pid() -> u32 {
    std::os::unix::process::parent_id()
}

/// The calling thread's id in the kernel, which is Python's `threading.get_native_id()`.
pub fn native_thread() -> u32 {
    // SAFETY: always succeeds, touches no memory.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// What others see the calling thread called, in the kernel's lists: the first 15 bytes of this.
pub fn name_thread(name: &str) {
    let end = (0..=15.min(name.len())).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    let mut text = [0u8; 16];
    text[..end].copy_from_slice(&name.as_bytes()[..end]);
    // SAFETY: reads the text, which ends in a NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, text.as_ptr()) };
}

/// Send a signal to the main thread of another process. (One that is sent to the process goes to whichever of its
/// threads comes first.) False: it was not sent.
pub fn signal_main_thread(pid: i32, signal: i32) -> bool {
    // SAFETY: takes and returns plain numbers and touches no memory. A main thread's id is its process's.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, signal) == 0 }
}

/// What names the calling thread within its process: `pthread_self`, which is also Python's `threading.get_ident()`.
pub fn thread_ident() -> u64 {
    // SAFETY: always succeeds, touches no memory.
    unsafe { libc::pthread_self() as u64 }
}

/// When process `pid` started (clock ticks since boot), or None when it has ended (a zombie has) or cannot be read.
///
/// Uses only open, read and close, and no allocation: it also runs in a forked child before its first step.
pub fn start_time(pid: u32) -> Option<u64> {
    let mut text = [0u8; 1024];
    read_entry(pid, "stat", &mut text).and_then(parse_stat)
}

/// Whether the process that started at `start` (0: not known) has certainly ended. Errs towards false: /proc may be missing,
/// or the table of descriptors full, and taking a lock from the living is worse than waiting for the dead. Of a child
/// that nobody has waited for it is known even then: who would wait for it may be the one who asks.
pub fn has_ended(pid: u32, start: u64) -> bool {
    let mut text = [0u8; 1024];
    match read_entry(pid, "stat", &mut text) {
        Some(text) => parse_stat(text).is_none_or(|now| start != 0 && now != start),
        // SAFETY: signal 0 only asks whether the process exists.
        None if unsafe { libc::kill(pid as libc::pid_t, 0) } != 0 => last_error() == libc::ESRCH,
        None => is_dead_child(pid),
    }
}

/// Whether this is a child of ours that has ended; it stays as it is, for who waits for it.
fn is_dead_child(pid: u32) -> bool {
    // SAFETY: all zeros is a `siginfo_t`; waitid writes there, and takes plain numbers otherwise.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid, &raw mut info, flags) == 0 && info.si_pid() == pid as libc::pid_t
    }
}

/// Bytes that a process has in memory and shares with nobody by design, or None when it has ended or cannot be read.
pub fn own_memory(pid: u32) -> Option<u64> {
    let mut text = [0u8; 1024];
    let text = std::str::from_utf8(read_entry(pid, "statm", &mut text)?).ok()?;
    let mut pages = text.split(' ').skip(1).map_while(|number| number.trim().parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    // SAFETY: takes and returns plain numbers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(resident.saturating_sub(shared) * u64::try_from(page).ok()?)
}

fn last_error() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The text of /proc/<pid>/<name>, None when it cannot be read.
fn read_entry<'a>(pid: u32, name: &str, text: &'a mut [u8; 1024]) -> Option<&'a [u8]> {
    let mut path = [0u8; 32];
    {
        use io::Write;
        let mut rest = &mut path[..31];
        write!(rest, "/proc/{pid}/{name}").ok()?;
    }
    // SAFETY: `path` ends in a NUL; `text` has the length given; the descriptor is ours and closed once.
    let length = unsafe {
        let fd = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return None;
        }
        let length = libc::read(fd, text.as_mut_ptr().cast(), text.len());
        libc::close(fd);
        length
    };
    let length = usize::try_from(length).ok().filter(|&length| length > 0)?;
    Some(&text[..length])
}

/// The start time in a line of /proc/<pid>/stat, None for a process that has ended.
fn parse_stat(text: &[u8]) -> Option<u64> {
    // The command name may hold spaces and parentheses: fields count from behind its last ")".
    let close = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = text.get(close + 2..)?.split(|&byte| byte == b' ');
    let state = fields.next()?;
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.trim().parse::<u64>().ok();
    // Fields 3.. of proc(5): state is 3, num_threads 20, starttime 22.
    let threads = number(fields.nth(16)?)?;
    let start = number(fields.nth(1)?)?;
    // A zombie leader with other threads left still runs.
    if matches!(state, b"Z" | b"X") && threads <= 1 {
        return None;
    }
    Some(start)
}

/// Physical memory of this machine, bytes.
pub fn physical_memory() -> u64 {
    // SAFETY: sysconf takes and returns plain numbers.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    (pages.max(1) as u64) * (size.max(4096) as u64)
}

/// The machine's monotonic clock: the same for all its processes.
pub fn monotonic() -> Duration {
    clock(libc::CLOCK_MONOTONIC)
}

/// The same, as it stood at the last tick (4 ms ago at most, as a rule), for a quarter of the price: 5 ns.
pub fn coarse_time() -> Duration {
    clock(libc::CLOCK_MONOTONIC_COARSE)
}

fn clock(which: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes into `time` only; both clocks always exist.
    unsafe { libc::clock_gettime(which, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Seconds since 1970, rounded down. One load from a page that the kernel keeps up to date: cheap enough for every
/// acquisition of a lock, which no finer clock is.
#[inline]
pub fn seconds() -> u32 {
    // SAFETY: told to write nowhere.
    unsafe { libc::time(std::ptr::null_mut()) as u32 }
}

/// Fill `buffer` with random bytes from the kernel.
pub fn random(buffer: &mut [u8]) -> io::Result<()> {
    // SAFETY: writes at most `buffer.len()` bytes into `buffer`.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, buffer.as_mut_ptr(), buffer.len(), 0) };
    if got == buffer.len() as libc::c_long { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "miri knows no kill()")]
    fn own_start_time_is_known_and_a_free_pid_has_none() {
        assert!(start_time(pid()).is_some());
        assert_eq!(start_time(u32::MAX / 2), None);
        assert!(has_ended(u32::MAX / 2, 0));
    }

    #[test]
    fn only_another_start_time_or_no_process_at_all_means_ended() {
        let started = start_time(pid()).unwrap();
        assert!(!has_ended(pid(), started));
        assert!(!has_ended(pid(), 0));
        assert!(has_ended(pid(), started + 1));
    }

    #[test]
    #[cfg_attr(miri, ignore = "miri knows no fork()")]
    fn a_dead_child_is_known_without_a_descriptor() {
        // SAFETY: the children call nothing but the system; in the first one no descriptor can be opened.
        unsafe {
            let first = libc::fork();
            if first == 0 {
                let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none);
                let [dead, alive] = [true, false].map(|ends| {
                    let child = libc::fork();
                    if child == 0 {
                        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                        if !ends {
                            libc::pause();
                        }
                        libc::_exit(0);
                    }
                    child as u32
                });
                let mut info: libc::siginfo_t = std::mem::zeroed();
                libc::waitid(libc::P_PID, dead, &raw mut info, libc::WEXITED | libc::WNOWAIT);
                let told = start_time(dead).is_none() && has_ended(dead, 1) && !has_ended(alive, 1);
                libc::kill(alive as libc::pid_t, libc::SIGKILL);
                libc::_exit(i32::from(told));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(first, &raw mut status, 0), first);
            assert_eq!(libc::WEXITSTATUS(status), 1);
        }
    }

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let line = b"7 (a) Z (b)) S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 3 0 987 1 1";
        assert_eq!(parse_stat(line), Some(987));
        let zombie = b"7 (x) Z 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987 1 1";
        assert_eq!(parse_stat(zombie), None);
    }
}
