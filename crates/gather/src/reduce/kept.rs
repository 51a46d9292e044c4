//! States that do not fit into a few words, and what is done with packed values.

use std::cmp::Ordering;

use super::Reducer;
use crate::error::GatherError;
use crate::item::{Item, Kind};
use crate::num::{self, Num};

/// Word 0 of a number's state whose value is kept aside (`Min`, `Max` of something that is no number); see
/// [`crate::num`], whose own words are never this.
pub(crate) const ASIDE: u64 = 3;

/// Word 0 of a set's state with more members than fit into the other two words. Below it is how many there are.
const SPREAD: u64 = u64::MAX;

/// A state that does not fit into words.
pub(super) enum Kept {
    One { order: u64, packed: Vec<u8> },
    List { bytes: Vec<u8>, last: usize, order: u64 },
    Set { members: Vec<u64>, sorted: usize },
    Top(Vec<Vec<u8>>),
}

/// Enter a fingerprint into a set; gives the bytes added. Most sets of an inverted index have one member or two: those
/// are in the state itself, and cost no memory of their own.
#[inline]
pub(super) fn insert_member(state: &mut [u64], kept: &mut Vec<Kept>, fingerprint: u64) -> usize {
    match state[0] {
        SPREAD => return push_member(&mut kept[state[1] as usize], fingerprint),
        1 if state[1] == fingerprint => return 0,
        0 | 1 => {}
        _ if state[1] == fingerprint || state[2] == fingerprint => return 0,
        _ => {
            let members = vec![state[1], state[2], fingerprint];
            let added = members.capacity() * 8;
            kept.push(Kept::Set { members, sorted: 0 });
            (state[0], state[1]) = (SPREAD, kept.len() as u64 - 1);
            return added;
        }
    }
    state[0] += 1;
    state[state[0] as usize] = fingerprint;
    0
}

fn push_member(kept: &mut Kept, fingerprint: u64) -> usize {
    let Kept::Set { members, sorted } = kept else { return 0 };
    if members.last() == Some(&fingerprint) {
        return 0;
    }
    let before = members.capacity();
    if members.len() == before && before > 2 * *sorted + 16 {
        members.sort_unstable();
        members.dedup();
        *sorted = members.len();
    }
    members.push(fingerprint);
    (members.capacity() - before) * 8
}

pub(super) fn state_index(state: &[u64]) -> usize {
    state[1] as usize
}

pub(super) fn write_state(how: Reducer, state: &[u64], kept: &mut [Kept], out: &mut Vec<u8>) {
    if how.sums() && state[0] != ASIDE {
        out.extend_from_slice(bytemuck::cast_slice(state));
        return;
    }
    if how == Reducer::Set && state[0] != SPREAD {
        let mut members = [state[1], state[2]];
        let members = &mut members[..state[0] as usize];
        members.sort_unstable();
        out.extend_from_slice(bytemuck::cast_slice(members));
        return;
    }
    let index = if how.sums() || how == Reducer::Set { state_index(state) } else { state[0] as usize };
    match &mut kept[index] {
        Kept::One { order, packed } => {
            out.extend_from_slice(&(if how.sums() { ASIDE } else { *order }).to_le_bytes());
            out.extend_from_slice(packed);
        }
        Kept::List { bytes, .. } => out.extend_from_slice(bytes),
        Kept::Set { members, .. } => {
            members.sort_unstable();
            members.dedup();
            out.extend_from_slice(bytemuck::cast_slice(members));
        }
        Kept::Top(best) => best.iter().for_each(|packed| out.extend_from_slice(packed)),
    }
}

/// Keep another value instead.
pub(super) fn replace(so_far: &mut Vec<u8>, value: &Item, kept_bytes: &mut usize) {
    *kept_bytes -= so_far.len();
    *so_far = packed(value);
    *kept_bytes += so_far.len();
}

/// A packed item on its own.
pub fn packed(value: &Item) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.bytes.len() + 3);
    value.pack(&mut bytes);
    bytes
}

pub(super) fn packed_number(number: Num) -> Vec<u8> {
    let mut scratch = Vec::new();
    match number.total(&mut scratch) {
        num::Total::Int(value) => packed(&Item { kind: Kind::Int, bytes: &value.to_le_bytes() }),
        num::Total::Float(value) => packed(&Item { kind: Kind::Float, bytes: &value.to_le_bytes() }),
        num::Total::Packed(bytes) => bytes.to_vec(),
    }
}

pub(super) fn unorderable(left: &[u8], right: &[u8]) -> GatherError {
    GatherError::Unorderable(left.to_vec(), right.to_vec())
}

/// Is `value` to be kept instead of what is packed in `so_far`?
pub(crate) fn better(so_far: &[u8], value: &Item, wanted: Ordering) -> Result<bool, GatherError> {
    let held = Item::unpack(&mut &*so_far).ok_or(GatherError::Corrupt("a packed value"))?;
    match value.compare(&held) {
        Ok(order) => Ok(order == wanted),
        Err(_) => Err(unorderable(so_far, &packed(value))),
    }
}

/// Enter a value among the `most` largest, kept in descending order; by how many bytes they grew.
pub(crate) fn rank(best: &mut Vec<Vec<u8>>, value: &Item, most: usize) -> Result<isize, GatherError> {
    if best.len() >= most {
        match best.last() {
            Some(last) if better(last, value, Ordering::Greater)? => {}
            _ => return Ok(0),
        }
    }
    let (mut low, mut high) = (0, best.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if better(&best[middle], value, Ordering::Greater)? { high = middle } else { low = middle + 1 }
    }
    let size = |packed: &Vec<u8>| (packed.capacity() + size_of::<Vec<u8>>()) as isize;
    let dropped = if best.len() >= most { best.pop() } else { None };
    best.insert(low, packed(value));
    Ok(size(&best[low]) - dropped.as_ref().map_or(0, size))
}
