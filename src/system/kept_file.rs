//! A file that is written from a thread of ours while the program runs. The program may close any descriptor, and its number
//! may be used again: so the file is looked at before each write, and a foreign file is neither written nor closed.
//!
//! No write waits for the file's reader where Linux can be asked not to wait. Where it cannot, the file is asked first whether
//! it has room.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::system::descriptors::{highest_number, identity, owned, raised};

/// The program's own descriptors have the numbers that they would have without a watch if ours are above them.
const NUMBER_WANTED: RawFd = 900;
/// Where the limit of open files is lower, ours are this far below the limit.
const NUMBERS_LEFT_ABOVE: RawFd = 16;
/// A new file is readable by all, as far as the umask permits.
const MODE: libc::c_uint = 0o666;
/// A pipe takes as many bytes at once or not at all, and a reader sees no other writer's bytes between them.
pub const MAX_BYTES_AT_ONCE: usize = libc::PIPE_BUF;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Socket,
    Pipe,
    Other,
}

/// Why nothing was written.
#[derive(Debug)]
pub enum Fault {
    /// There is no room at the moment.
    Full,
    /// The descriptor has been closed, and its number may be another file's.
    Gone,
    Failed,
}

pub struct KeptFile {
    number: RawFd,
    identity: (u64, u64),
    kind: Kind,
    /// The number may be that of another descriptor by now, of the same file.
    is_gone: AtomicBool,
}

impl KeptFile {
    /// Opens the file at `path`, to append to it. It is made if it does not exist.
    pub fn open(path: &CStr) -> io::Result<Self> {
        Self::open_with(path, libc::O_CREAT)
    }

    /// Opens the same file again, after the program has closed it. Another one at `path` by now is foreign: the program may
    /// have changed its root directory.
    pub fn open_again(&self, path: &CStr) -> Option<Self> {
        self.leave();
        let file = Self::open_with(path, 0).ok()?;
        file.is_same(self).then_some(file)
    }

    /// The program has closed the descriptor: its number may be used again, even for the same file.
    pub fn leave(&self) {
        // Release: pairs with the load in `is_there`.
        self.is_gone.store(true, Ordering::Release);
    }

    pub fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Keeps another descriptor of the file that is open as `number`.
    pub fn copy_of(number: RawFd) -> io::Result<Self> {
        // SAFETY: the call takes no pointer, and the kernel checks the number.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFL) };
        if flags < 0 {
            return Err(io::Error::last_os_error());
        }
        if flags & libc::O_ACCMODE == libc::O_RDONLY || flags & libc::O_PATH != 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: as above.
        let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, Self::lowest_number()) };
        Self::keep(owned(copy)?)
    }

    /// Writes what can be written at once. Returns how many bytes that was, at least one.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Fault> {
        if !self.is_there() {
            return Err(Fault::Gone);
        }
        let written = match self.kind {
            Kind::Socket => self.send(bytes),
            Kind::Pipe => self.write_to_pipe(bytes),
            Kind::Other => self.write_if_ready(bytes),
        };
        if let Ok(written @ 1..) = usize::try_from(written) {
            return Ok(written);
        }
        Err(match io::Error::last_os_error().raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Fault::Full,
            Some(libc::EBADF) => Fault::Gone,
            _ => Fault::Failed,
        })
    }

    /// Waits until the file may have room, for `timeout_ms` at most.
    pub fn wait_for_room(&self, timeout_ms: i32) {
        self.poll(timeout_ms);
    }

    fn open_with(path: &CStr, flags: libc::c_int) -> io::Result<Self> {
        // O_NONBLOCK: opening a FIFO without a reader fails instead of waiting for one.
        let flags = flags
            | libc::O_WRONLY
            | libc::O_APPEND
            | libc::O_CLOEXEC
            | libc::O_NOCTTY
            | libc::O_NONBLOCK;
        // SAFETY: the path ends with NUL.
        let file = owned(unsafe { libc::open(path.as_ptr(), flags, MODE) })?;
        Self::keep(raised(file, Self::lowest_number())?)
    }

    fn lowest_number() -> RawFd {
        NUMBER_WANTED
            .min(highest_number().saturating_sub(NUMBERS_LEFT_ABOVE))
            .max(0)
    }

    fn keep(file: OwnedFd) -> io::Result<Self> {
        let identity = identity(file.as_raw_fd()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            kind: kind(file.as_raw_fd()),
            identity,
            number: file.into_raw_fd(),
            is_gone: AtomicBool::new(false),
        })
    }

    /// Whether the descriptor is still that of the file. Another thread of the program may close it right after this.
    pub fn is_there(&self) -> bool {
        // Acquire: pairs with `leave` and `close`, after which the number may be another descriptor's.
        !self.is_gone.load(Ordering::Acquire) && identity(self.number) == Some(self.identity)
    }

    /// Closes the descriptor while others still refer to it: in a forked child, where they do not write.
    pub fn close(&self) {
        // AcqRel: of two threads that close, one does.
        if self.is_there() && !self.is_gone.swap(true, Ordering::AcqRel) {
            // SAFETY: the descriptor is ours, and is closed only once.
            unsafe { libc::close(self.number) };
        }
    }

    fn send(&self, bytes: &[u8]) -> isize {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: the kernel reads `bytes.len()` bytes of `bytes`, and checks the number.
        unsafe { libc::send(self.number, bytes.as_ptr().cast(), bytes.len(), flags) }
    }

    /// SIGPIPE is blocked in the threads that write.
    fn write_to_pipe(&self, bytes: &[u8]) -> isize {
        let part = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: the kernel reads one iovec and the bytes that it names, and checks the number.
        let written =
            unsafe { libc::pwritev2(self.number, &raw const part, 1, -1, libc::RWF_NOWAIT) };
        let error = io::Error::last_os_error().raw_os_error();
        // Linux before 6.4 cannot do this for pipes.
        if written < 0 && matches!(error, Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)) {
            return self.write_if_ready(bytes);
        }
        written
    }

    fn write_if_ready(&self, bytes: &[u8]) -> isize {
        if !self.poll(0) {
            // SAFETY: sets this thread's error number.
            unsafe { *libc::__errno_location() = libc::EAGAIN };
            return -1;
        }
        // SAFETY: the kernel reads `bytes.len()` bytes of `bytes`, and checks the number.
        unsafe { libc::write(self.number, bytes.as_ptr().cast(), bytes.len()) }
    }

    /// Whether the file has room, or an error to report, within `timeout_ms`.
    fn poll(&self, timeout_ms: i32) -> bool {
        let mut about = libc::pollfd {
            fd: self.number,
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: the kernel reads and fills in one record.
        unsafe { libc::poll(&raw mut about, 1, timeout_ms) > 0 }
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        self.close();
    }
}

