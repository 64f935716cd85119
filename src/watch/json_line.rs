//! A line of JSON.

use std::fmt::Write;

/// A JSON object that is being written.
pub struct Json {
    out: String,
    longest: usize,
}

impl Json {
    /// Begins the object. Texts are cut to about `longest` bytes.
    pub fn new(longest: usize) -> Self {
        Self {
            out: String::from("{"),
            longest,
        }
    }

    pub fn end(mut self) -> String {
        self.out.push_str("}\n");
        self.out
    }

    fn key(&mut self, key: &str) {
        if !self.out.ends_with('{') {
            self.out.push_str(", ");
        }
        let _ = write!(self.out, "\"{key}\": "); // writing to a String cannot fail
    }

    pub fn null(&mut self, key: &str) {
        self.key(key);
        self.out.push_str("null");
    }

    pub fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        let _ = write!(self.out, "{number}");
    }

    /// Seconds with six decimals.
    pub fn seconds(&mut self, key: &str, ns: u64) {
        self.key(key);
        let us = ns / 1000;
        let _ = write!(self.out, "{}.{:06}", us / 1_000_000, us % 1_000_000);
    }

    pub fn text(&mut self, key: &str, text: Option<&str>) {
        let Some(text) = text else {
            return self.null(key);
        };
        self.key(key);
        self.out.push('"');
        let begin = self.out.len();
        for char in text.chars() {
            if self.out.len() - begin > self.longest {
                self.out.push_str("...");
                break;
            }
            match char {
                '"' | '\\' => {
                    self.out.push('\\');
                    self.out.push(char);
                }
                '\n' => self.out.push_str("\\n"),
                // U+2028 and U+2029 end a line for some readers.
                '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(char));
                }
                _ => self.out.push(char),
            }
        }
        self.out.push('"');
    }

    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Self)) {
        self.key(key);
        self.out.push('{');
        fill(self);
        self.out.push('}');
    }
}

/// A moment, `wall_ns` since 1970, in UTC with microseconds.
pub fn iso_8601(wall_ns: u64) -> String {
    let (us, s) = (wall_ns / 1000 % 1_000_000, wall_ns / 1_000_000_000);
    let (day, hour, minute, second) = (s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60);
    // The calendar repeats after 400 years of 146 097 days. Years begin in March here, so that a leap day is the last day.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
}

#[cfg(test)]
mod tests {
    use super::{Json, iso_8601};

    #[test]
    fn a_moment_is_written_in_utc() {
        assert_eq!(iso_8601(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            iso_8601(951_782_400_000_001_999),
            "2000-02-29T00:00:00.000001Z"
        );
        assert_eq!(
            iso_8601(1_798_761_599_999_999_999),
            "2026-12-31T23:59:59.999999Z"
        );
        assert_eq!(
            iso_8601(4_107_542_400_000_000_000),
            "2100-03-01T00:00:00.000000Z"
        );
    }

    #[test]
    fn a_text_is_one_line_of_json_whatever_is_in_it() {
        let mut json = Json::new(usize::MAX);
        json.text("a", Some("\"\\\n\u{1}\u{2028}é"));
        assert_eq!(json.end(), "{\"a\": \"\\\"\\\\\\n\\u0001\\u2028é\"}\n");
    }
}
