//! Keyed map-reduce without Python: pairs are combined by key, written as sorted runs, merged, and read in place.
//!
//! - [`answer`]: the file of the answer, and look-ups in it.
//! - [`columns`]: an answer as arrays.
//! - [`error`]: what can go wrong.
//! - [`item`]: packed keys and values, their hash and their order.
//! - [`merge`]: runs merged into the segments of an answer.
//! - [`num`]: numbers being added up or compared.
//! - [`parcel`]: a part of some runs as bytes, for another machine.
//! - [`ranking`]: the entries of an answer in an order.
//! - [`reduce`]: the reducers, and a worker's table of pairs.
//! - [`run`]: a table written out, sorted.
//! - [`saved`]: an answer copied to a file with a name.
//! - [`segment`]: the entries of a range of hashes, packed.
//! - [`spool`]: the file that several processes append to.
//! - [`table`]: the table in which a worker combines its pairs.
//! - [`text`]: scanners for words and for records of CSV files.
//! - `view`: a segment read where it lies.

pub mod answer;
pub mod columns;
pub mod error;
pub mod item;
mod memory;
pub mod merge;
pub mod num;
pub mod parcel;
pub mod ranking;
pub mod reduce;
pub mod run;
pub mod saved;
pub mod segment;
pub mod spool;
pub mod table;
pub mod text;
mod view;
