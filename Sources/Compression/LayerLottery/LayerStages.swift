import CoppiceFormats
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// What stages of whole layers took from a model.
struct RemovedLayers {
    var reports: [StageReport]
    /// What there was before.
    var inventory: ModelInventory
    /// Whether stages without targets work on a tensor.
    var isPrunable: (ModelInventory.Entry) -> Bool
    /// The model before: what distillation learns from.
    var teacher: AnyCheckpoint

    /// Says in the report of what is left what there was before.
    func complete(_ report: inout CompressionReport) {
        report.stageReports = reports + (report.stageReports ?? [])
        report.totals.begin(with: inventory.entries)
        report.prunable.begin(with: inventory.entries.filter(isPrunable))
    }
}

extension CompressionReport.Totals {
    /// Counts what was there before from some tensors on.
    fileprivate mutating func begin(with entries: [ModelInventory.Entry]) {
        let count = entries.reduce(0) { $0 + $1.elementCount }
        guard count > 0 else { return }
        bytesBefore = entries.reduce(0) { $0 + $1.byteCount }
        sparsityBefore = Double(entries.reduce(0) { $0 + $1.zeroCount }) / Double(count)
        removed = 1 - (1 - sparsity) * Double(parameters) / Double(count)
        multiplications = multiplications.map {
            .init(
                dense: entries.reduce(0) { $0 + $1.uses * $1.elementCount },
                before: entries.reduce(0) { $0 + $1.multiplications }, after: $0.after)
        }
    }
}

/// The stages of a recipe that remove whole layers, which come before all others: they leave a shallower model, which the
/// other stages are run on.
struct LayerStages {
    private let recipe: Recipe
    private let stages: [(index: Int, options: PruneStage)]

    /// Nil for a recipe without such stages.
    init?(_ recipe: Recipe) {
        self.recipe = recipe
        stages = recipe.stages.enumerated().compactMap { index, stage in
            guard case .prune(let options) = stage, options.unit == .layer else { return nil }
            return (index, options)
        }
        if stages.isEmpty { return nil }
    }

    private func error(_ index: Int, _ key: String?, _ message: String) -> CoppiceError {
        CoppiceError(
            .badData, source: recipe.source, field: "stages[\(index)].prune" + (key.map { ".\($0)" } ?? ""), message)
    }

    /// The blocks that a stage may remove, and how many it does.
    ///
    /// - Parameters:
    ///   - blocks: that the network can lose.
    ///   - least: how many must stay.
    /// - Throws: `.badData` for more than may go, and for a part that is none.
    private func choice<Place: BlockPlace>(
        _ index: Int, _ options: PruneStage, among blocks: [Place], leaving least: Int
    ) throws -> (blocks: [Place], count: Int) {
        let names = Set(
            try options.selection.select(
                from: blocks.map(\.name), isStandard: { _ in true }, field: "stages[\(index)].prune",
                source: recipe.source))
        let own = blocks.filter { names.contains($0.name) }
        let limit = min(own.count, blocks.count - least)
        let count = options.layers.count ?? ExactSelection.removedCount(own.count, sparsity: options.sparsity)
        let key = options.layers.count == nil ? "sparsity" : "count"
        guard count > 0 || options.sparsity == 0 && options.layers.count == nil else {
            let one = (1e4 / Double(own.count)).rounded(.up) / 1e4
            throw error(
                index, key, "\(options.sparsity) removes none of \(own.count) blocks, expected 0 or at least \(one)")
        }
        guard count <= limit else {
            throw error(
                index, key,
                "\(options.layers.count.map { "\($0)" } ?? "\(options.sparsity)") removes \(count), expected at most "
                    + "\(limit) of the blocks that may be removed: " + own.map(\.name).joined(separator: ", "))
        }
        return (own, count)
    }

    /// What goes by scores.
    private func chosen<Place: BlockPlace>(
        _ index: Int, _ options: PruneStage, by scores: BlockScores<Place>, leaving least: Int
    ) throws -> (names: [String], report: StageReport) {
        let (own, count) = try choice(index, options, among: scores.blocks, leaving: least)
        let allowed = Set(own)
        let pairs = zip(scores.blocks, scores.scores).filter { allowed.contains($0.0) }
        let part = BlockScores(blocks: pairs.map(\.0), scores: pairs.map(\.1))
        let names = count == 0 ? [] : try part.lowest(count)
        var report = StageReport(stage: index)
        report.blocks = pairs.map { .init(name: $0.name, score: $1, removed: names.contains($0.name)) }
        return (names, report)
    }

