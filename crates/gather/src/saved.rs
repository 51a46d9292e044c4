//! Copying an answer to a file with a name.
//!
//! The copy is made beside its place, under a name of its own, and renamed when it is complete: whoever opens the path
//! sees the old file or the new one, after a power cut too, and who has the old one mapped keeps it. A process killed
//! half-way leaves the draft (`.NAME.PID-N.draft`), which nothing reads; an error removes it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::answer::{Answer, FIRST_PAGE};
use crate::segment::SegmentRef;

/// A file that is removed unless it gets its name.
struct Draft {
    path: Option<PathBuf>,
    file: File,
}

impl Draft {
    fn beside(path: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in the name of a file"));
        };
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}-{}.draft", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let draft = path.with_file_name(draft);
        // A copy is no more public than what it replaces: only its owner sees the draft until it has those permissions.
        let replaced = fs::metadata(path).ok();
        let mode = if replaced.is_some() { 0o600 } else { 0o666 };
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&draft)?;
        let draft = Self { path: Some(draft), file };
        if let Some(replaced) = replaced {
            draft.file.set_permissions(replaced.permissions())?;
        }
        Ok(draft)
    }

    /// Give it its name. Its bytes are on the disk before, so that no power cut leaves a name with half a file.
    fn rename(mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(draft) = &self.path {
            fs::rename(draft, path)?;
        }
        self.path = None;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The name itself. Where folders cannot be synced, or not read, it is there when the file system next writes.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(draft) = &self.path {
            // There is an error on its way already, and it says more.
            let _ = fs::remove_file(draft);
        }
    }
}

impl Answer {
    /// Write a copy without scraps to `path`, replacing what is there. When this returns it is on the disk.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let draft = Draft::beside(path)?;
        self.copy_to(&draft.file)?;
        draft.rename(path)
    }

    /// Write a copy without scraps to an empty file.
    pub fn copy_to(&self, mut file: &File) -> io::Result<()> {
        file.write_all(&[0; FIRST_PAGE as usize])?;
        let mut end = FIRST_PAGE;
        let mut copy = |places: &mut dyn Iterator<Item = SegmentRef>| {
            places
                .map(|place| {
                    file.write_all(&self.file()[place.offset as usize..(place.offset + place.length) as usize])?;
                    let moved = SegmentRef { offset: end, ..place };
                    end += place.length;
                    Ok(moved)
                })
                .collect::<io::Result<Vec<_>>>()
        };
        let (mut entries, mut values) = self.segments();
        let (entries, values) = (copy(&mut entries)?, copy(&mut values)?);
        Self::seal(file, self.shape(), self.meta(), &entries, &values)
    }
}
