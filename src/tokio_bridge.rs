//! Awaitables on tokio, through `pyo3-async-runtimes`, that a process can exit with.
//!
//! `pyo3-async-runtimes` delivers a result from a tokio thread that attaches and calls `loop.call_soon_threadsafe`,
//! whose write to the loop's self-pipe drops the GIL. The loop may take it, resume the awaiting coroutine and end the
//! program; the thread then wants the GIL of an interpreter that is finalizing, CPython ends the thread by unwinding it,
//! the unwinding meets Rust, and the process aborts without a word (rust-lang/rust#135929, pyo3-async-runtimes#40).
//!
//! So the runtime is our own. It counts the deliveries that are under way, and at exit it refuses new ones and waits for
//! those: `atexit` runs while the interpreter is whole. It assumes that a delivery ends by itself: it waits for nothing
//! but the GIL. The runtime belongs to the process that started it: a forked child, whose threads are gone, starts its own.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3_async_runtimes::{TaskLocals, generic};

use crate::arguments;
use crate::countdown::{count_down_until, is_set};
use crate::main_interpreter;
use crate::per_process::PerProcess;

/// Count `n` down to 0 on tokio; await the returned future for the number of decrements.
#[pyfunction]
pub fn countdown_tokio<'py>(py: Python<'py>, n: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let n = arguments::count(n)?;
    let event_loop = pyo3_async_runtimes::get_running_loop(py)?;
    let host = Host::of_this_process()?;
    if is_set(&host.closing) {
        if main_interpreter::is_main_thread(py)? {
            return Err(PyRuntimeError::new_err(
                "countdown_tokio cannot start: the interpreter is shutting down",
            ));
        }
        // A daemon thread's loop, about to be ended by CPython where it stands: no reason for a traceback.
        return event_loop.call_method0("create_future");
    }
    let event_loop = event_loop.unbind();
    let locals = TaskLocals::new(Bound::new(py, Mailbox { event_loop })?.into_any());
    generic::future_into_py_with_locals::<Tokio, _, u64>(py, locals, async move {
        let cancelled = StopOnDrop(Arc::default());
        let stop = Arc::clone(&cancelled.0);
        let work = move || count_down_until(n, || is_set(&stop) || is_set(&host.closing));
        let done = host.runtime.spawn_blocking(work).await;
        done.map_err(|error| PyRuntimeError::new_err(error.to_string()))
    })
}

/// Have `atexit` stop the work and wait for the deliveries under way.
pub fn drain_at_exit(py: Python<'_>) -> PyResult<()> {
    let drain = wrap_pyfunction!(drain, py)?;
    py.import("atexit")?
        .call_method1("register", (drain,))
        .map(drop)
}

#[pyfunction]
fn drain(py: Python<'_>) {
    if let Some(host) = HOST.get() {
        py.detach(|| host.close());
    }
}

/// Tells the work that it is not wanted any more when the future that waits for it is dropped, as cancelling does.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed); // see `is_set`
    }
}

/// The event loop as a worker thread uses it. A loop that is closed before the result arrives has nobody waiting for it:
/// that is not an error to be printed by a thread that nobody knows.
#[pyclass(frozen)]
struct Mailbox {
    event_loop: Py<PyAny>,
}

#[pymethods]
impl Mailbox {
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

/// A tokio runtime and what must be known of it to leave it behind.
struct Host {
    runtime: tokio::runtime::Runtime,
    closing: AtomicBool,
    deliveries: Mutex<usize>,
    delivered: Condvar,
}

static HOST: PerProcess<Host> = PerProcess::new();

impl Host {
    fn of_this_process() -> PyResult<&'static Self> {
        HOST.get_or_try_init(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .thread_name("gilscope-tokio")
                .build()?;
            Ok(Self {
                runtime,
                closing: AtomicBool::new(false),
                deliveries: Mutex::new(0),
                delivered: Condvar::new(),
            })
        })
    }

    fn begin_delivery(&'static self) -> Delivery {
        *self
            .deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += 1;
        Delivery(self)
    }

    /// Ends all work, lets the deliveries under way arrive, and starts no more.
    fn close(&self) {
        self.closing.store(true, Ordering::Relaxed); // the mutex below orders it before every later `begin_delivery`
        let mut under_way = self
            .deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while *under_way > 0 {
            under_way = self
                .delivered
                .wait(under_way)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One delivery under way.
struct Delivery(&'static Host);

impl Drop for Delivery {
    fn drop(&mut self) {
        *self
            .0
            .deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.delivered.notify_all();
    }
}

/// What `pyo3-async-runtimes` needs to know of a runtime.
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

fn host() -> &'static Host {
    HOST.get()
        .expect("a future of ours is polled by the host that spawned it")
}

impl generic::Runtime for Tokio {
    type JoinError = JoinError;
    type JoinHandle = JoinHandle;

    fn spawn<F>(future: F) -> JoinHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        joined(host().runtime.spawn(future))
    }

    /// `pyo3-async-runtimes` calls this to deliver a result.
    fn spawn_blocking<F>(deliver: F) -> JoinHandle
    where
        F: FnOnce() + Send + 'static,
    {
        let host = host();
        let under_way = host.begin_delivery();
        joined(host.runtime.spawn_blocking(move || {
            let _under_way = under_way;
            if !is_set(&host.closing) {
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
