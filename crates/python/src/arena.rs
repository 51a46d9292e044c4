//! Arenas and the objects in them, as Python sees them.

use crate::{errors, site};
use procession_core::arena::{Arena, Handle, Kind, Role};
use procession_core::error::Corrupted;
use procession_core::owner::{OwnerId, Processes};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::ops::Deref;

/// Memory for shared objects: an anonymous segment that a family of programs shares, or this process's own.
#[pyclass(frozen, name = "Arena", module = "procession._native")]
pub struct PyArena {
    pub arena: &'static Arena,
}

fn token_of(bytes: &[u8]) -> PyResult<[u64; 2]> {
    let bytes: [u8; 16] =
        bytes.try_into().map_err(|_| pyo3::exceptions::PyValueError::new_err("an arena's token has 16 bytes"))?;
    let number = u128::from_le_bytes(bytes);
    Ok([number as u64, (number >> 64) as u64])
}

#[pymethods]
impl PyArena {
    /// A new arena that other processes can share; `limit` in bytes, 0 for three quarters of memory.
    #[staticmethod]
    #[pyo3(signature = (limit = 0))]
    fn create(py: Python<'_>, limit: u64) -> PyResult<Self> {
        Arena::shared(limit).map(|arena| Self { arena }).map_err(|error| errors::arena(py, &error))
    }

    /// A new arena for programs that are not related, in a span of so many bytes of which `limit` may be used.
    #[staticmethod]
    fn for_strangers(py: Python<'_>, span: u64, limit: u64) -> PyResult<Self> {
        Arena::for_strangers(span, limit).map(|arena| Self { arena }).map_err(|error| errors::arena(py, &error))
    }

    /// A new arena in this process's own memory.
    #[staticmethod]
    fn private(py: Python<'_>) -> PyResult<Self> {
        Arena::private().map(|arena| Self { arena }).map_err(|error| errors::arena(py, &error))
    }

    /// Share another process's arena through its descriptor, which stays the caller's to close.
    #[staticmethod]
    fn attach(py: Python<'_>, fd: i32, token: &[u8]) -> PyResult<Self> {
        let arena = Arena::attach(fd, token_of(token)?);
        arena.map(|arena| Self { arena }).map_err(|error| errors::arena(py, &error))
    }

    /// The arena with this token, None when this process has not got it.
    #[staticmethod]
    fn find(token: &[u8]) -> PyResult<Option<Self>> {
        Ok(Arena::find(token_of(token)?).map(|arena| Self { arena }))
    }

    #[getter]
    fn fd(&self) -> i32 {
        self.arena.fd()
    }

    #[getter]
    fn shared(&self) -> bool {
        self.arena.is_shared()
    }

    #[getter]
    fn token<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let [low, high] = self.arena.token();
        PyBytes::new(py, &(u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }

    /// Bytes and counts: capacity, limit, used, warm, objects, processes (now) and entered (ever).
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let usage = self.arena.usage();
        let dict = PyDict::new(py);
        dict.set_item("capacity", usage.capacity)?;
        dict.set_item("limit", usage.limit)?;
        dict.set_item("used", usage.used)?;
        dict.set_item("warm", usage.warm)?;
        dict.set_item("objects", usage.objects)?;
        dict.set_item("processes", self.arena.processes().owners().count())?;
        dict.set_item("entered", self.arena.processes().entered())?;
        Ok(dict)
    }

    /// Every object: (offset, kind, serial, size, creator's pid).
    fn objects(&self) -> Vec<(u64, &'static str, u64, u64, u32)> {
        let named = |(offset, kind, serial, size, creator)| (offset, Kind::name(kind), serial, size, creator);
        self.arena.objects().into_iter().map(named).collect()
    }

    /// The label of a text, that objects can bear in their contents; 0 when there is no room for more.
    fn label(&self, text: &str) -> u32 {
        self.arena.label(text)
    }

    /// What to call this process when others are told of it.
    fn introduce(&self, name: &str) {
        self.arena.processes().introduce(self.arena.me(), name);
    }

    /// The calling process takes part in the chaos, if it is unleashed.
    fn enter_chaos(&self) {
        self.arena.enter_chaos();
    }

    /// Take back what ended processes held.
    fn reap(&self, py: Python<'_>) {
        py.detach(|| self.arena.reap_all());
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        PyModule::import(slf.py(), "procession._store")?.call_method1("reduce_arena", (slf,))
    }

    fn __repr__(&self) -> String {
        let usage = self.arena.usage();
        let kind = if self.arena.is_shared() { "shared" } else { "private" };
        format!("<Arena({kind}, {} objects, {} of {} bytes)>", usage.objects, usage.used, usage.limit)
    }
}

/// An open object whose contents are a `T`.
pub struct Object<T> {
    /// Into what `handle` holds; kept because every operation starts there.
    contents: *const T,
    handle: Handle,
    arena: Py<PyArena>,
}

// SAFETY: the contents are shared memory, which any thread may use as it may use a `&T`; `T` is made of atomics.
unsafe impl<T: Sync> Send for Object<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Object<T> {}

