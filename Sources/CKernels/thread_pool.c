#define _GNU_SOURCE
#include "thread_pool.h"

#include "cpu_features.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

// A fork-join opens a job, bumps `generation` and joins in. Workers spin on `generation` for a short while after
// each job, then park on a condition variable; the publisher wakes only those that are parked. A worker enters
// the job by raising `active` and then checking that the job is still open; the publisher closes the job when it
// finds no index left and waits until `active` is zero. So a worker that the system has not scheduled yet costs
// nothing, and none can still hold a job's context after `coppice_parallel_for` returns.

enum { maximum_threads = 256, spins_before_parking = 4000 };

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER; // held by the thread whose fork-join is under way
static pthread_mutex_t park_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t park_condition = PTHREAD_COND_INITIALIZER;

static pthread_t workers[maximum_threads];
static int worker_count = 0;            // threads running, the caller excluded; guarded by `owner`
static int is_pinned = 0;               // guarded by `owner`, as is the next one
static cpu_set_t processors;            // that workers may run on
static atomic_int wanted_threads = 0;   // 0: not decided yet
static atomic_int stopping = 0;
static atomic_int parked = 0;           // workers asleep; changed under `park_mutex`

static struct {
    coppice_task task;
    void *context;
    long count;
    coppice_cpu_level level; // the caller's, which its tasks keep wherever they run
} job;

// Each thread begins with a range of its own, so that what it reads lies together, and then helps the others.
typedef struct {
    _Alignas(64) atomic_long next;
    long end;
} range;
static range ranges[maximum_threads];
static int range_count;

static _Alignas(64) atomic_uint generation;
static unsigned started_at; // the generation that new workers have seen
static _Alignas(64) atomic_int is_open; // whether the job may be entered
static _Alignas(64) atomic_int active;  // workers inside the job, or about to find it closed

static _Thread_local int inside_task = 0;

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    sched_yield();
#endif
}

/// Runs tasks until none is left; `thread` is 0 for the caller, 1 for the first worker.
static void take_tasks(int thread) {
    inside_task = 1;
    for (int i = 0; i < range_count; i++) {
        range *r = &ranges[(thread + i) % range_count];
        for (;;) {
            long index = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
            if (index >= r->end) break;
            job.task(job.context, index);
        }
    }
    inside_task = 0;
}

static void *work(void *number) {
    const int thread = (int)(long)number;
    unsigned seen = started_at;
    for (;;) {
        int spins = 0;
        while (atomic_load_explicit(&generation, memory_order_acquire) == seen) {
            if (++spins < spins_before_parking) {
                relax();
                continue;
            }
            pthread_mutex_lock(&park_mutex);
            atomic_fetch_add(&parked, 1);
            while (atomic_load(&generation) == seen) pthread_cond_wait(&park_condition, &park_mutex);
            atomic_fetch_sub(&parked, 1);
            pthread_mutex_unlock(&park_mutex);
        }
        seen = atomic_load_explicit(&generation, memory_order_acquire);
        if (atomic_load(&stopping)) return NULL;
        atomic_fetch_add(&active, 1);
        if (atomic_load(&is_open)) {
            coppice_set_cpu_level(job.level);
            take_tasks(thread);
        }
        atomic_fetch_sub_explicit(&active, 1, memory_order_release);
    }
}

static void publish(void) {
    atomic_fetch_add(&generation, 1); // sequentially consistent: pairs with the check before parking
    if (atomic_load(&parked) == 0) return;
    pthread_mutex_lock(&park_mutex);
    pthread_cond_broadcast(&park_condition);
    pthread_mutex_unlock(&park_mutex);
}

static int default_thread_count(void) {
    const char *text = getenv("COPPICE_THREADS");
    if (text) {
        int count = atoi(text);
        if (count >= 1 && count <= maximum_threads) return count;
    }
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        int count = CPU_COUNT(&set);
        if (count >= 1) return count < maximum_threads ? count : maximum_threads;
    }
    return 1;
}

int coppice_thread_count(void) {
    int count = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    if (count > 0) return count;
    count = default_thread_count();
    int undecided = 0;
    atomic_compare_exchange_strong(&wanted_threads, &undecided, count);
    return atomic_load(&wanted_threads);
}

