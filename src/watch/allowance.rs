//! How many bytes may still be added, if each second allows so many.

pub struct Allowance {
    a_second: usize,
    most: usize,
    left: usize,
}

impl Allowance {
    /// What a second does not use is left for later, for up to `seconds` of them.
    pub fn new(bytes_of_a_second: usize, seconds: usize) -> Self {
        Self {
            a_second: bytes_of_a_second,
            most: bytes_of_a_second * seconds,
            left: bytes_of_a_second,
        }
    }

    /// So many seconds have passed.
    pub fn add(&mut self, seconds: u64) {
        let seconds = usize::try_from(seconds).unwrap_or(usize::MAX);
        let bytes = self.a_second.saturating_mul(seconds);
        self.left = self.left.saturating_add(bytes).min(self.most);
    }

    pub fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    pub fn is_used_up(&self) -> bool {
        self.left == 0
    }
}
