"""Objects that live on disk: one file each (a queue: one directory), for programs that need not know each other.

- `header`: the first page of the file, which says what lives there;
- `homes`: where such a file is, and how it is found or made, and entered;
- `meeting`: how those who have it open find each other, and the state that they share;
- `locks`, `values`, `queues`: Lock and RLock; Value and Array; Queue and JoinableQueue, on the log of `crates/disk`.

**Header → meeting → state in memory → object.**
"""
