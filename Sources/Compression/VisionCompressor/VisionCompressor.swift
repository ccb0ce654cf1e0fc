import CoppiceFormats
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Compresses a vision network by a recipe into a folder that Coppice inspects, evaluates, trains on and compresses again.
///
/// ```swift
/// let checkpoint = try VisionCheckpoint.open("resnet20.safetensors")
/// let recipe = try Recipe.load("Recipes/vision-half.yaml")
/// let images = try CompressionImages(folder: "cifar10", for: checkpoint, seed: recipe.seed)
/// let report = try VisionCompressor(checkpoint, recipe: recipe).run(output: "small", images: images)
/// ```
///
/// The network is in memory as a whole. Weights that are zero in the checkpoint count as removed. Pruned weights are stored
/// in the smallest format that holds them, a convolution as a matrix `[out, in · rows · columns]`; they are expanded
/// when the network is loaded. The same checkpoint, recipe and images give the same bytes, for any number of threads.
public struct VisionCompressor {
    public let checkpoint: VisionCheckpoint
    public let recipe: Recipe
    /// Picks the formats. Nothing decodes from them, so size is what counts.
    public var planner = FormatPlanner(preference: .size)
    /// What stages of whole blocks removed already; the checkpoint is what they left.
    private let removed: RemovedLayers?

    /// Matches the recipe with the network. O(weights).
    ///
    /// - Throws: `.badData` when they do not fit together, before any work: a pattern that matches nothing, with the
    ///   nearest name; a weight that an N:M pattern or a group does not divide, with what would; a method for language
    ///   models; a penalty on batch normalizations that there are none of. Stages behind those of whole blocks are matched
    ///   with all of the network here, and with what is left of it later.
    public init(_ checkpoint: VisionCheckpoint, recipe: Recipe) throws {
        try self.init(checkpoint, recipe, behind: nil)
    }

