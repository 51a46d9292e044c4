//! A pool's tasks on the timeline: handed in, begun, done.

use super::MANY;
use crate::arena::Object;
use crate::once::name;
use crate::recorder as binding;
use procession_core::recorder::{self, Event, TRACE, kind};
use procession_core::ring::Ring;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyListMethods};
use std::collections::HashMap;

/// What a worker has told of the task that it is at.
#[derive(Default)]
pub(super) struct Tracer {
    /// By the serial number of a function's block: the label of what it is called.
    titles: HashMap<u64, u32>,
    /// Whether the task's beginning was recorded.
    is_at_one: bool,
    /// Items of it that failed.
    pub(super) failed: u64,
}

/// A record about the ring of tasks.
fn event(kind: u16, tasks: &Object<Ring>, a: u64, b: u64, site: u32) -> Event {
    let (object, serial) = tasks.address();
    let arena = tasks.home().token()[0] as u32;
    Event { kind, arena, object, a, b, site, extra: serial as u32, ..Event::default() }
}

/// So many tasks were handed in at `nanos`, numbered from `first` on.
#[cold]
pub(super) fn submitted(py: Python<'_>, tasks: &Object<Ring>, nanos: u64, first: u32, count: usize) {
    let site = binding::site(py);
    binding::write(py, nanos, &event(kind::SUBMITTED, tasks, u64::from(first), count as u64, site));
}

impl Tracer {
    /// The worker is ready for tasks.
    pub(super) fn serves(py: Python<'_>, tasks: &Object<Ring>) -> Self {
        if recorder::is_on(TRACE) {
            binding::note(py, &event(kind::WORKER, tasks, 0, 0, 0));
        }
        Self::default()
    }

    /// The task begins. `how` is its kind, which tells what `payload` is.
    #[inline]
    pub(super) fn begin(
        &mut self,
        tasks: &Object<Ring>,
        (number, how): (u32, u64),
        (serial, function): (u64, &Bound<'_, PyAny>),
        payload: &Bound<'_, PyAny>,
    ) {
        if recorder::is_on(TRACE) {
            self.note_begin(tasks, (number, how), (serial, function), payload);
        }
    }

    #[cold]
    fn note_begin(
        &mut self,
        tasks: &Object<Ring>,
        (number, how): (u32, u64),
        (serial, function): (u64, &Bound<'_, PyAny>),
        payload: &Bound<'_, PyAny>,
    ) {
        let nanos = binding::now();
        let items = if how & MANY == 0 { 0 } else { payload.cast::<PyList>().map_or(0, PyListMethods::len) };
        let mut site =
            *self.titles.entry(serial).or_insert_with(|| title(function).map_or(0, |it| recorder::label(&it)));
        if site == 0 {
            site = recorder::label(&title_of_argument(payload).unwrap_or_else(|_| "a function".to_owned()));
        }
        binding::write(function.py(), nanos, &event(kind::TASK, tasks, u64::from(number), items as u64, site));
        (self.is_at_one, self.failed) = (true, 0);
    }

    /// It is done.
    #[inline]
    pub(super) fn end(&mut self, py: Python<'_>, tasks: &Object<Ring>, number: u32) {
        if self.is_at_one {
            self.note_end(py, tasks, number);
        }
    }

    #[cold]
    fn note_end(&mut self, py: Python<'_>, tasks: &Object<Ring>, number: u32) {
        self.is_at_one = false;
        binding::note(py, &event(kind::TASK_DONE, tasks, u64::from(number), self.failed, 0));
    }
}

/// What a function is called: its qualified name, or that of what it stands for. None for one that is there to call
/// its first argument.
fn title(function: &Bound<'_, PyAny>) -> Option<String> {
    let py = function.py();
    let named = || -> PyResult<Option<String>> {
        for attribute in [name!(py, "__wrapped__"), name!(py, "func")] {
            if let Some(inner) = function.getattr_opt(attribute)?
                && !inner.is(function)
                && inner.is_callable()
            {
                return Ok(title(&inner));
            }
        }
        if function.hasattr(name!(py, "_calls_its_argument"))? {
            return Ok(None);
        }
        match function.getattr_opt(name!(py, "__qualname__"))? {
            Some(name) => name.extract().map(Some),
            None => Ok(Some(function.get_type().qualname()?.to_string())),
        }
    };
    named().unwrap_or_else(|_| Some("a function".to_owned()))
}

/// What a task is called on the timeline: its function, or what that is there to call.
#[pyfunction(name = "title")]
pub fn task_title(function: &Bound<'_, PyAny>, payload: &Bound<'_, PyAny>) -> String {
    title(function).or_else(|| title_of_argument(payload).ok()).unwrap_or_else(|| "a function".to_owned())
}

/// The same of the first of the arguments in a payload.
fn title_of_argument(payload: &Bound<'_, PyAny>) -> PyResult<String> {
    let function = payload.get_item(0)?.get_item(0)?;
    Ok(title(&function).unwrap_or_else(|| "a function".to_owned()))
}
