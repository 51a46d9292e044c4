//! SIGTERM that lets a worker finish what it is at: for those who end a service by a signal to all its processes.
//!
//! The sender decides. SIGTERM from the worker's master ends it as ever, at once, also in C code; so `terminate` does
//! what it says. From anybody else it is noted, and the worker's loop ends after the task it is at; a second one ends
//! the worker at once. A process that the worker forks has no part in this.

use crate::loom::{AtomicU32, Ordering};

static WORKER: AtomicU32 = AtomicU32::new(0); // pid: not that of what it forks, which begins with its handler
static MASTER: AtomicU32 = AtomicU32::new(0);
static DRAINING: AtomicU32 = AtomicU32::new(0);

/// From now on let SIGTERM do so in this process, whose master is the process with this pid.
pub fn drain_on_sigterm(master: u32) {
    WORKER.store(super::pid(), Ordering::Relaxed);
    MASTER.store(master, Ordering::Relaxed);
    DRAINING.store(0, Ordering::Relaxed);
    set_action(on_sigterm as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize);
}

/// Whether this process was told to end when it has done what it is at.
pub fn is_draining() -> bool {
    DRAINING.load(Ordering::Relaxed) != 0
}

fn set_action(handler: usize) {
    // SAFETY: an all-zero structure is valid; the handler, if it is one, uses only what a handler may. No SA_RESTART:
    // whoever waits shall look.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut());
    }
}

extern "C" fn on_sigterm(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives every handler of this kind a valid one; who sent it is there if a process did.
    let (sender, code) = unsafe { ((*info).si_pid() as u32, (*info).si_code) };
    let by_process = matches!(code, libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL);
    let pid = super::pid();
    let is_worker = pid == WORKER.load(Ordering::Relaxed);
    let from_outside = is_worker && by_process && sender != MASTER.load(Ordering::Relaxed) && sender != pid;
    if !from_outside || DRAINING.swap(1, Ordering::Relaxed) != 0 {
        set_action(libc::SIG_DFL);
        // SAFETY: passes numbers only. It is delivered when this handler returns.
        unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
    }
}