    private init(_ checkpoint: VisionCheckpoint, _ recipe: Recipe, behind removed: RemovedLayers?) throws {
        self.removed = removed
        if removed == nil { try LayerStages(recipe)?.check(checkpoint.architecture) }
        self.checkpoint = checkpoint
        self.recipe = recipe
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(let options) = stage, options.unit != .layer else { continue }
            if options.unit.transformerUnits != nil {
                throw CoppiceError(
                    .badData, source: recipe.source, field: "stages[\(index)].prune.granularity",
                    "\(options.unit.rawValue) is for language models and encoders, expected weight, filter, channel or "
                        + "layer: heads and neurons of a vision transformer go with granularity channel")
            }
            if options.network.recovery == .reconstruct {
                throw CoppiceError(
                    .badData, source: recipe.source, field: "stages[\(index)].prune.recovery",
                    "reconstruct is for language models and encoders, expected none, fine-tune, surgeon or distill")
            }
            guard !options.method.prunesNetworks else { continue }
            let methods = PruneStage.Method.allCases.filter(\.prunesNetworks).map(\.rawValue).joined(separator: ", ")
            throw CoppiceError(
                .badData, source: recipe.source, field: "stages[\(index)].prune.method",
                "\(options.method.rawValue) is for language models and encoders, expected one of \(methods)")
        }
        let network = try checkpoint.network()
        try recipe.training.checkScales(of: network, source: recipe.source)
        try recipe.checkTrains(among: network.parameters.map(\.name), aliases: checkpoint.aliases)
        _ = try RecipeRun(recipe, on: NetworkWeights(PrunableNetwork(network), aliases: checkpoint.aliases))
    }

    /// Compresses into a new folder.
    ///
    /// - Parameters:
    ///   - output: the folder's path. A folder that Coppice wrote earlier is replaced.
    ///   - images: for recipes with ``Recipe/needOfImages``, and to measure accuracy on.
    ///   - before: what ``accuracy(on:progress:)`` gave on these images; nil: it is measured.
    ///   - progress: told how far the work has come.
    /// - Throws: `.usage` where images are needed and missing, and for a sparsity below what is there; `.badData` for
    ///   weights, gradients and losses that are not finite, and for masks of another network; `.cannotCreate` and
    ///   `.inputOutput` for the output folder.
    public func run(
        output: String, images: CompressionImages? = nil, before: Classification? = nil,
        progress: any ProgressReporter = SilentProgress()
    ) throws -> CompressionReport {
        try check(output: output, images: images)
        if removed == nil, let layers = LayerStages(recipe) {
            let before = try before ?? accuracy(on: images, progress: progress)
            let folder = try OutputFolder(at: output)
            defer { folder.discard() }
            let (shallow, removed) = try layers.run(checkpoint, images, in: folder, progress)
            var rest = try VisionCompressor(shallow, recipe, behind: removed)
            rest.planner = planner
            return try rest.run(output: output, images: images, before: before, progress: progress)
        }
        let network = try checkpoint.network()
        let whole = try PrunableNetwork(network)
        try whole.checkFinite(source: checkpoint.path)
        let run = try RecipeRun(recipe, on: NetworkWeights(whole, aliases: checkpoint.aliases))
        try recipe.checkCurves(of: .vision(checkpoint), run.selected)
        let before = try before ?? measure(network, images, progress)
        whole.adoptZeros()
        let pruned = try prune(network, whole, run, images, progress)
        let (formats, changed) = try self.formats(pruned, run)
        let after = try measure(pruned.network, images, progress)
        var report = CompressionReport(
            recipe: recipe, weights: try entries(pruned, formats, changed), calibrationTokens: nil,
            preference: planner.preference)
        report.stageReports = pruned.reports.isEmpty ? nil : pruned.reports
        removed?.complete(&report)
        if let before, let after, let images {
            report.accuracy = .init(
                before: before.accuracy, after: after.accuracy, lossBefore: before.loss, lossAfter: after.loss,
                images: after.count, of: images.evaluation.name, part: images.evaluatedOn,
                noun: images.evaluation.isOfSeries ? images.evaluation.noun : nil)
        }
        try VisionCheckpoint.write(
            pruned.network, architecture: pruned.isNarrower ? nil : checkpoint.architecture,
            normalization: checkpoint.normalization ?? images?.evaluation.normalization, formats: formats,
            folder: output,
            files: [("recipe.yaml", recipe.text), ("report.json", String(decoding: try report.json(), as: UTF8.self))])
        return report
    }

    /// How well the network classifies as it is; nil without images.
    ///
    /// - Throws: what reading weights throws; `.badData` for scores that are not finite.
    public func accuracy(
        on images: CompressionImages?, progress: any ProgressReporter = SilentProgress()
    ) throws -> Classification? {
        guard images != nil else { return nil }
        return try measure(checkpoint.network(), images, progress)
    }

    /// What ``run(output:images:before:progress:)`` throws before any work.
    ///
    /// - Throws: `.usage` where images are needed and missing, `.cannotCreate` for the output folder.
    public func check(output: String, images: CompressionImages?) throws {
        if images?.training == nil, let (index, need) = recipe.needOfImages {
            throw CoppiceError(
                .usage, source: recipe.source, field: "stages[\(index)].prune",
                "\(need.reason), and needs \(need.isOfLabels ? "labelled " : "")training images; there are none")
        }
        if recipe.trains { try images?.training?.check(takes: recipe.training.images.augmentation) }
        // Now, since a folder that cannot be written should not be found out about after the work.
        try OutputFolder(at: output).discard()
    }

    private func measure(
        _ network: any SupervisedNetwork, _ images: CompressionImages?, _ progress: any ProgressReporter
    ) throws -> Classification? {
        guard let set = images?.evaluation else { return nil }
        progress.begin("evaluate", total: set.count, unit: set.noun)
        defer { progress.end("") }
        let result = Classification.measure(network, on: set) {
            progress.advance(to: $0, note: "")
            return true
        }
        try result?.checkFinite(source: checkpoint.path)
        return result
    }

    /// A network behind its prune stages.
    private struct Pruned {
        var network: any VisionNetwork
        var whole: PrunableNetwork
        /// The weights before, without the channels that went.
        var original: [String: Tensor]
        /// ‖W‖² of each weight before, with all channels.
        var squares: [String: Double]
        /// The structure that the last stage to work on a weight gave it.
        var structures: [String: PruneStage.Pattern] = [:]
        var reports: [StageReport] = []
        var isNarrower = false
    }

    /// Runs the prune stages.
    private func prune(
        _ network: any VisionNetwork, _ whole: PrunableNetwork, _ run: RecipeRun, _ images: CompressionImages?,
        _ progress: any ProgressReporter
    ) throws -> Pruned {
        func values(_ whole: PrunableNetwork) -> [String: Tensor] {
            Dictionary(uniqueKeysWithValues: whole.weights.enumerated().map { ($1.name, whole.values($0).copied()) })
        }
        let original = values(whole)
        var pruned = Pruned(
            network: network, whole: whole, original: original, squares: original.mapValues(Self.square))
        // Narrowed alike, where channels go.
        var reference: (any VisionNetwork)?
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(let options) = stage, !options.unit.goesFirst else { continue }
            let names = run.selected[index].map(\.name)
            let stageRun = try NetworkStageRun(
                options, number: index, of: recipe, on: names, in: pruned.whole, network: pruned.network,
                data: images, progress: progress, checkpoint: .vision(checkpoint))
            stageRun.teacher = removed?.teacher
            try stageRun.run()
            pruned.whole = stageRun.whole
            if let (groups, kept) = stageRun.cut {
                pruned.network = stageRun.network as? any VisionNetwork ?? pruned.network
                let narrower = try (reference ?? checkpoint.network()).removingChannels(of: groups, keeping: kept)
                reference = narrower
                pruned.original = values(try PrunableNetwork(narrower))
                pruned.isNarrower = true
            }
            if !stageRun.report.isEmpty { pruned.reports.append(stageRun.report) }
            for name in names where options.method != .mask && options.unit == .weight {
                pruned.structures[name] = options.pattern
            }
        }
        return pruned
    }

    // MARK: - Writing

    /// The formats of the weights that are not stored as plain f32, after which the network computes what they hold.
    ///
    /// - Returns: the names of the weights that some stage works on, or that are not what they were, too.
    private func formats(
        _ pruned: Pruned, _ run: RecipeRun
    ) throws -> (formats: [String: any WeightFormat], changed: Set<String>) {
        let stored = Dictionary(
            uniqueKeysWithValues: try checkpoint.tensorNames().parameters.map { ($0.name, $0.stored) })
        let whole = pruned.whole
        var formats: [String: any WeightFormat] = [:]
        var changed = Set(run.selected.joined().map(\.name))
        var values: [Tensor] = []
        for (index, weight) in whole.weights.enumerated() {
            let now = whole.values(index)
            var decision = run.decisions[weight.name] ?? .unchanged
            let name = stored[weight.name] ?? weight.name
            let isWhole = checkpoint.tensors.shape(of: name).map { $0.reduce(1, *) == now.count } ?? true
            let isSame =
                isWhole && decision == .unchanged && now.floats() == pruned.original[weight.name]?.floats()
            if !isSame { changed.insert(weight.name) }
            let own = try checkpoint.tensors.weight(stored[weight.name] ?? "")
            if isSame, let own {
                formats[weight.name] = own
                values.append(now)
                continue
            }
            if whole.masks[index].removedCount > 0 { decision.mask = whole.masks[index] }
            switch pruned.structures[weight.name] {
            case .semiStructured(let pattern): decision.pattern = pattern
            case .groups(let length, _), .blocks(_, let length, _): decision.groupLength = length
            case .unstructured, nil: break
            }
            if let own { decision.adoptStructure(of: own, values: now) }
            let type = try checkpoint.valueType(of: name)
            do {
                let format = try planner.format(now, for: decision, dataType: type)
                formats[weight.name] = format
                values.append(format.dense())
            } catch var error as CoppiceError {
                error.source = error.source ?? checkpoint.path
                error.field = error.field.map { "\(weight.name): \($0)" } ?? weight.name
                throw error
            }
        }
        whole.setValues(values)
        return (formats, changed)
    }

    /// What became of every tensor.
    private func entries(
        _ pruned: Pruned, _ formats: [String: any WeightFormat], _ changed: Set<String>
    ) throws -> [CompressionReport.Weight] {
        let earlier = Dictionary(
            uniqueKeysWithValues: try ModelInventory(checkpoint).entries.map { ($0.name, $0) })
        let places = Dictionary(uniqueKeysWithValues: pruned.whole.weights.enumerated().map { ($1.name, $0) })
        let uses = checkpoint.architecture.weightUses
        func entry(_ name: String, _ tensor: Tensor) -> CompressionReport.Weight {
            let before = earlier[name]
            let format = formats[name]
            let zeros = tensor.zeroCount
            var entry = CompressionReport.Weight(
                name: name, shape: tensor.shape, formatBefore: before?.format ?? "none",
                format: format?.label ?? tensor.dataType.description, bytesBefore: before?.byteCount ?? 0,
                bytes: format?.stored().byteCount ?? tensor.byteCount, sparsityBefore: before?.sparsity ?? 0,
                sparsity: tensor.count == 0 ? 0 : Double(zeros) / Double(tensor.count), relativeError: nil,
                countBefore: before?.elementCount, isPrunable: places[name] != nil,
                multiplications: .init(
                    uses: uses[name], dense: before?.elementCount ?? tensor.count,
                    before: before.map { $0.elementCount - $0.zeroCount } ?? tensor.count, after: tensor.count - zeros))
            if changed.contains(name), let index = places[name], let original = pruned.original[name] {
                entry.relativeError = Self.relativeError(
                    of: pruned.whole.values(index), to: original, square: pruned.squares[name] ?? 0)
            }
            return entry
        }
        return pruned.network.parameters.map { entry($0.name, $0.parameter.wrappedValue.detached()) }
            + pruned.network.stateTensors.map { entry($0.name, $0.state.wrappedValue) }
    }

    /// ‖W − Ŵ‖ / ‖W‖ in the Frobenius norm; zero for a matrix that stayed what it was.
    ///
    /// - Parameters:
    ///   - exact: W without the channels that went.
    ///   - whole: ‖W‖² with them.
    private static func relativeError(of approximation: Tensor, to exact: Tensor, square whole: Double) -> Double {
        let gone = max(0, whole - square(exact))
        let difference = square(exact - approximation) + (gone > 1e-12 * whole ? gone : 0)
        return difference == 0 ? 0 : (difference / whole).squareRoot()
    }

    /// ‖W‖².
    private static func square(_ matrix: Tensor) -> Double { matrix.converted(to: .f64).square().sum().doubles()[0] }
}
