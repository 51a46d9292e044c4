//! A parcel: some slots of a worker's runs as bytes, on their way to another machine, where they are runs of a spool
//! there.
//!
//! | What | Bytes |
//! | --- | --- |
//! | number of runs | LEB128 |
//! | for each run: its entries, then the members of its sets | two descriptions ([`Run`]); chunks lie in the body |
//! | body | the records themselves, run by run, entries before members |
//!
//! It comes from elsewhere, so nothing in it is trusted: bytes that are no parcel are refused, and records are checked
//! by whoever reads the run.

use crate::error::GatherError;
use crate::item::{read_length, write_length};
use crate::run::Run;
use crate::spool::Spool;

/// The entries of a run, and the members of its sets.
pub type Tables = (Run, Run);

/// What is to be packed: sizes are known before a byte of the body is read.
pub struct Packing {
    head: Vec<u8>,
    stretches: Vec<(u64, u64)>, // of the spool, in the order of the body
}

impl Packing {
    /// Of slots `low` to `high` (excluded) of these runs.
    pub fn of(runs: &[Tables], low: usize, high: usize) -> Self {
        let mut packing = Self { head: Vec::new(), stretches: Vec::new() };
        write_length(runs.len(), &mut packing.head);
        let mut at = 0;
        for run in runs.iter().flat_map(|(entries, members)| [entries, members]) {
            let stretches = run.stretches(low, high);
            let offsets = stretches.iter().map(|(_, length)| {
                at += length;
                at - length
            });
            run.part(low, high, offsets).write(&mut packing.head);
            packing.stretches.extend(stretches);
        }
        packing
    }

    /// Bytes of the parcel.
    pub fn size(&self) -> usize {
        self.head.len() + self.stretches.iter().map(|(_, length)| *length as usize).sum::<usize>()
    }

    /// Make the parcel in `into`, which is `size` bytes.
    pub fn fill(&self, spool: &Spool, into: &mut [u8]) -> Result<(), GatherError> {
        let (head, mut body) = into.split_at_mut(self.head.len());
        head.copy_from_slice(&self.head);
        for (offset, length) in &self.stretches {
            let (stretch, rest) = body.split_at_mut(*length as usize);
            spool.read(stretch, *offset)?;
            body = rest;
        }
        Ok(())
    }
}

/// Append what is in a parcel to a spool; its runs there.
pub fn unpack(mut parcel: &[u8], spool: &Spool) -> Result<Vec<Tables>, GatherError> {
    const DAMAGED: GatherError = GatherError::Corrupt("a parcel that is none");
    let count = read_length(&mut parcel).ok_or(DAMAGED)?;
    let mut packed = Vec::new();
    for _ in 0..count {
        packed.push((Run::read(&mut parcel).ok_or(DAMAGED)?, Run::read(&mut parcel).ok_or(DAMAGED)?));
    }
    let body = parcel;
    let place = |run: &Run| {
        run.moved(|offset, length| -> Result<u64, GatherError> {
            let start = usize::try_from(offset).map_err(|_| DAMAGED)?;
            let end = start.checked_add(length as usize).ok_or(DAMAGED)?;
            Ok(spool.append(body.get(start..end).ok_or(DAMAGED)?)?)
        })
    };
    packed.iter().map(|(entries, members)| Ok((place(entries)?, place(members)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Item, Kind};
    use crate::run::{RunReader, RunWriter, SLOTS};
    use std::os::fd::AsRawFd;

    fn spool(name: &str) -> Spool {
        let path = std::env::temp_dir().join(format!("parcel-{name}-{}", std::process::id()));
        let file = std::fs::File::options().create_new(true).read(true).append(true).open(&path).unwrap();
        let spool = Spool::open(file.as_raw_fd()).unwrap();
        std::fs::remove_file(path).unwrap();
        spool.init().unwrap();
        spool
    }

    fn run(spool: &Spool, seed: u8, count: u64) -> Run {
        let mut writer = RunWriter::new(spool);
        for number in 0..count {
            let hash = number << 57 | number;
            let key = vec![seed; number as usize % 9];
            writer.push(hash, &Item { kind: Kind::Bytes, bytes: &key }, &vec![!seed; number as usize % 13]).unwrap();
        }
        writer.finish().unwrap()
    }

    fn records(spool: &Spool, run: &Run, low: usize, high: usize) -> Vec<(u64, Vec<u8>, Vec<u8>)> {
        let mut reader = RunReader::new(spool, run, low, high, 64).unwrap();
        let mut found = Vec::new();
        while !reader.ended() {
            found.push((reader.hash(), reader.key().bytes.to_vec(), reader.state().to_vec()));
            reader.advance().unwrap();
        }
        found
    }

    fn packed(spool: &Spool, runs: &[Tables], low: usize, high: usize) -> Vec<u8> {
        let packing = Packing::of(runs, low, high);
        let mut parcel = vec![0; packing.size()];
        packing.fill(spool, &mut parcel).unwrap();
        parcel
    }

    #[test]
    fn every_cut_arrives_as_it_was() {
        let (here, there) = (spool("here"), spool("there"));
        let runs = [(run(&here, 1, 120), run(&here, 2, 50)), (run(&here, 3, 90), Run::empty())];
        for borders in [vec![0, SLOTS], vec![0, 1, 2, 100, 101, 250, SLOTS]] {
            for range in borders.windows(2) {
                let (low, high) = (range[0], range[1]);
                let arrived = unpack(&packed(&here, &runs, low, high), &there).unwrap();
                assert_eq!(arrived.len(), runs.len());
                for (sent, came) in runs.iter().zip(&arrived) {
                    for (sent, came) in [(&sent.0, &came.0), (&sent.1, &came.1)] {
                        assert_eq!(sent.size(low, high), came.length());
                        assert_eq!(records(&here, sent, low, high), records(&there, came, 0, SLOTS));
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_no_parcel_are_refused() {
        let (here, there) = (spool("sent"), spool("refused"));
        let parcel = packed(&here, &[(run(&here, 1, 40), run(&here, 2, 4))], 0, SLOTS);
        for cut in 0..parcel.len() {
            assert!(unpack(&parcel[..cut], &there).is_err(), "{cut}");
        }
        assert!(unpack(&parcel, &there).is_ok());
    }
}
