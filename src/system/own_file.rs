//! A file that is kept open for our own use, while the program may close any descriptor and get its number for another file.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::descriptors::{high, identity};

/// Is closed only if its number still is the same file. A read is not checked: it may be of another file, which it does not change.
pub struct OwnFile {
    file: ManuallyDrop<File>,
    identity: (u64, u64),
}

impl OwnFile {
    /// Opens a file to be read; `None` if the system refuses.
    pub fn open(path: &str) -> Option<Self> {
        let file = File::from(high(File::open(path).ok()?.into()));
        Some(Self {
            identity: identity(file.as_raw_fd())?,
            file: ManuallyDrop::new(file),
        })
    }

    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if identity(self.file.as_raw_fd()) == Some(self.identity) {
            // SAFETY: the file is dropped here only, and not used again.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::OwnFile;
    use crate::system::descriptors::{HIGH_NUMBER, identity, owned};
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_file_of_ours_has_a_high_number_and_is_closed_in_the_end() {
        let ours = OwnFile::open("/proc/self/stat").unwrap();
        let (number, own) = (ours.file.as_raw_fd(), ours.identity);
        assert!(number >= HIGH_NUMBER);
        drop(ours);
        assert_ne!(identity(number), Some(own));
    }

    #[test]
    fn a_file_of_the_programs_that_has_got_our_number_stays_open() {
        let ours = OwnFile::open("/proc/self/schedstat").unwrap();
        let number = ours.file.as_raw_fd();
        let foreign = File::open("/dev/zero").unwrap();
        // SAFETY: both descriptors are open, and the second is of this test.
        unsafe { libc::dup3(foreign.as_raw_fd(), number, libc::O_CLOEXEC) };
        drop(ours);
        let kept = owned(number).unwrap();
        assert_eq!(identity(kept.as_raw_fd()), identity(foreign.as_raw_fd()));
    }
}
