import CoppiceTensors

extension Module {
    /// Replaces the running statistics of all batch normalizations by the means, over batches, of what they find there,
    /// and leaves everything else as it was; nothing happens without batches.
    ///
    /// For a network whose parts have been removed, so that what later norms see has shifted.
    ///
    /// - Parameter forward: computes with the module on a batch.
    /// - Complexity: one forward pass of each batch.
    public func reestimateNormStatistics<Batch>(
        on batches: some Sequence<Batch>, _ forward: (Batch) throws -> Void
    ) rethrows {
        let norms = modules.compactMap { $0.module as? BatchNorm }
        try withTraining(false) {
            for norm in norms { norm.isTraining = true }
            var sums: [(mean: Tensor, variance: Tensor)] = []
            var count = 0
            let counts = norms.map(\.batchCount)
            try withoutRecording {
                for batch in batches {
                    // From zero, one update leaves the batch's own statistics times its part.
                    for norm in norms {
                        norm.runningMean = norm.runningMean * 0
                        norm.runningVariance = norm.runningVariance * 0
                        norm.batchCount = .zeros([], dataType: .i64)
                    }
                    try forward(batch)
                    let found = norms.map { norm in
                        let part = norm.momentum ?? 1
                        return (mean: norm.runningMean / part, variance: norm.runningVariance / part)
                    }
                    sums = count == 0 ? found : zip(sums, found).map { ($0.mean + $1.mean, $0.variance + $1.variance) }
                    count += 1
                }
            }
            for (index, norm) in norms.enumerated() {
                norm.batchCount = counts[index]
                guard count > 0 else { continue }
                norm.runningMean = (sums[index].mean / Double(count)).detached()
                norm.runningVariance = (sums[index].variance / Double(count)).detached()
            }
        }
    }
}