fn kind(number: RawFd) -> Kind {
    // SAFETY: the kernel fills in the record.
    let mode = unsafe {
        let mut about: libc::stat = std::mem::zeroed();
        libc::fstat(number, &raw mut about);
        about.st_mode & libc::S_IFMT
    };
    match mode {
        libc::S_IFSOCK => Kind::Socket,
        libc::S_IFIFO => Kind::Pipe,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read};
    use std::os::fd::{AsRawFd, OwnedFd};

    use super::{Fault, KeptFile};
    use crate::system::descriptors::socket_pair;

    fn pipe() -> (PipeReader, KeptFile) {
        let (reader, writer) = std::io::pipe().unwrap();
        (reader, KeptFile::copy_of(writer.as_raw_fd()).unwrap())
    }

    /// Gives the file's number to another one.
    fn replace(file: &KeptFile, other: &impl AsRawFd) {
        // SAFETY: both descriptors are open, and only `file` uses the first.
        assert!(unsafe { libc::dup2(other.as_raw_fd(), file.number) } >= 0);
    }

    #[test]
    fn a_full_pipe_does_not_block() {
        let (mut reader, file) = pipe();
        let line = [b'x'; 1000];
        let full = (0..1000).find_map(|_| file.write(&line).err());
        assert!(matches!(full, Some(Fault::Full)));
        reader.read_exact(&mut [0; 8192]).unwrap();
        assert_eq!(file.write(&line).unwrap(), line.len());
    }

    #[test]
    fn a_foreign_file_is_neither_written_nor_closed() {
        let (_reader, file) = pipe();
        let (mut foreign, foreign_writer) = std::io::pipe().unwrap();
        replace(&file, &foreign_writer);
        assert!(matches!(file.write(b"x"), Err(Fault::Gone)));
        let number = file.number;
        drop((file, foreign_writer));
        // SAFETY: nothing else uses the number, which must be open still.
        assert_eq!(unsafe { libc::close(number) }, 0);
        assert_eq!(foreign.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn without_a_reader_a_write_fails_and_raises_no_signal() {
        let (reader, writer): (OwnedFd, OwnedFd) = socket_pair().unwrap();
        let file = KeptFile::copy_of(writer.as_raw_fd()).unwrap();
        drop(reader);
        assert!(matches!(file.write(b"x"), Err(Fault::Failed)));
    }

    #[test]
    fn what_is_not_open_for_writing_is_refused() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let error = KeptFile::copy_of(reader.as_raw_fd()).err().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        assert!(KeptFile::copy_of(-1).is_err());
        assert!(KeptFile::open(c"/").is_err());
    }
}
