#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The OpenMP run-time that oneDNN was built with.
enum OpenMP {
    private typealias SetThreadCount = @convention(c) (Int32) -> Void

    /// Found among the libraries already loaded, so that nothing needs to be linked for it.
    private static let setThreadCount: SetThreadCount? = dlsym(nil, "omp_set_num_threads").map {
        unsafeBitCast($0, to: SetThreadCount.self)
    }

    /// Makes oneDNN compute on the calling thread alone, from now on. (OpenMP keeps this number for each thread.)
    ///
    /// The program has one thread pool. Parts of a computation run on it side by side, each on one thread, and how
    /// they are cut depends on the sizes only: so results do not depend on the number of threads.
    static func useOneThread() { setThreadCount?(1) }
}
