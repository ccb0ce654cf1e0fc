import CoppiceNetworks
import Foundation

/// What a compression did: the content of `report.json` in the output folder.
///
/// Holds no times, and no path but that of the calibration text as it was given, so that the same compression gives
/// the same bytes.
public struct CompressionReport: Sendable, Hashable, Codable {
    /// One tensor of the checkpoint.
    public struct Weight: Sendable, Hashable, Codable {
        /// The checkpoint's name.
        public var name: String
        public var shape: [Int]
        /// Formats before and after, such as `bf16` and `int4-group32`.
        public var formatBefore: String
        public var format: String
        public var bytesBefore: Int
        public var bytes: Int
        /// The share of entries that were zero before.
        public var sparsityBefore: Double
        /// The share of entries that are zero afterwards.
        public var sparsity: Double
        /// ‖W − Ŵ‖ / ‖W‖ in the Frobenius norm; of a matrix that lost rows or columns, of those that are left. Nil for a
        /// tensor that was left as it was.
        public var relativeError: Double?
        /// Entries before: more than there are where rows, columns or channels went.
        public var countBefore: Int
        /// Whether stages without targets work on it.
        public var isPrunable: Bool
        /// Nil for what no input is multiplied with: norms, biases, tables that are looked up.
        public var multiplications: Multiplications?

        /// Entries.
        public var count: Int { shape.reduce(1, *) }

        /// - Parameter countBefore: nil: as many as there are.
        public init(
            name: String, shape: [Int], formatBefore: String, format: String, bytesBefore: Int, bytes: Int,
            sparsityBefore: Double, sparsity: Double, relativeError: Double?, countBefore: Int? = nil,
            isPrunable: Bool = false, multiplications: Multiplications? = nil
        ) {
            self.name = name
            self.shape = shape
            self.formatBefore = formatBefore
            self.format = format
            self.bytesBefore = bytesBefore
            self.bytes = bytes
            self.sparsityBefore = sparsityBefore
            self.sparsity = sparsity
            self.relativeError = relativeError
            self.countBefore = countBefore ?? shape.reduce(1, *)
            self.isPrunable = isPrunable
            self.multiplications = multiplications
        }
    }

    /// Sums over some tensors.
    public struct Totals: Sendable, Hashable, Codable {
        public var parameters: Int
        public var bytesBefore: Int
        public var bytes: Int
        /// Bits that a parameter takes on average, scales and indices included.
        public var bitsPerWeight: Double
        /// The share of parameters that were zero before, of those that are left.
        public var sparsityBefore: Double
        /// The share of parameters that are zero.
        public var sparsity: Double
        /// The share of the parameters before that is zero, or not there any more.
        public var removed: Double
        /// Nil where no weight is multiplied with.
        public var multiplications: Multiplications?

        /// The sums.
        public init(_ weights: [Weight]) {
            parameters = weights.reduce(0) { $0 + $1.count }
            bytesBefore = weights.reduce(0) { $0 + $1.bytesBefore }
            bytes = weights.reduce(0) { $0 + $1.bytes }
            bitsPerWeight = parameters == 0 ? 0 : Double(bytes) * 8 / Double(parameters)
            sparsityBefore = Self.mean(weights, \.sparsityBefore)
            sparsity = Self.mean(weights, \.sparsity)
            let countBefore = weights.reduce(0) { $0 + $1.countBefore }
            let gone = weights.reduce(0.0) { sum, weight in
                sum + Double(weight.countBefore - weight.count) + weight.sparsity * Double(weight.count)
            }
            removed = countBefore == 0 ? 0 : gone / Double(countBefore)
            multiplications = Multiplications(weights.map(\.multiplications))
        }

        private static func mean(_ weights: [Weight], _ share: (Weight) -> Double) -> Double {
            let count = weights.reduce(0) { $0 + $1.count }
            return count == 0 ? 0 : weights.reduce(0) { $0 + share($1) * Double($1.count) } / Double(count)
        }
    }