    private func criterion(_ options: PruneStage) throws -> BlockCriterion {
        guard let criterion = options.method.blockCriterion else {
            throw CoppiceError(.internal, field: options.method.rawValue, "scores no layers")
        }
        return criterion
    }

    // MARK: - Vision networks

    private func blocks(of architecture: VisionArchitecture, _ options: PruneStage) throws -> [ResidualBlockPlace] {
        try BlockRemoval.blocks(of: architecture).filter((options.layers.removable ?? .strict).contains)
    }

    /// - Throws: `.badData` for stages that do not fit a network.
    func check(_ architecture: VisionArchitecture) throws {
        var rest = architecture
        for (index, options) in stages {
            if options.layers.kind != nil {
                throw error(index, "blocks", "is for language models; leave it out")
            }
            do {
                let (own, count) = try choice(index, options, among: blocks(of: rest, options), leaving: 0)
                if count > 0 {
                    rest = try BlockRemoval(of: own.prefix(count).map(\.name), from: rest).architecture
                }
            } catch var error as CoppiceError {
                if error.source == nil {
                    error.source = recipe.source
                    error.field = "stages[\(index)].prune" + (error.field.map { ": \($0)" } ?? "")
                }
                throw error
            }
        }
    }

    /// Removes blocks, stage after stage, and writes what is left into a part of a folder; weights stay in their formats.
    func run(
        _ checkpoint: VisionCheckpoint, _ images: CompressionImages?, in folder: OutputFolder,
        _ progress: any ProgressReporter
    ) throws -> (VisionCheckpoint, RemovedLayers) {
        var (network, architecture) = (try checkpoint.network(), checkpoint.architecture)
        var removed = RemovedLayers(
            reports: [], inventory: try ModelInventory(checkpoint), isPrunable: \.isMatrix, teacher: .vision(checkpoint)
        )
        var original: (String) -> String = { $0 }
        for (index, options) in stages {
            let criterion = try criterion(options)
            let batches = try criterion.needsData ? images?.samples(for: recipe) ?? [] : []
            progress.begin("score", total: 1, unit: "networks")
            let scores = try BlockScores(
                of: network, by: criterion, removable: options.layers.removable ?? .strict,
                aggregate: options.layers.aggregate, batches: batches, seed: recipe.seed)
            progress.end("\(scores.blocks.count) blocks")
            let (names, report) = try chosen(index, options, by: scores, leaving: 0)
            removed.reports.append(report)
            if names.isEmpty { continue }
            let removal = try BlockRemoval(of: names, from: architecture)
            (network, architecture) = (removal(network), removal.architecture)
            original = { [earlier = original] in earlier(removal.originalName($0)) }
        }
        let stored = Dictionary(
            uniqueKeysWithValues: try checkpoint.tensorNames().parameters.map { ($0.name, $0.stored) })
        var formats: [String: any WeightFormat] = [:]
        for (name, parameter) in network.parameters where parameter.wrappedValue.rank >= 2 {
            guard let own = stored[original(name)] else { continue }
            if let weight = try checkpoint.tensors.weight(own) {
                formats[name] = weight
            } else if let type = checkpoint.tensors.dataType(of: own), [.f16, .bf16].contains(type) {
                let tensor = try checkpoint.tensors.tensor(own)
                formats[name] = try DenseWeight(tensor.reshaped([tensor.shape[0], -1]))
            }
        }
        let path = folder.path(for: "shallow")
        try VisionCheckpoint.write(
            network, architecture: architecture, normalization: checkpoint.normalization, formats: formats, folder: path
        )
        return (try .open(path), removed)
    }

    // MARK: - Language models and encoders

    /// - Throws: `.badData` for stages that do not fit a model.
    func check(_ configuration: DecoderConfiguration) throws {
        try check(configuration, DecoderBlockRemoval.self, blocks)
    }

    /// - Throws: `.badData` for stages that do not fit an encoder.
    func check(_ configuration: EncoderConfiguration) throws {
        for (index, options) in stages where ![nil, .layer].contains(options.layers.kind) {
            throw error(
                index, "blocks",
                "\(options.layers.kind?.rawValue ?? "") is for language models, expected layer: an encoder normalizes "
                    + "behind each part of a layer, so that layers go as a whole")
        }
        try check(configuration, EncoderLayerRemoval.self) { _, rest in EncoderLayerPlace.all(of: rest) }
    }

