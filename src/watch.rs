//! The watch over a running program. This side records what happens while no Python code can run, and returns it as plain
//! data; `gilscope/watch/cause.py` decides what it means.
//!
//! A watch has two threads. The sampler never attaches to the interpreter: it sees a stall while it lasts, and which thread
//! holds the GIL. The prober does attach. It acquires the GIL at random moments, to measure the distribution of waits. When
//! the sampler requests stacks, it queues for the GIL during the stall, so that it takes the stacks as soon as the holder
//! releases the GIL: the holder's frame is then still at the line, or just after it.
//!
//! Both threads share [`state`]. No thread ever holds a lock of it while it waits for the GIL.

pub mod alarm;
pub mod allowance;
pub mod asgi;
pub mod beat_ring;
pub mod busy;
pub mod busy_stack;
pub mod call_first;
pub mod cause_so_far;
pub mod checkpoints;
pub mod debuggers;
pub mod due_probes;
pub mod dump_requests;
pub mod evidence;
pub mod expectation;
pub mod gil_usage;
pub mod gil_wait;
pub mod hang;
pub mod hang_dump;
pub mod heartbeat;
pub mod heartbeat_file;
pub mod heartbeat_record;
pub mod hold_ring;
pub mod hold_trace;
pub mod json_line;
pub mod late_period;
pub mod line_choice;
pub mod listener;
pub mod liveness;
pub mod log_file;
pub mod log_limit;
pub mod log_line;
pub mod log_writer;
pub mod logs;
pub mod long_hold;
pub mod loop_reports;
pub mod loop_time;
pub mod loop_times;
pub mod native_stacks;
pub mod numbers;
pub mod packed_spans;
pub mod plain_call;
pub mod prober;
pub mod program;
pub mod progress;
pub mod recent;
pub mod reporter_process;
pub mod reports;
pub mod returned_call;
pub mod rhythm;
pub mod ring;
pub mod running_loop;
pub mod sampler;
pub mod sampling_thread;
pub mod saturation;
pub mod seen_stack;
pub mod segment;
pub mod selector;
pub mod shared_page;
pub mod silence;
pub mod sleep;
pub mod stack_budget;
pub mod stack_requests;
pub mod stacks;
pub mod stall_log;
pub mod stall_so_far;
pub mod state;
pub mod system_call;
pub mod text;
pub mod thread_files;
pub mod thread_names;
pub mod threads;
pub mod time_tree;
pub mod timeline;
pub mod timer;
pub mod totals;
pub mod traced;
pub mod variables;
pub mod watched_loop;
pub mod watcher;
pub mod watcher_files;