    /// The matrices of one block of a decoder, or layer of an encoder.
    public struct Layer: Sendable, Hashable, Codable {
        public var index: Int
        public var totals: Totals
    }

    /// How well a vision network classifies.
    public struct Accuracy: Sendable, Hashable, Codable {
        public var before: Double
        public var after: Double
        /// Cross-entropies in nats.
        public var lossBefore: Double
        public var lossAfter: Double
        /// Images or series that it was measured on.
        public var images: Int
        /// What they are, where these are no images.
        public var noun: String?
        /// The data set.
        public var of: String
        /// Which of its images.
        public var part: CompressionImages.Evaluation

        public init(
            before: Double, after: Double, lossBefore: Double, lossAfter: Double, images: Int, of: String,
            part: CompressionImages.Evaluation, noun: String? = nil
        ) {
            self.before = before
            self.after = after
            self.lossBefore = lossBefore
            self.lossAfter = lossAfter
            self.images = images
            self.of = of
            self.part = part
            self.noun = noun
        }

        /// What it was measured on, for people: `2000 test images of CIFAR-10`.
        public var measuredOn: String { "\(images) \(part.rawValue) \(noun ?? "images") of \(of)" }
    }

    /// The recipe's title.
    public var recipeName: String?
    /// SHA-256 of the recipe file.
    public var recipeHash: String
    public var seed: UInt64
    /// Each stage with its options, defaults filled in.
    public var stages: [String]
    /// Tokens that calibration ran through the model. Nil without calibration.
    public var calibrationTokens: Int?
    /// The text that they are of: its file as it was given, or what else it is called. Nil without calibration.
    public var calibrationSource: String?
    /// Nil for language models, and where there were no images.
    public var accuracy: Accuracy?
    public var totals: Totals
    /// Sums over the tensors that some stage works on.
    public var compressed: Totals
    /// Sums over the tensors that stages without targets work on, whatever this recipe's do.
    public var prunable: Totals
    /// Layers none of whose weights is left.
    public var collapsed: [String]
    public var layers: [Layer]
    public var weights: [Weight]
    /// What a user should know: matrices that lost more than 95 %, and zeros that make nothing smaller.
    public var warnings: [String]
    /// What prune stages did, where there is more to say than ``weights`` do.
    public var stageReports: [StageReport]?

    /// - Parameter preference: what formats were chosen by; nil: what the recipe says.
    init(
        recipe: Recipe, weights: [Weight], calibrationTokens: Int?, calibrationSource: String? = nil,
        preference: FormatPlanner.Preference? = nil
    ) {
        recipeName = recipe.name
        recipeHash = recipe.hash
        seed = recipe.seed
        stages = recipe.stages.map(\.description)
        self.calibrationTokens = calibrationTokens
        self.calibrationSource = calibrationSource
        self.weights = weights
        totals = Totals(weights)
        compressed = Totals(weights.filter { $0.relativeError != nil })
        prunable = Totals(weights.filter(\.isPrunable))
        collapsed = Self.collapsed(weights)
        let byLayer = Dictionary(grouping: weights) { Self.layerIndex($0.name) }
        layers = byLayer.compactMap { index, weights in index.map { Layer(index: $0, totals: Totals(weights)) } }
            .sorted { $0.index < $1.index }
        warnings = weights.filter { $0.relativeError != nil && $0.sparsity > 0.95 }.map { [collapsed] weight in
            collapsed.contains(weight.name)
                ? "\(weight.name) has no weight left"
                : "\(weight.name) lost \(String(format: "%.1f", weight.sparsity * 100)) % of its weights"
        }
        if preference ?? recipe.preference == .speed, let warning = Self.storedZeros(recipe, weights) {
            warnings.append(warning)
        }
    }

