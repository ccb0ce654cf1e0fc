/// The rate of a piece of work and the time that it still takes, from how far it had come at which moments.
///
/// The rate is that of the last ``window`` seconds, so that it follows a machine that becomes faster or slower.
/// O(moments within the window) memory.
public struct ProgressEstimate: Sendable {
    /// Units of work in all.
    public let total: Int
    /// Seconds that the rate looks back.
    public let window: Double
    private var moments: [(time: Double, completed: Int)]

    /// - Parameters:
    ///   - time: seconds on any clock, the one that ``record(_:at:)`` uses.
    ///   - completed: units that were done before this estimate began.
    public init(total: Int, completed: Int = 0, at time: Double, window: Double = 30) {
        self.total = total
        self.window = window
        moments = [(time, completed)]
    }

    /// Units done by the last moment recorded.
    public var completed: Int { moments[moments.count - 1].completed }

    /// Notes that `completed` units are done. Moments that lie closer than a hundredth of the window are merged.
    public mutating func record(_ completed: Int, at time: Double) {
        if moments.count > 1, time - moments[moments.count - 2].time < window / 100 { moments.removeLast() }
        moments.append((time, completed))
        // The oldest moment kept is the last one before the window, so that a slow start is not thrown away.
        var first = 0
        while first + 2 < moments.count, moments[first + 1].time <= time - window { first += 1 }
        moments.removeFirst(first)
    }

    /// Units a second; nil before anything was done.
    public var rate: Double? {
        guard let first = moments.first, let last = moments.last, last.time > first.time,
            last.completed > first.completed
        else { return nil }
        return Double(last.completed - first.completed) / (last.time - first.time)
    }

    /// Seconds until all is done at the present rate; nil before a rate is known.
    public var secondsLeft: Double? { rate.map { Double(max(0, total - completed)) / $0 } }
}

extension ProgressEstimate {
    /// A time span as `3:07` or `2:03:07`; the longest shown is 99 hours.
    public static func clock(_ seconds: Double) -> String {
        let whole = Int(min(max(0, seconds.isFinite ? seconds : .infinity), 359_999).rounded())
        let pad = { (value: Int) in value < 10 ? "0\(value)" : "\(value)" }
        let (hours, minutes) = (whole / 3600, whole / 60 % 60)
        return hours > 0 ? "\(hours):\(pad(minutes)):\(pad(whole % 60))" : "\(minutes):\(pad(whole % 60))"
    }

    /// A rate with three significant digits: `0.52`, `8.31`, `124`, `12400`.
    public static func rateText(_ rate: Double) -> String {
        guard rate.isFinite, rate > 0 else { return "0" }
        let digits = rate >= 99.95 ? 0 : rate >= 9.995 ? 1 : 2
        let scale = [1.0, 10, 100][digits]
        let rounded = (rate * scale).rounded() / scale
        return digits == 0 ? "\(Int(min(rounded, 1e15)))" : "\(rounded)"
    }
}