impl<T> Object<T> {
    /// A new object.
    pub fn create(arena: &Bound<'_, PyArena>, kind: Kind, init: impl FnOnce() -> T) -> PyResult<Self> {
        let object = Self::create_sized(arena, kind, size_of::<T>() as u64)?;
        // SAFETY: the block is fresh, 64-byte aligned, large enough, and nobody else knows of it yet.
        unsafe { object.handle.contents().cast::<T>().write(init()) };
        Ok(object)
    }

    /// A new object of `size` bytes, at least a `T`'s, all zero: for a `T` of which zeroes are a valid value.
    pub fn create_sized(arena: &Bound<'_, PyArena>, kind: Kind, size: u64) -> PyResult<Self> {
        assert!(align_of::<T>() <= 64 && size >= size_of::<T>() as u64);
        let handle = arena.get().arena.allocate(kind, size).map_err(|error| errors::arena(arena.py(), &error))?;
        // SAFETY: the block has `size` bytes and nobody else knows of it yet.
        unsafe { handle.contents().write_bytes(0, size as usize) };
        handle.set_site(site::here(arena.py(), handle.arena()));
        Ok(Self::from_handle(arena.clone().unbind(), handle))
    }

    /// The object of that kind at an address that came from somewhere.
    pub fn open(arena: &Bound<'_, PyArena>, kind: Kind, (offset, serial): (u64, u64)) -> PyResult<Self> {
        let handle = arena.get().arena.open(offset, serial, Some(kind));
        let handle = handle.map_err(|error| errors::arena(arena.py(), &error))?;
        if handle.size() < size_of::<T>() as u64 {
            return Err(errors::corrupted(arena.py(), Corrupted { what: "the size of a shared object", offset }));
        }
        Ok(Self::from_handle(arena.clone().unbind(), handle))
    }

    /// Around a handle in hand.
    pub fn from_handle(arena: Py<PyArena>, handle: Handle) -> Self {
        Self { contents: handle.contents().cast(), handle, arena }
    }

    /// The same object, of which no more is wanted than that it lives.
    pub fn untyped(self) -> Object<u8> {
        Object { contents: self.contents.cast(), handle: self.handle, arena: self.arena }
    }

    /// Its contents.
    #[inline]
    pub fn get(&self) -> &T {
        // SAFETY: the kind was checked when it was opened; the contents live as long as the handle; they are atomics.
        unsafe { &*self.contents }
    }

    /// The handle.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The calling process.
    #[inline]
    pub fn me(&self) -> OwnerId {
        self.handle.arena().me()
    }

    /// Tells who lives.
    #[inline]
    pub fn life(&self) -> &'static Processes {
        self.handle.arena().processes()
    }

    /// Offset and serial number.
    pub fn address(&self) -> (u64, u64) {
        self.handle.address()
    }

    /// The arena as Python has it.
    pub fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.arena.clone_ref(py)
    }

    /// The arena itself.
    #[inline]
    pub fn home(&self) -> &'static Arena {
        self.handle.arena()
    }
}

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.get()
    }
}

/// The arena handle of any shared object of ours, for messages that mention it. None for what is not one.
pub fn handle_of(object: &Bound<'_, PyAny>) -> Option<Handle> {
    let address: (u64, u64) = object.getattr("address").ok()?.extract().ok()?;
    let arena = object.getattr("arena").ok()?.cast_into::<PyArena>().ok()?;
    arena.get().arena.open(address.0, address.1, None).ok()
}

/// Where in the user's program a shared object of ours was made, as "FILE:LINE in FUNCTION"; None when nobody knows.
#[pyfunction]
pub fn site_of(object: &Bound<'_, PyAny>) -> Option<String> {
    handle_of(object).and_then(|handle| handle.site())
}

/// The name that a shared object of ours was given, for people; None when it has none.
#[pyfunction]
pub fn name_of(object: &Bound<'_, PyAny>) -> Option<String> {
    handle_of(object).and_then(|handle| handle.name())
}

/// Give a shared object of ours a name for all who share it; None takes it away.
#[pyfunction]
pub fn set_name(object: &Bound<'_, PyAny>, name: Option<&str>) {
    if let Some(handle) = handle_of(object) {
        handle.set_name(name);
    }
}

/// Say what a shared object of ours serves as (the numbers of `Role` in the core), and which one it is a part of (its offset).
#[pyfunction]
#[pyo3(signature = (object, role, part_of = 0))]
pub fn serve_as(object: &Bound<'_, PyAny>, role: u32, part_of: u64) {
    if let Some(handle) = handle_of(object) {
        handle.set_role(Role::of(role), part_of);
    }
}

/// What others see the calling thread called: the first 15 bytes of its name.
#[pyfunction]
pub fn name_thread(name: &Bound<'_, PyAny>) {
    if let Ok(name) = name.str() {
        procession_core::sys::name_thread(&name.to_string_lossy());
    }
}

/// Take back what process `pid` held, in every arena of this process. True if it was known and has ended.
#[pyfunction]
pub fn reap(py: Python<'_>, pid: u32) -> bool {
    py.detach(|| Arena::everywhere().filter(|arena| arena.reap(pid)).count() > 0)
}
