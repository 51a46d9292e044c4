//! The state made anew from the files, by who has them alone.
//!
//! Records are read from the oldest segment on, as long as each is whole and follows the one before: the next number,
//! an epoch no lower. Where that ends the log ends: somebody was killed while he wrote there, or the power failed
//! before it was all on the disk. What lies behind is written over with zeros and synced before anything is put there,
//! so that nothing of it can ever follow what comes next; and the epoch rises.
//!
//! Unless what lies behind says otherwise. Every record tells how far the log was known to be on the disk when it was
//! written, or known to have been put. If one that lies behind says that the place where the log seems to end was on
//! the disk, then something was lost there that the disk had: that is damage, told and left alone. That something was
//! put there says as much, unless the power failed since.

use super::{Options, Process, Queue};
use crate::error::Error;
use crate::record::{FILLER, HEADER, Record, UNKNOWN, Words};
use crate::segment::{START, Start, View};
use crate::state::At;
use crate::storage::{Span, Storage};
use crate::window::open;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// What is known of the log while it is read.
#[derive(Debug, Default)]
struct Scan {
    /// Behind the last record.
    tail: At,
    /// The first record that is not done.
    first: Option<At>,
    /// Records that are not done, and their bytes.
    ready: u64,
    ready_bytes: u64,
    epoch: u32,
}

impl Scan {
    /// Begin with a segment; what was before is done.
    fn begin(&mut self, view: &View) {
        *self = Self { epoch: self.epoch.max(view.epoch), ..Self::default() };
        self.tail.count = view.number;
        self.enter(view);
    }

    /// Go on in a segment.
    fn enter(&mut self, view: &View) {
        self.tail = At { place: view.first + START, segment: view.first, ..self.tail };
    }

    /// Whether a record is the next one.
    fn is_next(&self, view: &View, place: u64, record: &Record<'_>) -> bool {
        let (number, next) = (record.words.number, self.tail.count);
        let follows = number == next || number > next && record.words.is_filler(); // over what was damaged
        follows && record.words.epoch >= self.epoch && view.is_whole(place, record)
    }

    /// Read on in a segment from where the log ends so far. True: to its end.
    fn read(&mut self, view: &View) -> bool {
        while view.has_room(self.tail.place, HEADER) {
            let place = self.tail.place;
            match view.record(place) {
                Some(record) if self.is_next(view, place, &record) => self.note(&record),
                _ => return false,
            }
        }
        true
    }

    fn note(&mut self, record: &Record<'_>) {
        let size = record.words.size();
        self.epoch = record.words.epoch;
        if record.words.is_filler() {
            self.tail.count = record.words.number;
        } else {
            if !record.is_done() {
                self.first.get_or_insert(self.tail);
                self.ready += 1;
                self.ready_bytes += size;
            }
            if record.taker() != 0 {
                record.set_taker(0); // one of those who are all gone
            }
            self.tail.count += 1;
            self.tail.bytes += size;
        }
        self.tail.place += size;
    }

    /// Whether a segment holds, from a place on, a record that was written when more than this was safe.
    fn is_refuted_by(&self, view: &View, from: u64, intact: bool) -> bool {
        self.whole(view, from, |place, words| words.vouches_for(place, intact) > self.tail.place).is_some()
    }

    /// Place and number of the first record from a place on that is whole.
    fn whole_from(&self, view: &View, from: u64) -> Option<(u64, u64)> {
        self.whole(view, from, |_, _| true)
    }

    /// The first that is whole, and later than the end of the log, of those that are wanted. (Which comes first: bytes
    /// that only look like a record may ask for a long checksum.)
    fn whole(&self, view: &View, from: u64, wanted: impl Fn(u64, &Words) -> bool) -> Option<(u64, u64)> {
        (from..view.end).step_by(8).find_map(|place| {
            let record = view.record(place)?;
            let words = record.words;
            let is_later = words.number >= self.tail.count && words.epoch >= self.epoch && wanted(place, &words);
            (is_later && view.is_whole(place, &record)).then_some((place, words.number))
        })
    }
}

impl<P: Process, S: Storage> Queue<P, S> {
    /// Make the state, see [`Queue::make`].
    pub(super) fn recover(&self, options: &Options) -> Result<(), Error> {
        self.storage.clear()?;
        if options.salvage {
            self.storage.restore()?;
        }
        let segments = self.segments_begun(options)?;
        let (mut scan, mut last) = (Scan::default(), open(&self.storage, segments[0])?);
        scan.begin(&last.0);
        let (mut rest, mut oldest) = (&segments[1..], segments[0]);
        while scan.read(&last.0) && !rest.is_empty() {
            let Some(next) = self.open_begun(rest[0])? else { break };
            if next.0.first == last.0.end && next.0.number == scan.tail.count {
                scan.enter(&next.0);
            } else if scan.ready == 0 {
                // What was before it is done, and was removed: not all of it is gone from the disk, nor need it be.
                scan.begin(&next.0);
                oldest = next.0.first;
            } else if options.salvage && self.bridge(&scan, last.0.end, next.0.first)? {
                return self.recover(options);
            } else {
                return Err(self.damaged("the segment before this one is missing", next.0.first, next.0.first));
            }
            (last, rest) = (next, &rest[1..]);
        }
        if self.is_refuted(&scan, &last.0, rest, options)? {
            if !options.salvage || !self.pass_over(&scan, &last.0, rest)? {
                return Err(self.damaged("a record that was here is not", last.0.first, scan.tail.place));
            }
            return self.recover(options); // from the start: there may be more of it
        }
        self.cut(&scan, &last.0, rest)?;
        // Who goes through the segments goes from one to the next, and there is none behind these.
        for &done in segments.iter().take_while(|&&first| first < oldest) {
            self.storage.remove(done, 0)?;
            self.storage.step();
        }
        self.state.put.length.store(last.0.end - last.0.first, Relaxed);
        self.note(options, &scan, oldest);
        if options.power { Ok(()) } else { self.remove_before(self.low().segment) }
    }

