import CoppiceTensors

/// Prunes a model to many sparsities, each from the dense weights, and measures the loss of each.
///
/// The sweep knows nothing of models: it makes masks from matrices, and the caller's closure evaluates them.
///
/// ```swift
/// let sweep = SparsitySweep(variants: SparsityVariant.standard(sparsities: grid, seed: 42), chanceLoss: log(4096))
/// let report = try sweep.run(weights, values: { try load($0) }, evaluate: { try losses(under: $0) })
/// ```
public struct SparsitySweep: Sendable {
    /// What is compared.
    public var variants: [SparsityVariant]
    /// The loss of knowing nothing: ln(vocabulary size) of a language model, in nats per token.
    public var chanceLoss: Double
    /// What is measured: what is called a loss here is the share of errors where that is accuracy.
    public var measure = SparsityMeasure.loss
    /// What each shard counts in means; nil: all alike.
    public var shardSizes: [Int]?
    /// The fraction of what the model has learned that may be lost at the tolerance point.
    public var tolerance: Double = 0.01
    /// Whether to halve the steps on both sides of the knee and measure there too.
    public var refinesKnee = true
    /// Whether knees are those of curves ``SparsityCurve/untilChance(_:)``, as accuracies need it.
    public var kneesEndAtChance = false
    /// Seeds the bootstrap.
    public var seed: UInt64 = 42

    public init(variants: [SparsityVariant], chanceLoss: Double) {
        self.variants = variants
        self.chanceLoss = chanceLoss
    }

    /// A sweep of what a network is measured on.
    public init(variants: [SparsityVariant], evaluation: SparsityEvaluation) {
        self.init(variants: variants, chanceLoss: evaluation.chanceLoss)
        (measure, shardSizes) = (evaluation.measure, evaluation.shardSizes)
    }

    /// A measurement under way.
    public struct Progress: Sendable {
        /// Evaluations finished.
        public var completed: Int
        /// Evaluations planned; grows when a knee is refined.
        public var total: Int
        /// What was just measured.
        public var label: String
        public var sparsity: Double
        public var loss: Double
        /// What that is.
        public var measure: SparsityMeasure
    }

    /// Runs all variants.
    ///
    /// - Parameters:
    ///   - weights: the prunable matrices in checkpoint order.
    ///   - values: the matrix with the given index: f32 `[rows, columns]`.
    ///   - evaluate: the losses under some masks (one a matrix; nil for the dense model): one number for each shard of what
    ///     is evaluated, at least one, always the same shards.
    /// - Throws: what the closures throw; `.badData` for NaN weights or a pattern that does not fit.
    public func run(
        _ weights: [PrunableWeight], values: (_ index: Int) throws -> Tensor,
        evaluate: (_ masks: [WeightMask]?) throws -> [Double], progress: (Progress) -> Void = { _ in }
    ) throws -> SparsityReport {
        precondition(!weights.isEmpty, "nothing to prune")
        var completed = 0
        var total = 1 + variants.reduce(0) { $0 + $1.steps.count }
        func report(_ label: String, _ point: SparsityReport.Point) {
            completed += 1
            progress(
                Progress(
                    completed: completed, total: total, label: label, sparsity: point.sparsity, loss: point.loss,
                    measure: self.measure))
        }
        func point(_ sparsity: Double, _ losses: [Double], _ layers: [Double]) -> SparsityReport.Point {
            precondition(shardSizes.map { $0.count == losses.count } ?? true, "a size of each shard")
            return SparsityReport.Point(
                sparsity: sparsity, shardLosses: losses, shardSizes: shardSizes, layerSparsities: layers)
        }
        let dense = try evaluate(nil)
        precondition(!dense.isEmpty, "no evaluation shard")
        let origin = point(0, dense, [Double](repeating: 0, count: weights.count))
        report("dense", origin)

        /// - Returns: nil where there is such a point already: few heads make few sparsities.
        func measure(
            _ masking: SparsityVariant.Masking, _ label: String, besides points: [SparsityReport.Point]
        ) throws -> SparsityReport.Point? {
            let masks = try withoutActuallyEscaping(values) { try masking(weights, $0) }
            let removed = masks.reduce(0) { $0 + $1.removedCount }
            let sparsity = Double(removed) / Double(weights.reduce(0) { $0 + $1.count })
            if points.contains(where: { $0.sparsity == sparsity }) {
                total -= 1
                return nil
            }
            let shards = try evaluate(masks)
            precondition(shards.count == dense.count, "evaluations of different shards")
            let measured = point(sparsity, shards, masks.map(\.sparsity))
            report(label, measured)
            return measured
        }

        let kneeChance = kneesEndAtChance ? chanceLoss : nil
        let series = try variants.map { variant in
            var points = [origin]
            for step in variant.steps {
                if let point = try measure(step, variant.label, besides: points) { points.append(point) }
            }
            if refinesKnee, let composition = variant.composition,
                let knee = points.curve.knee(untilChance: kneeChance)?.breakpoint
            {
                let middles = Self.middles(around: knee, of: points.map(\.sparsity))
                total += middles.count
                for sparsity in middles {
                    if let point = try measure(composition(sparsity), variant.label, besides: points) {
                        points.append(point)
                    }
                }
                points.sort { $0.sparsity < $1.sparsity }
            }
            return SparsityReport.Series(
                label: variant.label, points: points, tolerance: tolerance, chanceLoss: chanceLoss,
                kneeChance: kneeChance, seed: seed)
        }
        return SparsityReport(
            weights: weights.map(\.name), tolerance: tolerance, measure: self.measure, chanceLoss: chanceLoss,
            series: series)
    }

    /// The middles of the grid's steps on both sides of a knee.
    static func middles(around knee: Double, of grid: [Double]) -> [Double] {
        zip(grid, grid.dropFirst()).filter { low, high in
            let width = high - low
            return knee >= low - width * 0.5 && knee <= high + width * 0.5
        }.map { ($0 + $1) / 2 }
    }
}

extension [SparsityReport.Point] {
    /// The points as a curve of mean losses.
    var curve: SparsityCurve { SparsityCurve(sparsities: map(\.sparsity), losses: map(\.loss)) }
}
