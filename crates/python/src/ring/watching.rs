//! Watching a ring from Python: a handle's share in this process's descriptors for it.

use super::PyRing;
use crate::errors;
use procession_core::ring::{Side, WATCHERS};
use pyo3::prelude::*;

impl PyRing {
    /// This process's descriptor for a side.
    pub(super) fn watch_side(&self, py: Python<'_>, side: Side) -> PyResult<i32> {
        self.check_open(py)?;
        let fd = py.detach(|| self.object.home().watch(self.object.get(), side, &self.watching));
        let message = || format!("{WATCHERS} other processes watch this queue, and there are no more places");
        fd.map_err(|error| errors::arena(py, &error))?.ok_or_else(|| errors::raise(py, "TooManyWaiters", (message(),)))
    }

    pub(super) fn unwatch_both(&self) {
        for side in [Side::Items, Side::Room] {
            self.object.home().unwatch(self.object.get(), side, &self.watching);
        }
    }

    /// Room was taken, or found taken: this process's bell for it may have to be silenced.
    pub(super) fn settle_room(&self) {
        self.object.home().settle_watch(self.object.get(), Side::Room);
    }
}