void coppice_set_thread_count(int count) {
    if (count < 1) count = 1;
    if (count > maximum_threads) count = maximum_threads;
    atomic_store(&wanted_threads, count);
}

// Lets worker `worker` (from 1) run on its own processor alone, or on all.
static int place(int worker, int pinned) {
    cpu_set_t set = processors;
    if (pinned) {
        int left = worker % CPU_COUNT(&processors), processor = 0;
        while (!CPU_ISSET(processor, &processors) || left-- > 0) processor++;
        CPU_ZERO(&set);
        CPU_SET(processor, &set);
    }
    return pthread_setaffinity_np(workers[worker - 1], sizeof set, &set);
}

// Brings the number of running workers to what is wanted. Called with `owner` held.
static void resize(int wanted_workers) {
    if (worker_count == wanted_workers) return;
    if (worker_count > 0) {
        atomic_store(&stopping, 1);
        publish();
        for (int i = 0; i < worker_count; i++) pthread_join(workers[i], NULL);
        atomic_store(&stopping, 0);
        worker_count = 0;
    }
    started_at = atomic_load(&generation);
    // Workers take no signals from outside: a handler would run on their stack, which some of the code that they call
    // keeps where there is no room for its frame.
    sigset_t from_outside, before;
    sigemptyset(&from_outside);
    sigaddset(&from_outside, SIGINT);
    sigaddset(&from_outside, SIGTERM);
    sigaddset(&from_outside, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &from_outside, &before);
    while (worker_count < wanted_workers) {
        if (pthread_create(&workers[worker_count], NULL, work, (void *)(long)(worker_count + 1)) != 0) break;
        worker_count++;
        if (is_pinned) place(worker_count, 1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int coppice_work_alone(int alone) {
    int before = inside_task;
    inside_task = alone;
    return before;
}

int coppice_set_pinning(int pinned) {
    int threads = coppice_thread_count(), failure = 0;
    pthread_mutex_lock(&owner);
    resize(threads - 1);
    if (pinned && !is_pinned) {
        if (sched_getaffinity(0, sizeof processors, &processors) != 0) failure = errno;
        else if (threads > CPU_COUNT(&processors)) failure = EINVAL;
    }
    if (!failure && pinned != is_pinned) {
        for (int worker = 1; worker <= worker_count && !failure; worker++) failure = place(worker, pinned);
        if (failure && pinned)
            for (int worker = 1; worker <= worker_count; worker++) place(worker, 0);
        if (!failure) is_pinned = pinned;
    }
    pthread_mutex_unlock(&owner);
    return failure;
}

int coppice_processor_of_worker(int worker) {
    cpu_set_t set;
    int processor = -1;
    pthread_mutex_lock(&owner);
    if (worker >= 1 && worker <= worker_count
        && pthread_getaffinity_np(workers[worker - 1], sizeof set, &set) == 0 && CPU_COUNT(&set) == 1)
        for (processor = 0; !CPU_ISSET(processor, &set);) processor++;
    pthread_mutex_unlock(&owner);
    return processor;
}

void coppice_parallel_for(long count, void *context, coppice_task task) {
    if (count <= 0) return;
    int threads = coppice_thread_count();
    if (count == 1 || threads == 1 || inside_task || pthread_mutex_trylock(&owner) != 0) {
        for (long i = 0; i < count; i++) task(context, i);
        return;
    }
    resize(threads - 1);
    job.task = task;
    job.context = context;
    job.count = count;
    job.level = coppice_cpu_level_in_use();
    range_count = worker_count + 1;
    for (int t = 0; t < range_count; t++) {
        atomic_store_explicit(&ranges[t].next, count * t / range_count, memory_order_relaxed);
        ranges[t].end = count * (t + 1) / range_count;
    }
    atomic_store(&is_open, 1);
    publish();
    take_tasks(0);
    atomic_store(&is_open, 0);
    for (int spins = 0; atomic_load_explicit(&active, memory_order_acquire) > 0; spins++) {
        if (spins < spins_before_parking) relax();
        else sched_yield();
    }
    pthread_mutex_unlock(&owner);
}
