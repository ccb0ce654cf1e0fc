import CoppiceModels
import CoppiceTensors

/// The stages of a recipe that remove whole heads or neurons, on their way through a model.
struct UnitStageRun<Model: UnitModel> {
    /// What is left of the model so far.
    private(set) var model: Model
    /// What stages that leave zeros removed of a matrix, with the length of the runs of a row that go.
    private(set) var zeros: [String: (mask: WeightMask, runLength: Int)] = [:]
    private(set) var reports: [StageReport] = []
    private let seed: UInt64
    private let windows: CalibrationWindows?
    private let progress: any ProgressReporter

    init(_ model: Model, seed: UInt64, windows: CalibrationWindows?, progress: any ProgressReporter) {
        self.model = model
        self.seed = seed
        self.windows = windows
        self.progress = progress
    }

    /// Chooses the units of a stage and removes the others.
    ///
    /// - Throws: `.badData` for weights and gradients that are not finite, naming the matrix.
    mutating func run(_ pruning: UnitPruning) throws {
        let units = pruning.units
        let kept: [[Int]]
        switch pruning.options.method {
        case .wanda: kept = try choosingBlockByBlock(pruning)
        case .taylor: kept = pruning.kept(by: try taylorScores(units))
        case .random:
            kept = pruning.kept(by: (0..<units.blockCount).map { units.randomScores(block: $0, seed: seed) })
        default:
            kept = pruning.kept(
                by: try (0..<units.blockCount).map { block in
                    try units.scores(by: MagnitudeCriterion(), block: block, values: model.values)
                })
        }
        if pruning.narrows {
            model.cut(units, keeping: kept)
        } else {
            for block in pruning.blocks {
                for part in units.matrices {
                    let name = units.name(part, block: block)
                    guard let mask = mask(part, of: units, block: block, keeping: kept[block]) else { continue }
                    zeros[name] = (mask, part.axis == 0 ? mask.columns : part.extent)
                }
            }
        }
        var report = StageReport(stage: pruning.stage)
        report.units = kept.enumerated().map { block, own in
            .init(block: units.layers[block], unit: units.kind.rawValue, units: units.count, kept: own.count)
        }
        reports.append(report)
    }

    private func mask(
        _ part: TransformerUnits.Part, of units: TransformerUnits, block: Int, keeping kept: [Int]
    ) -> WeightMask? {
        guard let shape = model.shape(of: units.name(part, block: block)), shape.count == 2 else {
            return nil
        }
        return part.mask(rows: shape[0], columns: shape[1], keeping: kept)
    }

    /// Each block behind the pruned ones before it.
    private func choosingBlockByBlock(_ pruning: UnitPruning) throws -> [[Int]] {
        let units = pruning.units
        guard let windows else { throw CoppiceError(.internal, field: "wanda", "has no calibration windows") }
        progress.begin("calibrate", total: units.blockCount, unit: "blocks")
        defer { progress.end("\(windows.tokenCount) tokens") }
        var walk = try BlockSequentialPruning(model.blocks(), windows: windows)
        var kept = [[Int]](repeating: Array(0..<units.count), count: units.blockCount)
        try walk.run(
            prepare: { block in
                for name in block.matrixNames {
                    guard let mask = zeros[name]?.mask else { continue }
                    var matrix = block.matrix(name)
                    mask.apply(to: &matrix)
                    block.setMatrix(name, to: matrix)
                }
            },
            masks: { block in
                guard let index = units.layers.firstIndex(of: block.index) else { return [:] }
                defer { progress.advance(to: index + 1, note: "") }
                let reader = units.name(units.reader, block: index)
                // The scores of one block decide about it alone.
                var scores = [[Double]](repeating: [Double](repeating: 0, count: units.count), count: units.blockCount)
                scores[index] = try units.wandaScores(
                    block: index, reader: block.block.matrix(reader), inputNorms: block.inputNorms[reader])
                kept[index] = pruning.kept(by: scores)[index]
                var masks: [String: WeightMask] = [:]
                for part in units.matrices {
                    let name = units.name(part, block: index)
                    let shape = block.block.matrix(name).shape
                    masks[name] = part.mask(rows: shape[0], columns: shape[1], keeping: kept[index])
                }
                return masks
            })
        return kept
    }

    private func taylorScores(_ units: TransformerUnits) throws -> [[Double]] {
        guard let windows else { throw CoppiceError(.internal, field: "taylor", "has no calibration windows") }
        progress.begin("gradients", total: windows.windows.count, unit: "windows")
        defer { progress.end("\(windows.tokenCount) tokens") }
        return try model.taylorScores(units, zeros: { zeros[$0]?.mask }, on: windows) {
            progress.advance(to: $0, note: "")
        }
    }
}
