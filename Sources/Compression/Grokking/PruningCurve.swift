import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What is left of a network's accuracy as its smallest weights go, without training in between.
public struct PruningCurve: Sendable, Hashable {
    public struct Point: Sendable, Hashable {
        /// The fraction of weights removed.
        public var sparsity: Double
        public var trainAccuracy: Double
        public var testAccuracy: Double
        public var trainLoss: Double
        public var testLoss: Double
    }

    public var points: [Point]

    /// Measures a network at sparsities 0, `spacing`, … below 1; leaves it as it was.
    ///
    /// - Precondition: `spacing` in (0, 1).
    /// - Complexity: one selection and one pass over the task for each sparsity.
    public init(of network: any SupervisedNetwork, on task: GrokkingTask, spacing: Double = 0.001) throws {
        precondition(spacing > 0 && spacing < 1, "a spacing of \(spacing)")
        let before = Snapshot(of: network)
        defer { before.restore(network) }
        let prunable = try PrunableNetwork(network, includesEmbeddings: true)
        points = []
        // From dense to sparse: what is removed stays removed, and the order of magnitudes is that of the whole.
        for index in 0..<Int((1 / spacing).rounded()) {
            let sparsity = Double(index) * spacing
            try prunable.prune(by: .magnitude, to: sparsity)
            let measured = GrokkingTraining.measure(network, on: task)
            points.append(
                Point(
                    sparsity: sparsity, trainAccuracy: measured.trainAccuracy, testAccuracy: measured.testAccuracy,
                    trainLoss: measured.trainLoss, testLoss: measured.testLoss))
        }
    }

    /// `sparsity,train_accuracy,…`: a header and one line a point.
    public var csv: String {
        let lines = points.map {
            "\($0.sparsity),\($0.trainAccuracy),\($0.testAccuracy),\($0.trainLoss),\($0.testLoss)"
        }
        return (["sparsity,train_accuracy,test_accuracy,train_loss,test_loss"] + lines).joined(separator: "\n") + "\n"
    }
}
