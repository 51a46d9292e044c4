//! The steps of the core as tests use them: counted and died at by number, or left to chaos.

use procession_core::failpoint::{self, Deeds};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::ffi::CString;

/// At `rate` (0 to 1) of the steps of every process that takes part: `deeds` (1 kill, 2 delay, 3 either). The calling
/// process is spared. Each deed appends a line to the file `log`, if there is one. Ranks are counted from `first`.
#[pyfunction]
#[pyo3(signature = (seed, rate, deeds = 3, log = None, first = 0))]
pub fn unleash(seed: u64, rate: f64, deeds: u32, log: Option<&[u8]>, first: u32) -> PyResult<()> {
    let deeds = match deeds {
        1 => Deeds::Kill,
        2 => Deeds::Delay,
        _ => Deeds::Both,
    };
    let log = log.map(CString::new).transpose().map_err(|_| PyValueError::new_err("a path without a zero byte"))?;
    failpoint::unleash(seed, rate, deeds, log.as_deref(), first);
    Ok(())
}

/// Count the calling thread's steps from now on, and die at step `at` (from 1; 0: never).
#[pyfunction]
pub fn arm(at: u64) {
    failpoint::arm(at);
}

/// Stop counting; tells how many steps there were.
#[pyfunction]
pub fn disarm() -> u64 {
    failpoint::disarm()
}
