//! What has changed on disk: a look at the files of one listener, and the reload where one is due.
//!
//! In: [`Certificates`]. Out: what a look came to. Must not know: the clock: who calls says how often. Looks by `stat`, not by inotify, of
//! which a node has few instances for each user. A mounted Secret is replaced by the exchange of one symbolic link, `..data`.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{CertError, Certificates};

/// The link by which the kubelet exchanges all files of a volume at once.
const DATA_LINK: &str = "..data";

/// Everything by which the files can be told from those of an earlier look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks(Vec<Option<Mark>>);

/// One thing on disk. `None` in its place: it is not there, or cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

impl Mark {
    fn of(found: io::Result<Metadata>) -> Option<Mark> {
        let found = found.ok()?;
        let modified = (found.mtime(), found.mtime_nsec());
        Some(Mark { device: found.dev(), inode: found.ino(), modified, bytes: found.size() })
    }
}

impl Marks {
    /// Of each file itself, of the link in its place, and of the directory's `..data`.
    pub(super) fn of<'p>(files: impl Iterator<Item = &'p Path>) -> Marks {
        let marks = files.flat_map(|file| {
            let data = file.parent().map_or_else(|| PathBuf::from(DATA_LINK), |folder| folder.join(DATA_LINK));
            [fs::metadata(file), fs::symlink_metadata(file), fs::symlink_metadata(data)].map(Mark::of)
        });
        Marks(marks.collect())
    }
}

/// The files of one listener, followed.
#[derive(Debug)]
pub struct Watch {
    certificates: Arc<Certificates>,
    seen: Marks,
    /// The last reload failed, and was told of.
    broken: bool,
}

impl Watch {
    /// From the files as they were when they were read at the start.
    pub fn new(certificates: Arc<Certificates>) -> Watch {
        let seen = certificates.marks_at_start.clone();
        Watch { certificates, seen, broken: false }
    }

    /// Reloads where something has changed. `None`: nothing to tell.
    ///
    /// What is broken is tried again at each look, for its cause may lie outside of the files (no descriptor was free, a right was missing);
    /// it is told of once for each change on disk.
    pub fn look(&mut self) -> Option<Result<(), CertError>> {
        let marks = Marks::of(self.certificates.files());
        let changed = marks != self.seen;
        if !changed && !self.broken {
            return None;
        }
        // Taken before the files are read: what changes meanwhile is seen by the next look.
        self.seen = marks;
        let outcome = self.certificates.reload();
        self.broken = outcome.is_err();
        (changed || outcome.is_ok()).then_some(outcome)
    }

    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }
}

#[cfg(test)]
mod tests;
