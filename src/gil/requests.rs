//! The request that a web application is answering, read from memory.
//!
//! ASGI applications and middlewares are coroutines with the arguments `scope`, `receive` and `send`.

use super::coroutines::Coroutines;
use super::objects::{MAX_CHARACTERS, Objects, twice};
use super::stack::{Frame, Stack};

const ARGUMENTS: [&str; 3] = ["scope", "receive", "send"];
/// A method has `self` before them.
const MAX_ARGUMENTS: usize = 4;
/// Longer paths are cut.
const MAX_PATH_CHARACTERS: usize = 200;

#[derive(Clone, Copy)]
pub struct Requests {
    pub objects: Objects,
    pub coroutines: Coroutines,
}

impl Requests {
    /// The method and the path, as in `GET /report`, of the request that the stack's outermost application answers: it is the
    /// first to know the request. Only the path for a websocket.
    pub fn current(&self, stack: &Stack) -> Option<String> {
        let frames = stack.frames.iter().rev().filter(|frame| frame.is_generator);
        frames
            .filter_map(|frame| twice(|| self.read(frame, stack)))
            .next()
    }

    fn read(&self, frame: &Frame, stack: &Stack) -> Option<String> {
        let [index, ..] = self
            .coroutines
            .indices(frame.code, ARGUMENTS, MAX_ARGUMENTS)?;
        let scope = self.coroutines.variable(frame.address, index)?;
        let [path, method] = self.objects.values(scope, ["path", "method"])?;
        let word = |value: Option<usize>, limit: usize| {
            let text = self.objects.text(value?, limit)?;
            (!text.is_empty()).then_some(text)
        };
        // Escaped characters take more room than they had.
        let path: String = word(path, MAX_PATH_CHARACTERS)?
            .chars()
            .take(MAX_PATH_CHARACTERS)
            .collect();
        let request = match word(method, MAX_CHARACTERS) {
            Some(method) => format!("{method} {path}"),
            None => path,
        };
        self.coroutines
            .is_still_there(frame, stack)
            .then_some(request)
    }
}
