//! From record to record, with the get lock held.

use super::{Process, Queue};
use crate::error::Error;
use crate::record::{HEADER, Record};
use crate::segment::START;
use crate::storage::Storage;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A place and the segment that it is in, or at the end of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) place: u64,
    pub(super) segment: u64,
}

impl Here {
    pub(super) fn load(words: &[AtomicU64; 2]) -> Self {
        Self { place: words[0].load(Relaxed), segment: words[1].load(Relaxed) }
    }

    pub(super) fn store(self, words: &[AtomicU64; 2]) {
        words[0].store(self.place, Relaxed);
        words[1].store(self.segment, Relaxed);
    }
}

/// A record and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) record: Record<'a>,
    pub(super) here: Here,
}

impl Found<'_> {
    /// The place behind it.
    pub(super) fn behind(&self) -> Here {
        Here { place: self.here.place + self.record.words.size(), ..self.here }
    }
}

impl<P: Process, S: Storage> Queue<P, S> {
    /// The record here or behind the gap that is here; None when that is not before `until`. Good until another segment
    /// is looked at.
    #[inline]
    pub(super) fn find<'a>(&self, mut here: Here, until: u64) -> Result<Option<Found<'a>>, Error> {
        while here.place < until {
            let view = self.getting.view(&self.storage, here.segment)?;
            if !view.has_room(here.place, HEADER) {
                here = Here { place: view.end + START, segment: view.end };
                continue;
            }
            let record = self.record(&view, here.place)?;
            if !record.words.is_filler() {
                return Ok(Some(Found { record, here }));
            }
            here.place += record.words.size();
        }
        Ok(None)
    }

    /// The first record from here on that `wanted` says yes to.
    pub(super) fn find_which<'a>(
        &self,
        mut here: Here,
        until: u64,
        wanted: impl Fn(&Found<'_>) -> bool,
    ) -> Result<Option<Found<'a>>, Error> {
        while let Some(found) = self.find(here, until)? {
            if wanted(&found) {
                return Ok(Some(found));
            }
            here = found.behind();
        }
        Ok(None)
    }

    /// That what was found is what was written.
    #[inline]
    pub(super) fn check(&self, found: &Found<'_>) -> Result<(), Error> {
        let view = self.getting.view(&self.storage, found.here.segment)?;
        if view.is_whole(found.here.place, &found.record) {
            return Ok(());
        }
        Err(self.damaged("a record is not what was put", found.here.segment, found.here.place))
    }
}
