import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

extension PruningComparison {
    /// Iterative magnitude pruning under one threshold, rewound to an early step: each level is trained from there to the
    /// end, as long as the other arms in all, and removes about a fifth of what is left.
    ///
    /// Frankle, Dziugaite, Roy and Carbin, "Stabilizing the lottery ticket hypothesis" (2019).
    ///
    /// - Parameter sparsities: rising; the levels meet each.
    /// - Returns: an outcome of each.
    func rewound(_ name: String, to sparsities: [Double], seed: UInt64) throws -> [Outcome] {
        let network = try PrunableNetwork(study.makeNetwork(seed: seed))
        let training = study.supervision(epochs: totalEpochs)
        let steps = training.rates.totalSteps
        let search = try IterativePruning(training: training, rewindStep: Int(Self.rewoundPart * Double(steps)))
        let batches = study.batches(seed: seed)
        let early = try search.trainToRewindStep(network.network, on: batches)
        try search.trainFromRewindStep(network, rewound: early, on: batches)
        var kept = 1.0
        return try sparsities.map { sparsity in
            var losses = LossCurve(name, steps: steps)
            for level in search.keptParts(from: kept, to: 1 - sparsity) {
                losses = LossCurve(name, steps: steps)
                try network.prune(by: .magnitude, to: 1 - level)
                try search.trainFromRewindStep(network, rewound: early, on: batches) { losses.add($1, at: $0) }
            }
            kept = 1 - sparsity
            return Outcome(
                arm: name, sparsity: sparsity, seed: seed, accuracy: study.accuracy(of: network.network),
                kept: network.masks.map(\.keptCount), losses: losses)
        }
    }

    /// The part of training that is before the step that is rewound to.
    static let rewoundPart = 0.05
}
