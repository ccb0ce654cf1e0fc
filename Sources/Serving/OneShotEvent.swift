import Synchronization

/// Something that happens at most once (a client goes away, a deadline passes), with actions to run when it does.
final class OneShotEvent: Sendable {
    private struct State {
        var hasFired = false
        var nextIdentifier = 0
        var actions: [Int: @Sendable () -> Void] = [:]
    }

    private let state = Mutex(State())

    var hasFired: Bool { state.withLock { $0.hasFired } }

    /// Runs `action` when the event fires, at once if it already has.
    ///
    /// - Returns: what ``forget(_:)`` takes to let go of the action.
    func observe(_ action: @escaping @Sendable () -> Void) -> Int {
        let identifier: Int? = state.withLock { state in
            guard !state.hasFired else { return nil }
            state.nextIdentifier += 1
            state.actions[state.nextIdentifier] = action
            return state.nextIdentifier
        }
        guard let identifier else {
            action()
            return 0
        }
        return identifier
    }

    /// Lets go of an action that no longer needs to run.
    func forget(_ identifier: Int) {
        state.withLock { state in
            _ = state.actions.removeValue(forKey: identifier)
        }
    }

    /// Runs the actions, outside of the lock and in no particular order. Firing again does nothing.
    func fire() {
        let actions = state.withLock { state -> [@Sendable () -> Void] in
            state.hasFired = true
            defer { state.actions = [:] }
            return Array(state.actions.values)
        }
        for action in actions { action() }
    }
}
