import Synchronization

/// Where a server stands between serving and stopped.
final class Drain: Sendable {
    private let draining = Atomic(false)
    /// Fires when requests that still run have had their time.
    let deadline = OneShotEvent()

    /// Whether a shutdown was asked for: no new work is taken.
    var isDraining: Bool { draining.load(ordering: .acquiring) }

    /// Starts draining.
    ///
    /// - Returns: whether this call was the first.
    func begin() -> Bool {
        !draining.exchange(true, ordering: .acquiringAndReleasing)
    }
}
