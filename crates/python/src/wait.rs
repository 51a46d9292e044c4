//! Waiting without the GIL, in slices; between them Python handles signals, then the wait goes on for what is left.

use procession_core::error::WaitError;
use pyo3::prelude::*;
use std::time::{Duration, Instant};

/// The moment `timeout` seconds from now; None is for ever, as is more than a century. Negative is now, NaN is an error.
pub fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(timeout) = timeout else { return Ok(None) };
    if timeout.is_nan() {
        return Err(pyo3::exceptions::PyValueError::new_err("timeout must be a number of seconds, not NaN"));
    }
    if timeout > 3.2e9 {
        return Ok(None);
    }
    Ok(Some(Instant::now() + Duration::from_secs_f64(timeout.max(0.0))))
}

/// Run `attempt` without the GIL until it gives something other than `Interrupted`. None: the deadline passed.
pub fn until<R: Send>(
    py: Python<'_>,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(Option<Instant>) -> Result<R, WaitError> + Send,
) -> PyResult<Option<R>> {
    loop {
        match py.detach(|| attempt(deadline)) {
            Ok(result) => return Ok(Some(result)),
            Err(WaitError::TimedOut) => return Ok(None),
            Err(WaitError::Interrupted) => py.check_signals()?,
        }
    }
}

/// The same with a timeout in seconds.
pub fn blocking<R: Send>(
    py: Python<'_>,
    timeout: Option<f64>,
    attempt: impl FnMut(Option<Instant>) -> Result<R, WaitError> + Send,
) -> PyResult<Option<R>> {
    until(py, deadline(timeout)?, attempt)
}
