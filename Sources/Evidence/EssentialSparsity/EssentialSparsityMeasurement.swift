import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// Everything that the essential-sparsity experiment measures, before any judgement.
struct EssentialSparsityMeasurement: Sendable {
    /// The prunable matrices in the order of computation.
    var weights: [PrunableWeight]
    /// The sweeps of the trained network.
    var sweep: SparsityReport
    /// The sweep of a freshly initialised network of the same shape.
    var control: SparsityReport
    var invariants: MaskInvariants
    /// Weights near zero of the trained network and of the freshly initialised one, which gives the thresholds that
    /// stay.
    var nearZeroTrained: NearZeroShares
    var nearZeroInitial: NearZeroShares

    /// Labels of the curves.
    enum Label {
        static let global = "magnitude-global"
        static let layer = "magnitude-layer"
        static let random = "random-global"
        static let randomErdosRenyi = "random-erk"
        static let groupsOfTwo = "magnitude-n:2"
        static let groupsOfFour = "magnitude-n:4"
        static let groupsOfEight = "magnitude-n:8"
    }

    init(
        weights: [PrunableWeight], sweep: SparsityReport, control: SparsityReport, invariants: MaskInvariants,
        nearZeroTrained: NearZeroShares, nearZeroInitial: NearZeroShares
    ) {
        self.weights = weights
        self.sweep = sweep
        self.control = control
        self.invariants = invariants
        self.nearZeroTrained = nearZeroTrained
        self.nearZeroInitial = nearZeroInitial
    }

    /// Runs all measurements. The networks have the same weights afterwards.
    ///
    /// - Parameter windows: evaluation windows of one length.
    /// - Throws: `.badData` for weights that are not finite.
    init(
        network: DecoderNetwork, untrained: DecoderNetwork, windows: [[Int]], seed: UInt64,
        progress: any ProgressReporter
    ) throws {
        let shards = Self.shardCount(windows, vocabularySize: network.configuration.vocabularySize)
        let trained = try MaskedNetwork(decoder: network, windows: windows, shardCount: shards)
        let fresh = try MaskedNetwork(decoder: untrained, windows: windows, shardCount: shards)
        weights = trained.weights
        let standard = SparsityVariant.standard(sparsities: EssentialSparsity.sparsities, seed: seed)
        let patterns = PatternCurves.variants(fitting: trained.weights)
        let refined = standard.filter { [Label.global, Label.layer].contains($0.label) } + patterns
        let random = standard.filter { [Label.random, Label.randomErdosRenyi].contains($0.label) }
        let controls = SparsityVariant.standard(sparsities: EssentialSparsity.coarseSparsities, seed: seed).filter {
            [Label.global, Label.random].contains($0.label)
        }

        // Refinement adds up to four points to each of two curves.
        let total = (refined + random + controls).reduce(3 + 8) { $0 + $1.steps.count }
        progress.begin("prune and evaluate", total: total, unit: "evaluations")
        var completed = 0
        func run(_ decoder: MaskedNetwork, _ variants: [SparsityVariant], refines: Bool) throws -> SparsityReport {
            defer { decoder.restore() }
            var sweep = SparsitySweep(variants: variants, chanceLoss: decoder.chanceLoss)
            sweep.tolerance = EssentialSparsity.tolerance
            sweep.refinesKnee = refines
            sweep.seed = seed
            return try sweep.run(
                decoder.weights, values: decoder.values, evaluate: decoder.losses,
                progress: { step in
                    completed += 1
                    progress.advance(
                        to: min(completed, total),
                        note: "\(step.label) \(MarkupText.percent(step.sparsity, places: 0)) loss "
                            + MarkupText.number(step.loss))
                })
        }
        sweep = try run(trained, refined, refines: true)
        sweep.series += try run(trained, random, refines: false).series
        control = try run(fresh, controls, refines: false)
        invariants = try MaskInvariants(
            trained.weights, tenths: EssentialSparsity.tenths, seed: seed, values: trained.values)
        let initial = weights.indices.map(fresh.values)
        let counter = NearZeroCounter(initial)
        nearZeroInitial = counter.shares(of: initial)
        nearZeroTrained = counter.shares(of: weights.indices.map(trained.values))
        progress.end("\(completed) evaluations")
    }

    /// Shards small enough that the logits of one are at most about 64 MB.
    private static func shardCount(_ windows: [[Int]], vocabularySize: Int) -> Int {
        let logits = windows.reduce(0) { $0 + $1.count } * vocabularySize
        return max(8, (logits + (16 << 20) - 1) / (16 << 20))
    }

    var prunableCount: Int { weights.reduce(0) { $0 + $1.count } }
    var chanceLoss: Double { sweep.chanceLoss }
    var denseLoss: Double { sweep.series.first?.points.first?.loss ?? .nan }

    /// The curve of a label.
    func series(_ label: String) -> SparsityReport.Series? { sweep.series.first { $0.label == label } }

    /// The loss of a curve at a sparsity of the grid; NaN where it was not measured.
    static func loss(_ series: SparsityReport.Series?, at sparsity: Double) -> Double {
        // Counts are whole, so the sparsity reached differs from the one asked for by less than a thousandth.
        let near = series?.points.min { abs($0.sparsity - sparsity) < abs($1.sparsity - sparsity) }
        guard let near, abs(near.sparsity - sparsity) < 0.02 else { return .nan }
        return near.loss
    }

    /// The measured point nearest to the knee of global magnitude pruning.
    var pointAtKnee: SparsityReport.Point? {
        guard let global = series(Label.global), let knee = global.knee?.breakpoint else { return nil }
        return global.points.min { abs($0.sparsity - knee) < abs($1.sparsity - knee) }
    }
}
