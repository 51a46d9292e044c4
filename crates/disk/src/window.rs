//! The segments that this process has mapped, on one side of a queue. Used with that side's lock held, which is shared
//! with all processes and so keeps out this one's other threads as well.
//!
//! A fork copies the lock's memory but not the thread that holds it. What a child finds here may have been copied half
//! changed; then the flag says so, and the child leaves it alone and starts with nothing mapped.

use crate::error::Error;
use crate::segment::{START, Start, View};
use crate::storage::{Span, Storage};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

type Spans<const KEPT: usize> = [Option<(View, Span)>; KEPT];

/// A few mapped segments, the one used last first.
#[derive(Debug)]
pub(crate) struct Window<const KEPT: usize> {
    changing: AtomicBool,
    spans: UnsafeCell<Spans<KEPT>>,
}

// SAFETY: only who holds the side's lock gets at the spans, which can be used in any thread.
unsafe impl<const KEPT: usize> Send for Window<KEPT> {}
// SAFETY: as above.
unsafe impl<const KEPT: usize> Sync for Window<KEPT> {}

impl<const KEPT: usize> Window<KEPT> {
    pub(crate) fn new() -> Self {
        Self { changing: AtomicBool::new(false), spans: UnsafeCell::new([const { None }; KEPT]) }
    }

    /// A segment, mapped as long as not `KEPT` others were looked at since. The caller holds the side's lock.
    #[inline]
    pub(crate) fn view(&self, storage: &impl Storage, first: u64) -> Result<View, Error> {
        if !self.changing.load(Ordering::Relaxed) {
            // SAFETY: the lock keeps out everybody else; the reference ends before anything changes.
            let spans = unsafe { &*self.spans.get() };
            if let Some((view, _)) = &spans[0]
                && view.first == first
            {
                return Ok(*view);
            }
        }
        self.find(storage, first)
    }

    #[cold]
    fn find(&self, storage: &impl Storage, first: u64) -> Result<View, Error> {
        self.change(|spans| {
            let known = spans.iter().position(|span| span.as_ref().is_some_and(|(view, _)| view.first == first));
            let place = if let Some(place) = known {
                place
            } else {
                spans[KEPT - 1] = Some(open(storage, first)?);
                KEPT - 1
            };
            spans[..=place].rotate_right(1);
            spans[0].as_ref().map(|(view, _)| *view).ok_or(Error::Interrupted)
        })
    }

    fn change<R>(&self, work: impl FnOnce(&mut Spans<KEPT>) -> R) -> R {
        let spans = self.spans.get();
        if self.changing.swap(true, Ordering::Relaxed) {
            // SAFETY: nobody else is here; what is written over was another thread's in the parent, and is leaked.
            unsafe { spans.write([const { None }; KEPT]) };
        }
        // SAFETY: nobody else is here, see the top.
        let result = work(unsafe { &mut *spans });
        self.changing.store(false, Ordering::Relaxed);
        result
    }
}

/// Map a segment and see that it is one.
pub(crate) fn open(storage: &impl Storage, first: u64) -> Result<(View, Span), Error> {
    let span = storage.map(first)?;
    let damaged = |what| Err(Error::Damaged { what, file: storage.path(first), at: 0 });
    if span.length() < START {
        return damaged("it is too short for a segment of a queue");
    }
    // SAFETY: so many bytes are mapped; nobody writes to the start of a segment that has its name.
    let start = unsafe { std::slice::from_raw_parts(span.start(), START as usize) };
    match Start::of(start) {
        None => damaged("it is no segment of a queue"),
        Some(start) if start.first != first => damaged("it is the segment of another place"),
        Some(start) if start.size != span.length() => damaged("its length is not what it was"),
        Some(start) => Ok((View::new(&start, &span), span)),
    }
}
