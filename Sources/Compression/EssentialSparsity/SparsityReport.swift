import CoppiceTensors

/// The result of a ``SparsitySweep``.
public struct SparsityReport: Sendable, Codable {
    /// Names of the pruned matrices, in the order of ``Point/layerSparsities``.
    public var weights: [String]
    /// τ of the tolerance points.
    public var tolerance: Double
    /// What was measured: what is called a loss here is the share of errors where that is accuracy.
    public var measure: SparsityMeasure
    /// The loss of knowing nothing.
    public var chanceLoss: Double
    /// One curve for each variant.
    public var series: [Series]

    /// The loss at one sparsity.
    public struct Point: Sendable, Codable {
        /// The fraction of entries really removed.
        public var sparsity: Double
        /// Loss on each shard of what is evaluated.
        public var shardLosses: [Double]
        /// What each shard counts in the mean; nil: all alike.
        public var shardSizes: [Int]?
        /// Sparsity of each matrix.
        public var layerSparsities: [Double]
        /// Mean of ``shardLosses``.
        public var loss: Double { loss(on: shardLosses.indices) }

        /// The mean over some shards, each as often as it is named; at least one.
        func loss(on shards: some Collection<Int>) -> Double {
            func size(_ shard: Int) -> Double { Double(shardSizes?[shard] ?? 1) }
            return shards.reduce(0) { $0 + size($1) * shardLosses[$1] } / shards.reduce(0) { $0 + size($1) }
        }
    }

    /// An interval that holds 95 of 100 bootstrap samples.
    public struct Interval: Sendable, Codable, Hashable {
        public var low: Double
        public var high: Double
    }

    /// One variant's curve and what it says.
    public struct Series: Sendable, Codable {
        public var label: String
        public var points: [Point]
        /// s_τ: the largest sparsity within the tolerance.
        public var tolerancePoint: Double
        /// Bootstrap interval of s_τ over shards; nil for a single shard.
        public var tolerancePointInterval: Interval?
        /// The two-segment fit; nil for fewer than four points.
        public var knee: TwoSegmentFit?
        /// Bootstrap interval of the knee over shards.
        public var kneeInterval: Interval?

        /// The curve of mean losses.
        public var curve: SparsityCurve { points.curve }
    }

    /// Matrices that lose more than 95 % at some point of a series: global thresholds starve those of small scale.
    public func starvedWeights(in series: Series) -> [(weight: String, sparsity: Double)] {
        weights.indices.compactMap { index in
            series.points.first { $0.layerSparsities[index] > 0.95 && $0.sparsity <= 0.9 }
                .map { (weights[index], $0.sparsity) }
        }
    }

    /// The curves as comma-separated values: `method,sparsity,loss`, or `method,sparsity,accuracy`.
    public var csv: String {
        series.reduce(into: "method,sparsity,\(measure.rawValue)\n") { text, series in
            for point in series.points {
                text += "\(series.label),\(point.sparsity),\(measure.value(point.loss))\n"
            }
        }
    }
}

extension SparsityReport.Series {
    /// Reads tolerance point and knee off the points, with bootstrap intervals over the evaluation shards.
    ///
    /// - Parameter kneeChance: the loss of knowing nothing, where knees are fitted until it is reached; nil: to the end.
    init(
        label: String, points: [SparsityReport.Point], tolerance: Double, chanceLoss: Double, kneeChance: Double?,
        seed: UInt64, samples: Int = 500
    ) {
        self.label = label
        self.points = points
        let curve = points.curve
        tolerancePoint = curve.tolerancePoint(tolerance: tolerance, chanceLoss: chanceLoss)
        knee = curve.knee(untilChance: kneeChance)
        let shardCount = points[0].shardLosses.count
        guard shardCount > 1 else { return }
        var generator = RandomGenerator(seed: seed)
        var tolerancePoints: [Double] = []
        var knees: [Double] = []
        for _ in 0..<samples {
            // The same shards at every sparsity: their difficulty is common to all points.
            let drawn = (0..<shardCount).map { _ in Int.random(in: 0..<shardCount, using: &generator) }
            let losses = points.map { $0.loss(on: drawn) }
            let sample = SparsityCurve(sparsities: curve.sparsities, losses: losses)
            tolerancePoints.append(sample.tolerancePoint(tolerance: tolerance, chanceLoss: chanceLoss))
            if let fit = sample.knee(untilChance: kneeChance) { knees.append(fit.breakpoint) }
        }
        tolerancePointInterval = SparsityReport.Interval(samples: tolerancePoints)
        kneeInterval = SparsityReport.Interval(samples: knees)
    }
}

extension SparsityReport.Interval {
    init?(samples: [Double]) {
        guard !samples.isEmpty else { return nil }
        let sorted = samples.sorted()
        low = sorted[Int((Double(sorted.count - 1) * 0.025).rounded(.down))]
        high = sorted[Int((Double(sorted.count - 1) * 0.975).rounded(.up))]
    }
}
