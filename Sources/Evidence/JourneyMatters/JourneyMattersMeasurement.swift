import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import OrderedCollections
import Synchronization

/// What was trained for the experiment, and the law that was fitted to its dense runs.
struct JourneyMattersMeasurement: Sendable {
    var size: JourneyMatters.Size
    var seeds: [UInt64]
    var runs: [JourneyRun]
    /// Fitted to the dense runs of all seeds, with intervals; nil where they do not suffice.
    var fit: ScalingLawFit?

    init(size: JourneyMatters.Size, seeds: [UInt64], runs: [JourneyRun]) {
        self.size = size
        self.seeds = seeds
        self.runs = runs
        fit = try? ScalingLawFit(runs.map(\.scalingRun).filter(\.isDense))
    }

    init(text: CharacterText, size: JourneyMatters.Size, seeds: [UInt64], progress: any ProgressReporter) throws {
        // The longest first, so that no thread is left alone with one.
        let arms = try seeds.flatMap { try Self.arms(size, seed: $0) }.map { (arm: $0, steps: try $0.steps(size)) }
            .sorted { $0.steps > $1.steps }.map(\.arm)
        progress.report(
            "\(size.layers) layers of width \(size.width), \(size.denseSteps) dense steps of \(size.tokensPerStep) "
                + "characters, \(text.train.tokens.count) in the text")
        progress.begin("train", total: arms.count, unit: "models")
        let finished = Mutex(0)
        let runs = try sideBySide(arms) { arm in
            let run = try JourneyRun(arm, on: text, size: size)
            finished.withLock { done in
                done += 1
                progress.report("\(arm.name), seed \(arm.seed): loss \(MarkupText.number(run.loss))")
                progress.advance(to: done, note: "")
            }
            return run
        }
        progress.end("\(arms.count) models")
        self.init(size: size, seeds: seeds, runs: runs)
    }

    /// The sparse models, other ways to some of their sparsities, the dense one that they begin as with their compute, and
    /// dense ones of each average and final size on as many tokens as each sparsity and the dense one have: a grid that a
    /// law can be fitted to.
    private static func arms(_ size: JourneyMatters.Size, seed: UInt64) throws -> [JourneyArm] {
        var kinds: [JourneyArm.Kind] = []
        var shapes: [ModelShape] = []
        var lengths = [size.denseSteps]
        for sparsity in size.sparsities {
            kinds += JourneyArm.Window.allCases.map { JourneyArm.Kind.sparse(sparsity: sparsity, $0) }
            shapes += [averageShape(sparsity, size), finalShape(sparsity, size)]
            lengths.append(try JourneyArm(kind: .sparse(sparsity: sparsity, .middle), seed: seed).steps(size))
        }
        kinds += size.baselineSparsities.flatMap { sparsity in
            JourneyBaseline.allCases.map { JourneyArm.Kind.baseline(sparsity: sparsity, $0) }
        }
        for shape in OrderedSet(shapes) {
            kinds += OrderedSet(lengths).map { JourneyArm.Kind.dense(shape, steps: $0) }
        }
        kinds.append(.dense(size.shape, steps: size.denseSteps))
        return kinds.map { JourneyArm(kind: $0, seed: seed) }
    }

    /// The dense model of a sparse one's average size.
    private static func averageShape(_ sparsity: Double, _ size: JourneyMatters.Size) -> ModelShape {
        let density = ComputePhaseSchedule.averageDensity(finalSparsity: sparsity)
        return shape(density, size)
    }

    /// The dense model of a sparse one's final size.
    private static func finalShape(_ sparsity: Double, _ size: JourneyMatters.Size) -> ModelShape {
        shape(1 - sparsity, size)
    }

    /// Densities are rounded to whole percents, so that 40 % final and 40 % average are one model.
    private static func shape(_ density: Double, _ size: JourneyMatters.Size) -> ModelShape {
        ModelShape(
            prunableCount: (density * 100).rounded() / 100 * Double(size.shape.prunableCount), like: size.shape)
    }

    // MARK: - Runs

    func sparse(_ sparsity: Double, _ window: JourneyArm.Window, seed: UInt64) -> JourneyRun? {
        runs.first { $0.arm == JourneyArm(kind: .sparse(sparsity: sparsity, window), seed: seed) }
    }

    func baseline(_ sparsity: Double, _ way: JourneyBaseline, seed: UInt64) -> JourneyRun? {
        runs.first { $0.arm == JourneyArm(kind: .baseline(sparsity: sparsity, way), seed: seed) }
    }

    private func dense(_ shape: ModelShape, _ sparsity: Double, seed: UInt64) -> JourneyRun? {
        guard let steps = sparse(sparsity, .middle, seed: seed)?.steps else { return nil }
        return runs.first { $0.arm == JourneyArm(kind: .dense(shape, steps: steps), seed: seed) }
    }

    /// The dense run of a sparse one's average size and tokens.
    func matchingAverage(_ sparsity: Double, seed: UInt64) -> JourneyRun? {
        dense(Self.averageShape(sparsity, size), sparsity, seed: seed)
    }

    /// The dense run of a sparse one's final size and tokens.
    func matchingFinal(_ sparsity: Double, seed: UInt64) -> JourneyRun? {
        dense(Self.finalShape(sparsity, size), sparsity, seed: seed)
    }

    /// The dense run of the initial size with the compute of all sparse ones.
    func matchingCompute(seed: UInt64) -> JourneyRun? {
        runs.first { $0.arm == JourneyArm(kind: .dense(size.shape, steps: size.denseSteps), seed: seed) }
    }

    /// The fitted law, where the runs determine it: with exponents inside what the fit allows (4; published ones are 0.2
    /// to 0.5) and an irreducible loss that has not gone to zero.
    var determinedLaw: ScalingLaw? {
        guard let law = fit?.law, law.irreducibleLoss > 0.01,
            [law.parameterExponent, law.tokenExponent].allSatisfy({ $0 > 0.05 && $0 < 3 })
        else { return nil }
        return law
    }

    /// Sparse runs of a window.
    func sparseRuns(_ window: JourneyArm.Window) -> [JourneyRun] {
        runs.filter { run in
            if case .sparse(_, window) = run.arm.kind { true } else { false }
        }
    }

    /// Runs of another way to some sparsity.
    func otherRuns(_ way: JourneyBaseline) -> [JourneyRun] {
        runs.filter { run in
            if case .baseline(_, way) = run.arm.kind { true } else { false }
        }
    }

    /// All runs that shrink on the way: those of all windows, on the cubic ramp and pruned at once. RigL is as large in
    /// the end as on average, and does not tell the two sizes apart.
    var shrinkingRuns: [JourneyRun] {
        JourneyArm.Window.allCases.flatMap { sparseRuns($0) } + otherRuns(.cubic) + otherRuns(.once)
    }

    /// The law's mean relative error on some runs, by the average or by the final size; NaN without a law.
    func lawError(on runs: [JourneyRun], byFinalSize: Bool = false) -> Double {
        guard let law = fit?.law, !runs.isEmpty else { return .nan }
        let errors = runs.map { run in
            let parameters = byFinalSize ? Double(run.finalCount) : run.averageCount
            return abs(law.loss(parameters: parameters, tokens: Double(run.tokens)) - run.loss) / run.loss
        }
        return errors.reduce(0, +) / Double(errors.count)
    }
}
