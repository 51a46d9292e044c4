"""Objects that live on disk: one file each (a queue: one directory), for programs that need not know each other.

- `header`: the first page of the file, which says what lives there;
- `meeting`: how those who have it open find each other, and the state that they share;
- `locks`, `values`: Lock, RLock, Value and Array.

**Header → meeting → state in memory → object.**
"""
