/// Receives how far a long piece of work has come.
///
/// One piece of work at a time: ``begin(_:total:unit:)``, any number of ``advance(to:note:)``, ``end(_:)``; then the
/// next may begin. Callers report as often as they like; a reporter decides what to show.
public protocol ProgressReporter: Sendable {
    /// Work starts.
    ///
    /// - Parameters:
    ///   - title: what is done, such as "train".
    ///   - total: units of work in all.
    ///   - completed: units that were done earlier (a resumed run); they do not count for the rate.
    ///   - unit: the plural of what is counted, such as "steps".
    func begin(_ title: String, total: Int, completed: Int, unit: String)

    /// `completed` units are done; `note` says what is known now, such as "loss 2.31".
    func advance(to completed: Int, note: String)

    /// A line that is worth keeping (a validation result), shown beside the progress.
    func report(_ line: String)

    /// Work ends, completed or not; `summary` is its last word.
    func end(_ summary: String)
}

extension ProgressReporter {
    public func begin(_ title: String, total: Int, unit: String) {
        begin(title, total: total, completed: 0, unit: unit)
    }
}

/// Shows nothing.
public struct SilentProgress: ProgressReporter {
    public init() {}
    public func begin(_ title: String, total: Int, completed: Int, unit: String) {}
    public func advance(to completed: Int, note: String) {}
    public func report(_ line: String) {}
    public func end(_ summary: String) {}
}
