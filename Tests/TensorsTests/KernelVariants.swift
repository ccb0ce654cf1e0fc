import CKernels
import Testing

/// Suites that change the number of threads, which belongs to the whole process: they run one
/// after the other.
@Suite(.serialized) enum SerializedByVariant {}

/// Runs `body` under every kernel variant of this machine and several numbers of threads.
func underEveryVariant(threads: [Int32] = [1, 3], _ body: (String) throws -> Void) rethrows {
    let (level, count) = (coppice_cpu_level_in_use(), coppice_thread_count())
    defer {
        coppice_set_cpu_level(level)
        coppice_set_thread_count(count)
    }
    for wanted in [COPPICE_CPU_PORTABLE, COPPICE_CPU_AVX2, COPPICE_CPU_AVX512]
    where coppice_set_cpu_level(wanted) == wanted {
        for number in threads {
            coppice_set_thread_count(number)
            try body("variant \(wanted.rawValue), \(number) threads")
        }
    }
}
