//! `Value` and `Array` of simple C types in shared memory.
//!
//! - [`cells`]: the C types, and one number in memory as a Python object.
//! - [`guard`]: when the lock beside the data must be taken.
//! - [`value`], [`array`]: the two classes; [`fast`]: `Value.value` bound by hand. Both export their memory, so that ctypes and numpy see it in place.
//!
//! Every cell is read and written by one instruction: a reader meets an old number or a new one, never half of each, and
//! a process killed in between leaves one of the two.

#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss)] // Python's sizes are signed; C integers wrap around
#![allow(clippy::cast_ptr_alignment)] // cells follow a header of 64 bytes, at its alignment

mod array;
mod cells;
mod fast;
mod guard;
mod recorded;
mod value;

pub use cells::Code;
pub use recorded::watch;

use pyo3::prelude::*;

/// Add the classes to `procession._native`.
pub fn add_to_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<value::PyValue>()?;
    module.add_class::<array::PyArray>()?;
    fast::add_to_module(module)
}
