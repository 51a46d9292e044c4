//! The first byte of every value in a message, and what follows it. Numbers are little-endian; `n` is a length or count.
//!
//! | tag | value | followed by |
//! | --- | --- | --- |
//! | 0x00 | None | – |
//! | 0x01, 0x02 | False, True | – |
//! | 0x03, 0x04, 0x05 | int | 1, 4, 8 bytes, signed |
//! | 0x06 | int of 2^63 … 2^64 − 1 | 8 bytes |
//! | 0x07 | float | 8 bytes |
//! | 0x08 | str | n as 4 bytes, UTF-8 |
//! | 0x09, 0x0A | bytes | n as 1 or 4 bytes, content |
//! | 0x0B | bytearray | n as 4 bytes, content |
//! | 0x0C, 0x0D | bytes, bytearray out of band | the next buffer of the message |
//! | 0x0E, 0x0F | tuple | n as 1 or 4 bytes, n values |
//! | 0x10, 0x11 | list | n as 1 or 4 bytes, n values |
//! | 0x12, 0x13 | dict | n as 1 or 4 bytes, n times key and value |
//! | 0x1F | pickle; the message's first byte only | the pickle, up to the end; all buffers are its own |
//! | 0x20 | no value: a queue on disk keeps the message's buffers behind it (`disk/frame.rs`) | |
//! | 0x40 + n | str of n < 64 bytes | UTF-8 |
//! | 0x80 + i | int 0 ≤ i < 128 | – |
//!
//! Messages in memory live no longer than the processes that exchange them, so they have no version. Queues on disk
//! keep theirs: a change to this table that is no addition needs another `MESSAGES` in `_disk/queues.py`.

pub const NONE: u8 = 0x00;
pub const FALSE: u8 = 0x01;
pub const TRUE: u8 = 0x02;
pub const INT_1: u8 = 0x03;
pub const INT_4: u8 = 0x04;
pub const INT_8: u8 = 0x05;
pub const UINT_8: u8 = 0x06;
pub const FLOAT: u8 = 0x07;
pub const STR: u8 = 0x08;
pub const BYTES_1: u8 = 0x09;
pub const BYTES_4: u8 = 0x0A;
pub const BYTEARRAY: u8 = 0x0B;
pub const BYTES_OUT: u8 = 0x0C;
pub const BYTEARRAY_OUT: u8 = 0x0D;
pub const TUPLE_1: u8 = 0x0E;
pub const TUPLE_4: u8 = 0x0F;
pub const LIST_1: u8 = 0x10;
pub const LIST_4: u8 = 0x11;
pub const DICT_1: u8 = 0x12;
pub const DICT_4: u8 = 0x13;
pub const PICKLE: u8 = 0x1F;
pub const FRAMED: u8 = 0x20;
pub const SHORT_STR: u8 = 0x40;
pub const SMALL_INT: u8 = 0x80;
