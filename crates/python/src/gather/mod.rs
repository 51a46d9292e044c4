//! Keyed map-reduce: what the workers combine, merge and read, for Python. The work is done in `procession-gather`.
//!
//! - [`items`]: Python objects as packed items, and back.
//! - [`combiner`]: a worker's table, and `feed`, what a map function gave, taken apart for it.
//! - [`text`], [`csv`]: batches that a scanner finds; [`scanned`]: those batches into a table, [`sink`]: the seam between.
//! - [`merging`]: runs into an answer.
//! - [`answer`]: what the caller gets; [`reading`]: objects made of it, [`buffer`]: columns, [`build`]: one from a dict.
//! - [`failures`]: errors of all that, as exceptions.

pub mod answer;
mod buffer;
mod build;
pub mod combiner;
pub mod csv;
mod failures;
mod feed;
pub mod items;
pub mod merging;
mod reading;
mod scanned;
mod sink;
pub mod text;
