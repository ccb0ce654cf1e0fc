// The one thread pool of the program: fork-join over a range of task indices.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// One task of a fork-join: `index` is in `0 ..< count`.
typedef void (*coppice_task)(void *context, long index);

/// Runs `task(context, 0 ... count - 1)`, each index exactly once, and returns when all have finished.
///
/// The calling thread takes part. Indices are handed out dynamically, so `task` must not depend on which
/// thread runs it. A call made from inside a task, or while another thread's fork-join is under way, runs
/// on the calling thread alone: it never waits for the pool and never deadlocks.
void coppice_parallel_for(long count, void *context, coppice_task task);

/// Whether the fork-joins of the calling thread run on it alone from now on (1) or on the pool (0): for a thread that
/// works in the background, which would otherwise take the pool from under the thread in front. Returns what it was.
/// Not to be called inside a task.
int coppice_work_alone(int alone);

/// Threads that take part in a fork-join, the caller included. The first use reads `COPPICE_THREADS`,
/// else counts the processors this process may run on.
int coppice_thread_count(void);

/// Sets the number of threads of the fork-joins that begin from now on (at least 1, at most 256).
void coppice_set_thread_count(int count);

/// Pins the pool's workers, each to a processor of its own among those that the calling thread may run on, all but the
/// first: that is for the thread that calls a fork-join, which stays free to move. Holds for workers that begin later,
/// too; 0 lets them move again. Not to be called from inside a task.
///
/// Returns 0, or why the workers now run as if it had not been called: EINVAL where there are more threads than
/// processors, EPERM or what else the system answers.
int coppice_set_pinning(int pinned);

/// The only processor that worker `worker` (from 1) may run on, -1 where it may run on several or there is none such.
int coppice_processor_of_worker(int worker);

#ifdef __cplusplus
}
#endif