    /// A segment; None for a name and no more, which is what a power cut may leave of a new one, or of one that was
    /// done with and is another now.
    fn open_begun(&self, first: u64) -> Result<Option<(View, Span)>, Error> {
        let span = self.storage.map(first)?;
        let length = span.length().min(START) as usize;
        // SAFETY: so many bytes are mapped, and nobody else has the log.
        let start = unsafe { std::slice::from_raw_parts(span.start(), length) };
        let is_another = Start::of(start).is_some_and(|start| start.first != first);
        let is_blank = start.iter().all(|&byte| byte == 0);
        if is_blank || is_another { Ok(None) } else { open(&self.storage, first).map(Some) }
    }

    /// The segments that there are, from the first on that was begun; one at least.
    fn segments_begun(&self, options: &Options) -> Result<Vec<u64>, Error> {
        let mut segments = self.storage.segments()?;
        while let Some(&first) = segments.first()
            && self.open_begun(first)?.is_none()
        {
            self.storage.remove(first, 0)?;
            segments.remove(0);
        }
        if segments.is_empty() {
            let start = Start::new(0, options.segments.0, 0, 1);
            self.storage.create(&start)?;
            segments.push(0);
        }
        if options.power {
            self.storage.sync_names()?;
        }
        Ok(segments)
    }

    /// Whether what lies behind the end of the log says that something is missing there. To salvage: whether anything
    /// lies there.
    fn is_refuted(&self, scan: &Scan, last: &View, rest: &[u64], options: &Options) -> Result<bool, Error> {
        let is_refuted_by = |view: &View, from| {
            let Options { salvage, intact, .. } = *options;
            if salvage { scan.whole_from(view, from).is_some() } else { scan.is_refuted_by(view, from, intact) }
        };
        let mut refuted = is_refuted_by(last, scan.tail.place + 8);
        for &later in rest {
            if let Some((view, _span)) = self.open_begun(later)? {
                refuted = refuted || is_refuted_by(&view, later + START);
            }
        }
        Ok(refuted)
    }

    /// Make an empty segment in the place of those that are missing before one. False: it would be too large.
    fn bridge(&self, scan: &Scan, from: u64, until: u64) -> Result<bool, Error> {
        if until <= from || until - from > 1 << 30 {
            return Ok(false);
        }
        self.storage.create(&Start::new(from, until - from, scan.tail.count, scan.epoch))?;
        Ok(true)
    }

    /// Make what is damaged at the end of the log a gap, to the next record that is whole or the next segment. False:
    /// there is neither.
    fn pass_over(&self, scan: &Scan, last: &View, rest: &[u64]) -> Result<bool, Error> {
        let next = match (scan.whole_from(last, scan.tail.place + HEADER), rest.first()) {
            (Some(next), _) => next,
            (None, Some(&later)) if later == last.end => {
                let (view, _span) = open(&self.storage, later)?;
                (later, view.number.max(scan.tail.count))
            }
            (None, Some(&later)) => return self.bridge(scan, last.end, later),
            (None, None) => return Ok(false),
        };
        let gap = FILLER | (next.0 - scan.tail.place) as u32;
        last.write_header(scan.tail.place, Words { length: gap, number: next.1, epoch: scan.epoch, behind: UNKNOWN });
        self.storage.sync(last.first)?;
        Ok(true)
    }

    /// The log ends where the scan did: see to it that nothing follows there.
    fn cut(&self, scan: &Scan, last: &View, rest: &[u64]) -> Result<(), Error> {
        for &later in rest.iter().rev() {
            self.storage.remove(later, 0)?;
            self.storage.step();
        }
        if !rest.is_empty() {
            self.storage.sync_names()?;
        }
        for page in last.rest(scan.tail.place).chunks_mut(4096) {
            if page.iter().any(|&byte| byte != 0) {
                page.fill(0);
                self.storage.step();
            }
        }
        // Also if all are zeros: they may be ones that somebody wrote here who did not get further.
        self.storage.sync(last.first)?;
        Ok(())
    }

    fn note(&self, options: &Options, scan: &Scan, oldest: u64) {
        let state = self.state;
        let tail = scan.tail;
        let first = scan.first.unwrap_or(tail);
        let head = At { count: tail.count - scan.ready, bytes: tail.bytes - scan.ready_bytes, ..first };
        state.joinable.store(options.joinable.into(), Relaxed);
        state.power.store(options.power.into(), Relaxed);
        state.max_deliveries.store(options.max_deliveries, Relaxed);
        state.max_items.store(options.max_items, Relaxed);
        state.max_bytes.store(options.max_bytes, Relaxed);
        state.segments[0].store(options.segments.0, Relaxed);
        state.segments[1].store(options.segments.1, Relaxed);
        state.put.epoch.store(scan.epoch + 1, Relaxed);
        state.put.tail.store(tail);
        state.get.head.store(head);
        state.get.low.store(head);
        state.get.oldest.store(oldest, Relaxed);
        state.commit.low.store(oldest, Relaxed);
        // SYNC: pairs with the Acquire in `is_made`.
        state.made.store(1, Release);
    }
}
