//! Awaitables on tokio, through `pyo3-async-runtimes`, that do not abort the process at exit.
//!
//! `pyo3-async-runtimes` delivers a result from a tokio thread, which attaches and calls `loop.call_soon_threadsafe`. That
//! call writes to the loop's self-pipe, and releases the GIL for the write. The loop may then acquire the GIL, resume the
//! awaiting coroutine and end the program. The tokio thread next waits for the GIL of an interpreter that is finalizing:
//! CPython ends the thread by unwinding its stack, the unwinding reaches Rust, and the process aborts without a message
//! (rust-lang/rust#135929, pyo3-async-runtimes#40).
//!
//! So this module has its own tokio runtime, which counts the deliveries in progress. `atexit`, which runs while the
//! interpreter is still whole, refuses new deliveries and waits for those in progress. A delivery always ends, because it
//! waits for nothing but the GIL. Each process has its own runtime: the threads of the parent's do not survive a fork.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3_async_runtimes::{TaskLocals, generic};

use crate::arguments;
use crate::countdown::{count_down_until, is_set};
use crate::locked::Locked;
use crate::main_interpreter;
use crate::per_process::PerProcess;
use crate::system::signals;

/// Count `n` down to 0 on tokio; await the returned future for the number of decrements.
#[pyfunction]
pub fn countdown_tokio<'py>(py: Python<'py>, n: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let n = arguments::count(n)?;
    let event_loop = pyo3_async_runtimes::get_running_loop(py)?;
    let tokio = TokioRuntime::of_this_process()?;
    if is_set(&tokio.closing) {
        if main_interpreter::is_main_thread(py)? {
            return Err(PyRuntimeError::new_err(
                "countdown_tokio cannot start: the interpreter is shutting down",
            ));
        }
        // A daemon thread, which CPython is about to end: a traceback would not help anyone.
        return event_loop.call_method0("create_future");
    }
    let event_loop = event_loop.unbind();
    let locals = TaskLocals::new(Bound::new(py, LoopHandle { event_loop })?.into_any());
    generic::future_into_py_with_locals::<Tokio, _, u64>(py, locals, async move {
        let cancelled = StopOnDrop(Arc::default());
        let stop = Arc::clone(&cancelled.0);
        let work = move || count_down_until(n, || is_set(&stop) || is_set(&tokio.closing));
        let done = tokio.runtime.spawn_blocking(work).await;
        done.map_err(|error| PyRuntimeError::new_err(error.to_string()))
    })
}

/// Registers an `atexit` function that stops the work and waits for the deliveries in progress.
pub fn drain_at_exit(py: Python<'_>) -> PyResult<()> {
    let drain = wrap_pyfunction!(drain, py)?;
    py.import("atexit")?
        .call_method1("register", (drain,))
        .map(drop)
}

#[pyfunction]
fn drain(py: Python<'_>) {
    if let Some(tokio) = TOKIO.get() {
        py.detach(|| tokio.close());
    }
}

/// Stops the work when the Rust future that waits for it is dropped, as happens when the Python future is cancelled.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed); // see `is_set`
    }
}

/// The event loop as a tokio thread uses it. If the loop was closed before the result arrived, the result is dropped
/// without an error: no code waits for it any more.
#[pyclass(frozen)]
struct LoopHandle {
    event_loop: Py<PyAny>,
}

#[pymethods]
impl LoopHandle {
    fn create_future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.event_loop.bind(py).call_method0("create_future")
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn call_soon_threadsafe(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let event_loop = self.event_loop.bind(args.py());
        match event_loop.call_method("call_soon_threadsafe", args, kwargs) {
            Err(error) if !event_loop.call_method0("is_closed")?.is_truthy()? => Err(error),
            _ => Ok(()),
        }
    }
}

/// A tokio runtime that counts its deliveries, so that it can be left behind at exit.
struct TokioRuntime {
    runtime: tokio::runtime::Runtime,
    closing: AtomicBool,
    deliveries_in_progress: Locked<usize>,
    delivered: Condvar,
}

static TOKIO: PerProcess<TokioRuntime> = PerProcess::new();

impl TokioRuntime {
    fn of_this_process() -> PyResult<&'static Self> {
        TOKIO.get_or_try_init(|| {
            // Its threads start all further ones.
            let runtime = signals::blocked(|| {
                tokio::runtime::Builder::new_multi_thread()
                    .thread_name("gilscope-tokio")
                    .build()
            })?;
            Ok(Self {
                runtime,
                closing: AtomicBool::new(false),
                deliveries_in_progress: Locked::new(0),
                delivered: Condvar::new(),
            })
        })
    }

    fn begin_delivery(&'static self) -> Delivery {
        self.deliveries_in_progress.with(|count| *count += 1);
        Delivery(self)
    }

    /// Stops all work, waits for the deliveries in progress, and starts no more.
    fn close(&self) {
        self.closing.store(true, Ordering::Relaxed); // the mutex below orders it before every later `begin_delivery`
        self.deliveries_in_progress
            .wait_while(&self.delivered, |count| *count > 0);
    }
}

/// A delivery in progress.
struct Delivery(&'static TokioRuntime);

impl Drop for Delivery {
    fn drop(&mut self) {
        self.0.deliveries_in_progress.with(|count| *count -= 1);
        self.0.delivered.notify_all();
    }
}

/// The interface that `pyo3-async-runtimes` needs from a runtime.
struct Tokio;

tokio::task_local! {
    static LOCALS: OnceCell<TaskLocals>;
}

struct JoinError(tokio::task::JoinError);

impl generic::JoinError for JoinError {
    fn is_panic(&self) -> bool {
        self.0.is_panic()
    }

    fn into_panic(self) -> Box<dyn std::any::Any + Send + 'static> {
        self.0.into_panic()
    }
}

type JoinHandle = Pin<Box<dyn Future<Output = Result<(), JoinError>> + Send>>;

fn joined(handle: tokio::task::JoinHandle<()>) -> JoinHandle {
    Box::pin(async move { handle.await.map_err(JoinError) })
}

fn runtime() -> &'static TokioRuntime {
    TOKIO
        .get()
        .expect("only this process's runtime polls these futures")
}

impl generic::Runtime for Tokio {
    type JoinError = JoinError;
    type JoinHandle = JoinHandle;

    fn spawn<F>(future: F) -> JoinHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        joined(runtime().runtime.spawn(future))
    }

    /// `pyo3-async-runtimes` calls this to deliver a result.
    fn spawn_blocking<F>(deliver: F) -> JoinHandle
    where
        F: FnOnce() + Send + 'static,
    {
        let tokio = runtime();
        let delivery = tokio.begin_delivery();
        joined(tokio.runtime.spawn_blocking(move || {
            let _delivery = delivery;
            if !is_set(&tokio.closing) {
                deliver();
            }
        }))
    }
}

impl generic::ContextExt for Tokio {
    fn scope<F, R>(locals: TaskLocals, future: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(LOCALS.scope(OnceCell::from(locals), future))
    }

    fn get_task_locals() -> Option<TaskLocals> {
        LOCALS
            .try_with(|locals| locals.get().cloned())
            .ok()
            .flatten()
    }
}