    /// What to say where a recipe that prefers speed prunes matrices, and stores their zeros like other weights although it need not.
    private static func storedZeros(_ recipe: Recipe, _ weights: [Weight]) -> String? {
        guard recipe.stages.contains(where: { $0.name == "prune" }) else { return nil }
        let dense = weights.filter { weight in
            weight.relativeError != nil && weight.sparsity > 0.25
                && ["f32", "f16", "bf16", "int"].contains { weight.format.hasPrefix($0) }
        }
        guard !dense.isEmpty else { return nil }
        let all = weights.filter { $0.relativeError != nil }.count
        return "zeros take up space in \(dense.count) of \(all) matrices, which would be slower without them; "
            + "prefer: size in the recipe leaves them out"
    }

    /// The block that a weight belongs to: the number behind `layers`, or an encoder's `layer`, in its name.
    static func layerIndex(_ name: String) -> Int? {
        let components = name.split(separator: ".")
        guard let position = components.firstIndex(where: { $0 == "layers" || $0 == "layer" }),
            position + 1 < components.count
        else { return nil }
        return Int(components[position + 1])
    }

    /// The report as JSON with sorted keys in snake case.
    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }
}

extension Recipe.Stage: CustomStringConvertible {
    /// The stage with all its options, as a recipe would have it on one line.
    public var description: String {
        switch self {
        case .prune(let stage):
            let options = stage.shapeOptions + stage.networkOptions + stage.selection.options
            return "prune: { \(options.joined(separator: ", ")) }"
        case .lowRank(let stage):
            return "low-rank: { \(([stage.target.description] + stage.selection.options).joined(separator: ", ")) }"
        case .quantize(let stage):
            return "quantize: { \((stage.options + stage.selection.options).joined(separator: ", ")) }"
        }
    }
}

extension PruneStage {
    /// What goes, how much of it and who is compared with whom, as a recipe would have it.
    fileprivate var shapeOptions: [String] {
        var options = ["method: \(method.rawValue)"]
        if method == .mask { return options }
        if case .adaptive = network.schedule { return options }
        if layers.count == nil { options.append("sparsity: \(sparsity)") }
        if unit == .layer { return options }
        if method == .searched || method == .bip { return options }
        if unit != .weight {
            let isMeasured = allocation == .rateDistortion
            options.append(isMeasured ? "allocation: \(allocation.rawValue)" : "scope: \(scope)")
            if isMeasured { options += rateDistortion.options }
            return options + (floor?.options ?? [])
        }
        if case .semiStructured(let pattern) = pattern { return options + ["pattern: \"\(pattern)\""] }
        options.append("pattern: \(pattern)")
        switch pattern {
        case .groups(let length, let score): options += ["group_size: \(length)", "group_score: \(score)"]
        case .blocks(let rows, let columns, let score):
            options += ["block: [\(rows), \(columns)]", "group_score: \(score)"]
        default: break
        }
        options.append("scope: \(scope)")
        if scope != .global, budgets.isEmpty { options.append("allocation: \(allocation.rawValue)") }
        if allocation == .pqIndex { options += ["p: \(index.p)", "q: \(index.q)"] }
        if allocation == .rateDistortion { options += rateDistortion.options }
        options += floor?.options ?? []
        if !budgets.isEmpty {
            let budgets = budgets.map { "\"\($0.pattern)\": \($0.amount)" }
            options.append("budgets: { \(budgets.joined(separator: ", ")) }")
        }
        return options
    }
}

extension LayerFloor {
    fileprivate var options: [String] {
        switch self {
        case .count(let count): ["floor: \(count)"]
        case .share(let share): ["floor: \(share)"]
        case .shareOfAll(let share): ["floor: \(share)", "floor_of: model"]
        }
    }
}

extension WeightSelection {
    fileprivate var options: [String] {
        func list(_ key: String, _ patterns: [WeightPattern]) -> String {
            "\(key): [\(patterns.map { "\"\($0)\"" }.joined(separator: ", "))]"
        }
        return (targets.map { [list("targets", $0)] } ?? []) + (ignore.isEmpty ? [] : [list("ignore", ignore)])
    }
}