    private func blocks(_ options: PruneStage, of configuration: DecoderConfiguration) -> [DecoderBlockPlace] {
        DecoderBlockPlace.all(options.layers.kind ?? .layer, of: configuration)
    }

    private func check<Removal: TextBlockRemoval>(
        _ configuration: Removal.Configuration, _ type: Removal.Type,
        _ blocks: (_ options: PruneStage, _ of: Removal.Configuration) -> [Removal.Place]
    ) throws {
        var rest = configuration
        for (index, options) in stages {
            if options.layers.removable != nil {
                throw error(index, "removable", "is for vision networks; leave it out")
            }
            let (own, count) = try choice(index, options, among: blocks(options, rest), leaving: 1)
            if count > 0 { rest = try Removal(of: own.prefix(count).map(\.name), from: rest).configuration }
        }
    }

    /// Removes blocks, stage after stage, and writes what is left into a part of a folder; weights stay in their formats.
    /// In memory is the whole model as f32, where scores look at gradients with these.
    func run(
        _ checkpoint: Checkpoint, _ calibration: CalibrationTokens?, in folder: OutputFolder,
        _ progress: any ProgressReporter
    ) throws -> (Checkpoint, RemovedLayers) {
        var rest = checkpoint
        var removed = RemovedLayers(
            reports: [], inventory: try ModelInventory(checkpoint),
            isPrunable: { WeightSelection.isBlockProjection($0.name) }, teacher: .languageModel(checkpoint))
        for (index, options) in stages {
            let data = try calibration.map {
                try CompressionText(
                    $0, options: recipe.calibration, vocabularySize: rest.configuration.vocabularySize)
            }
            let (names, report) = try chosen(
                index, options, among: blocks(options, of: rest.configuration),
                of: NarrowedCheckpoint(rest).network { _ in nil }, data, progress)
            removed.reports.append(report)
            if names.isEmpty { continue }
            let path = folder.path(for: "shallow-\(index)")
            try DecoderBlockRemoval(of: names, from: rest.configuration).write(rest, to: path)
            rest = try Checkpoint.open(path)
        }
        return (rest, removed)
    }

    /// The same of an encoder.
    func run(
        _ checkpoint: EncoderCheckpoint, _ data: (any EncoderData)?, in folder: OutputFolder,
        _ progress: any ProgressReporter
    ) throws -> (EncoderCheckpoint, RemovedLayers) {
        var rest = checkpoint
        var removed = RemovedLayers(
            reports: [], inventory: try ModelInventory(checkpoint),
            isPrunable: { EncoderCheckpoint.isLayerMatrix($0.name) }, teacher: .encoder(checkpoint))
        for (index, options) in stages {
            let (names, report) = try chosen(index, options, ofLayersOf: rest.network(), data, progress)
            removed.reports.append(report)
            if names.isEmpty { continue }
            let path = folder.path(for: "shallow-\(index)")
            try EncoderLayerRemoval(of: names, from: rest.configuration).write(rest, to: path)
            rest = try EncoderCheckpoint.open(path)
        }
        return (rest, removed)
    }

    private func chosen(
        _ index: Int, _ options: PruneStage, ofLayersOf network: some EncoderNetwork, _ data: (any StageData)?,
        _ progress: any ProgressReporter
    ) throws -> (names: [String], report: StageReport) {
        try chosen(
            index, options, among: EncoderLayerPlace.all(of: network.configuration), of: network, data, progress)
    }

    /// Scores the blocks of a network of texts and says which go.
    private func chosen<Network: LayeredTextNetwork>(
        _ index: Int, _ options: PruneStage, among blocks: [Network.Block], of network: Network,
        _ data: (any StageData)?, _ progress: any ProgressReporter
    ) throws -> (names: [String], report: StageReport) {
        let criterion = try criterion(options)
        let batches = try criterion.needsData ? data?.samples(for: recipe) ?? [] : []
        var hasBegun = false
        let scores = try BlockScores(
            of: network, blocks: blocks, by: criterion, aggregate: options.layers.aggregate, batches: batches,
            seed: recipe.seed
        ) { done, total in
            if !hasBegun { progress.begin("score", total: total, unit: criterion == .cka ? "blocks" : "windows") }
            hasBegun = true
            progress.advance(to: done, note: "")
        }
        if hasBegun { progress.end("\(scores.blocks.count) blocks") }
        return try chosen(index, options, by: scores, leaving: 1)
    }
}
