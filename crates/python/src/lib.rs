//! The extension `procession._native`: unwraps arguments, releases the GIL, calls the core, maps its errors. No decisions.

mod arena;
mod blocks;
mod chaos;
mod check;
mod codec;
mod deadlocks;
mod disk;
mod errors;
mod gather;
mod holds;
mod lifeline;
mod mapping;
mod observe;
mod once;
mod pool;
mod recorder;
mod ring;
mod sharedctypes;
mod site;
mod synchronize;
mod wait;
mod waiting;
mod watch;

use pyo3::prelude::*;

/// What Python sees. Safe without the GIL: every class is frozen and its state is in atomics or behind locks.
#[pymodule(gil_used = false)]
mod _native {
    use super::{Bound, PyModule, PyResult};

    #[pymodule_export]
    use crate::arena::{PyArena, name_of, name_thread, reap, serve_as, set_name, site_of};
    #[pymodule_export]
    use crate::blocks::{PyBlock, PyClaim, PyHold};
    #[pymodule_export]
    use crate::chaos::{arm, disarm, unleash};
    #[pymodule_export]
    use crate::check::{is_small, record_access, record_items, record_synchronised};
    #[pymodule_export]
    use crate::disk::PyDiskQueue;
    #[pymodule_export]
    use crate::gather::answer::{PyAnswer, build_answer, seal_answer};
    #[pymodule_export]
    use crate::gather::combiner::PyCombiner;
    #[pymodule_export]
    use crate::gather::csv::{PyColumns, csv_borders, csv_header};
    #[pymodule_export]
    use crate::gather::merging::{forget_slots, merge, pack_runs, run_slots, spool_init, unpack_runs};
    #[pymodule_export]
    use crate::gather::text::PyWords;
    #[pymodule_export]
    use crate::lifeline::{drain_on_sigterm, end_at_once, end_with_parent, lifeline, lifeline_ends, own_memory};
    #[pymodule_export]
    use crate::mapping::PyMapping;
    #[pymodule_export]
    use crate::observe::PyObserver;
    #[pymodule_export]
    use crate::pool::{PyDispatcher, PyJob, put_news, serve, signal_main_thread, task_title};
    #[pymodule_export]
    use crate::recorder::{record, record_into, recording, stop_recording};
    #[pymodule_export]
    use crate::ring::PyRing;
    #[pymodule_export]
    use crate::synchronize::{PyBarrier, PyCondition, PyEvent, PyLock, PyRLock, PySemaphore};
    #[pymodule_export]
    use crate::waiting::{
        PyWaiting, detect, detecting, joined, label_text, labels_at, obstacle, orders, process_names, waits,
    };

    #[pymodule_export]
    use crate::watch::watch;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::recorder::begin_as_told();
        crate::synchronize::add_to_module(module)?;
        crate::codec::add_to_module(module)?;
        crate::sharedctypes::add_to_module(module)
    }
}
