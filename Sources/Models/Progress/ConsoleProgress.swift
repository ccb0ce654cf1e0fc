import Foundation
import Synchronization

/// Shows progress on standard error: a bar that is redrawn on a terminal, else a plain line now and then. Work whose first
/// part takes long shows the time that has passed.
///
/// ```
/// train  [=========>          ]  46%  2300/5000 steps  8.4 steps/s  5:21 left  loss 2.71
/// ```
public final class ConsoleProgress: ProgressReporter {
    private struct State {
        var title = ""
        var unit = ""
        var estimate: ProgressEstimate?
        var note = ""
        var lastShown = -Double.infinity
        var start = 0.0
        var isBarVisible = false
    }

    private let state = Mutex(State())
    private let isTerminal: Bool
    private let plainInterval: Double
    private let write: @Sendable (String) -> Void
    private let now: @Sendable () -> Double

    /// Progress on standard error.
    ///
    /// - Parameter plainInterval: seconds between lines where standard error is not a terminal.
    public convenience init(plainInterval: Double = 10) {
        self.init(
            isTerminal: isatty(STDERR_FILENO) != 0, plainInterval: plainInterval,
            now: { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 },
            write: { FileHandle.standardError.write(Data($0.utf8)) })
        Thread.detachNewThread { [weak self] in
            while true {
                Thread.sleep(forTimeInterval: 1)
                guard let self else { return }
                self.tick()
            }
        }
    }

    /// Progress to any place, by any clock.
    public init(
        isTerminal: Bool, plainInterval: Double, now: @escaping @Sendable () -> Double,
        write: @escaping @Sendable (String) -> Void
    ) {
        self.isTerminal = isTerminal
        self.plainInterval = plainInterval
        self.now = now
        self.write = write
    }

    public func begin(_ title: String, total: Int, completed: Int, unit: String) {
        let time = now()
        state.withLock { state in
            state = State(
                title: title, unit: unit, estimate: ProgressEstimate(total: total, completed: completed, at: time),
                lastShown: isTerminal ? -.infinity : time, start: time)
        }
    }

    /// Shows how long work has gone on without a word: after a second on a terminal, else after a minute.
    public func tick() {
        let time = now()
        state.withLock { state in
            guard let estimate = state.estimate, estimate.total > 0 else { return }
            guard time - max(state.lastShown, state.start) >= (isTerminal ? 1 : 60) else { return }
            show(&state, at: time)
        }
    }

    public func advance(to completed: Int, note: String) {
        let time = now()
        state.withLock { state in
            guard state.estimate != nil else { return }
            state.estimate?.record(completed, at: time)
            state.note = note
            // Ten redraws a second are enough for the eye.
            guard time - state.lastShown >= (isTerminal ? 0.1 : plainInterval) else { return }
            show(&state, at: time)
        }
    }

    public func report(_ line: String) {
        state.withLock { state in
            clearBar(&state)
            write(line + "\n")
            state.lastShown = isTerminal ? -.infinity : state.lastShown
        }
    }

    public func end(_ summary: String) {
        state.withLock { state in
            clearBar(&state)
            if !summary.isEmpty { write(summary + "\n") }
            state.estimate = nil
        }
    }

    private func show(_ state: inout State, at time: Double) {
        state.lastShown = time
        var note = state.note
        if state.estimate?.rate == nil {
            note += (note.isEmpty ? "" : "  ") + ProgressEstimate.clock(time - state.start) + " so far"
        }
        if isTerminal {
            write("\r\u{1B}[2K" + Self.barLine(state.title, state.estimate, state.unit, note))
            state.isBarVisible = true
        } else {
            write(Self.plainLine(state.title, state.estimate, state.unit, note) + "\n")
        }
    }

    private func clearBar(_ state: inout State) {
        guard state.isBarVisible else { return }
        write("\r\u{1B}[2K")
        state.isBarVisible = false
    }

    private static func plainLine(_ title: String, _ estimate: ProgressEstimate?, _ unit: String, _ note: String)
        -> String
    {
        guard let estimate else { return title }
        var parts = ["\(title)  \(estimate.completed)/\(estimate.total) \(unit)"]
        if let rate = estimate.rate { parts.append("\(ProgressEstimate.rateText(rate)) \(unit)/s") }
        if let left = estimate.secondsLeft { parts.append("\(ProgressEstimate.clock(left)) left") }
        if !note.isEmpty { parts.append(note) }
        return parts.joined(separator: "  ")
    }

    private static func barLine(_ title: String, _ estimate: ProgressEstimate?, _ unit: String, _ note: String)
        -> String
    {
        guard let estimate else { return title }
        let fraction = min(1, Double(estimate.completed) / Double(max(1, estimate.total)))
        let width = 20
        let filled = Int(fraction * Double(width))
        let bar =
            String(repeating: "=", count: filled) + (filled < width ? ">" : "")
            + String(repeating: " ", count: max(0, width - filled - 1))
        let percent = String(Int(fraction * 100))
        let padding = String(repeating: " ", count: 3 - percent.count)
        return "\(title)  " + plainLine("[\(bar)] \(padding)\(percent)%", estimate, unit, note)
    }
}
