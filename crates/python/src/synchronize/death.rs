//! What the dead leave, told to Python: an owner, a warning, an error. The words are in `procession.errors`.

use crate::arena::Object;
use crate::errors;
use crate::once::name;
use procession_core::mutex::Mutex;
use procession_core::owner::{Holder, Processes, Taken};
use procession_core::waits::{Action, Entry};
use pyo3::prelude::*;
use std::ffi::CString;

/// What kind of thing it is, for messages, and who has a place in its arena.
#[derive(Clone, Copy)]
pub struct Thing {
    pub name: &'static str,
    pub life: &'static Processes,
}

/// A lock's holder, as a `procession._owner.Owner`.
pub fn owner<'py>(py: Python<'py>, object: &Object<Mutex>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (Some(holder), life) = (object.owner(), object.life()) else { return Ok(None) };
    let class = PyModule::import(py, name!(py, "procession._owner"))?.getattr(name!(py, "Owner"))?;
    let name = life.name(holder.owner, holder.pid);
    class.call1((holder.pid, holder.thread, name, since(holder), site(object, holder))).map(Some)
}

/// The line that took it, which is known where deadlocks are looked for.
fn site(object: &Object<Mutex>, holder: Holder) -> Option<String> {
    let arena = object.home();
    if !arena.waits().detecting() {
        return None;
    }
    let is_it = |entry: &Entry| {
        (entry.owner, entry.ident, entry.action) == (holder.owner, holder.thread, Action::Hold)
            && (entry.object, entry.detail) == object.address()
    };
    let (_, _, entry) = arena.waits().entries().find(|(_, _, entry)| is_it(entry))?;
    arena.label_text(entry.site)
}

fn since(holder: Holder) -> Option<f64> {
    (holder.since != 0).then(|| f64::from(holder.since))
}

impl Thing {
    fn facts(self, dead: Holder) -> (&'static str, u32, Option<String>, Option<f64>) {
        (self.name, dead.pid, self.life.name(dead.owner, dead.pid), since(dead))
    }

    /// Raises what a filter makes of the warning.
    fn warn(self, py: Python<'_>, dead: Holder) -> PyResult<()> {
        let category = errors::class(py, "AbandonedLockWarning")?;
        let text: String = category.call_method1("describe", self.facts(dead))?.extract()?;
        PyErr::warn(py, &category, &CString::new(text).unwrap_or_default(), 1)
    }

    /// A `LockAbandoned`.
    pub fn error(self, py: Python<'_>, dead: Holder) -> PyResult<Bound<'_, PyAny>> {
        errors::class(py, "LockAbandoned")?.call_method1("of", self.facts(dead))
    }

    /// What `acquire` answers. `give_back` undoes it: an error that a filter made of a warning must not leave a lock
    /// held by a caller who does not know.
    pub fn answer(self, py: Python<'_>, taken: Option<Taken>, give_back: impl FnOnce()) -> PyResult<bool> {
        match taken {
            None => Ok(false),
            Some(Taken::Free) => Ok(true),
            Some(Taken::Abandoned(dead)) => self.warn(py, dead).inspect_err(|_| give_back()).map(|()| true),
            Some(Taken::Refused(dead)) => Err(self.error(py, dead).map_or_else(|error| error, PyErr::from_value)),
        }
    }

    /// What repairing begins with: the error that says what there is to repair, if anything.
    pub fn found(self, py: Python<'_>, taken: Option<Taken>) -> PyResult<Option<Bound<'_, PyAny>>> {
        match taken {
            Some(Taken::Abandoned(dead)) => self.error(py, dead).map(Some),
            _ => Ok(None),
        }
    }
}
