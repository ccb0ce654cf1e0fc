import Foundation

/// The time that the processors have worked for this process, all threads together: what measurements take where other
/// work on the machine should hardly count.
public enum ProcessorTime {
    /// Seconds since the process began.
    public static var seconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
