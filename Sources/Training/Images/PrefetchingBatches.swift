import CKernels
import CoppiceNetworks
import Foundation

/// Prepares the batches that come next in the background while a network trains on the one before.
///
/// The batches are those of the source, whoever asks in whichever order: one that is not prepared is made at once. At
/// most `depth` of them are kept; when this object goes, so does what it had prepared.
public final class PrefetchingBatches: BatchSource {
    public let source: any BatchSource
    /// Batches that are prepared ahead.
    public let depth: Int
    private let shelf = Shelf()
    private let queue = DispatchQueue(label: "coppice.batches", qos: .userInitiated)

    /// - Precondition: at least one batch ahead.
    public init(_ source: any BatchSource, depth: Int = 2) {
        precondition(depth > 0, "\(depth) batches ahead")
        self.source = source
        self.depth = depth
    }

    public var batchesPerEpoch: Int { source.batchesPerEpoch }

    public func batch(at step: Int) -> LabeledBatch {
        let batch = shelf.take(step) ?? source.batch(at: step)
        if shelf.want((step + 1)...(step + depth)) { prepare() }
        return batch
    }

    private func prepare() {
        // The shelf is not kept alive: without it nobody waits for what is prepared.
        queue.async { [weak shelf, source] in
            // The pool belongs to the network that trains meanwhile.
            let before = coppice_work_alone(1)
            defer { _ = coppice_work_alone(before) }
            while let step = shelf?.nextWanted() { shelf?.put(source.batch(at: step), step) }
        }
    }

    /// What the thread in the background shares with those that ask.
    private final class Shelf: @unchecked Sendable {
        // Guards all else.
        private let condition = NSCondition()
        private var ready: [Int: LabeledBatch] = [:]
        /// Steps to prepare, the first first.
        private var wanted: [Int] = []
        private var inWork: Int?
        private var isRunning = false

        /// The batch of a step when it is prepared or being prepared; else the caller makes it, and nobody else.
        func take(_ step: Int) -> LabeledBatch? {
            condition.withLock {
                wanted.removeAll { $0 == step }
                while inWork == step { condition.wait() }
                return ready.removeValue(forKey: step)
            }
        }

        /// Replaces what is wanted, and drops what no longer is.
        ///
        /// - Returns: whether somebody has to begin preparing.
        func want(_ steps: ClosedRange<Int>) -> Bool {
            condition.withLock {
                ready = ready.filter { steps.contains($0.key) }
                wanted = steps.filter { ready[$0] == nil && inWork != $0 }
                guard !isRunning, !wanted.isEmpty else { return false }
                isRunning = true
                return true
            }
        }

        /// The next step to prepare; nil, and no longer running, where there is none.
        func nextWanted() -> Int? {
            condition.withLock {
                guard !wanted.isEmpty else {
                    isRunning = false
                    return nil
                }
                let step = wanted.removeFirst()
                inWork = step
                return step
            }
        }

        func put(_ batch: LabeledBatch, _ step: Int) {
            condition.withLock {
                ready[step] = batch
                inWork = nil
                condition.broadcast()
            }
        }
    }
}
