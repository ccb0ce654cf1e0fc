import CoppiceFormats
import CoppiceTensors
import OrderedCollections

/// What a model consists of: its configuration and, for every tensor, format, size and share of zeros.
public struct ModelInventory: Sendable {
    /// One tensor.
    public struct Entry: Sendable {
        public var name: String
        public var shape: [Int]
        /// `bf16`, `int4-group128`, …
        public var format: String
        /// Bytes that it takes when used; of vision networks, whose weights are expanded then, in the file.
        public var byteCount: Int
        public var zeroCount: Int
        /// The kernels that multiply it, for matrices of language models.
        public var kernel: KernelChoice?
        /// Whether it is trained; running statistics are not.
        public var isParameter = true
        /// How often an entry is multiplied for one image or token; 0 of what is no weight of a convolution or a linear
        /// layer.
        public var uses = 0
        /// Entries that a product multiplies with, where these are not those that are not zero: of factors.
        var multipliedCount: Int?

        public var elementCount: Int { shape.reduce(1, *) }
        public var bitsPerWeight: Double { elementCount == 0 ? 0 : Double(byteCount) * 8 / Double(elementCount) }
        /// The share of elements that are zero.
        public var sparsity: Double { elementCount == 0 ? 0 : Double(zeroCount) / Double(elementCount) }
        /// Multiplications for one image or token with the entries that are not zero.
        public var multiplications: Int { uses * (multipliedCount ?? elementCount - zeroCount) }
        /// Whether it is a weight that pruning looks at, not a bias, a norm or a statistic.
        public var isMatrix: Bool { isParameter && shape.count >= 2 }
    }

    public var path: String
    /// As in `config.json`.
    public var configuration: JSON
    /// The family or architecture.
    private let kind: String
    /// What else the summary says.
    private let details: [String]
    /// In the order of computation.
    public var entries: [Entry]
    /// What multiplications are counted for: an image, or a token.
    var input = "input"

    /// Looks at every weight. O(weights), to count zeros.
    ///
    /// - Throws: `.badData` when the parts of a compressed weight do not fit together.
    public init(_ checkpoint: AnyCheckpoint, kernels: KernelTable = .standard) throws {
        switch checkpoint {
        case .languageModel(let checkpoint): try self.init(checkpoint, kernels: kernels)
        case .vision(let checkpoint): try self.init(checkpoint)
        case .encoder(let checkpoint): try self.init(checkpoint, kernels: kernels)
        }
    }

    mutating func take(_ uses: [String: Int], for input: String) {
        for index in entries.indices { entries[index].uses = uses[entries[index].name] ?? 0 }
        self.input = input
    }

    init(path: String, configuration: JSON, kind: String, details: [String], entries: [Entry]) {
        (self.path, self.configuration) = (path, configuration)
        (self.kind, self.details, self.entries) = (kind, details, entries)
    }

    /// What a language model consists of.
    public init(_ checkpoint: Checkpoint, kernels: KernelTable = .standard) throws {
        path = checkpoint.path
        configuration = checkpoint.configuration.json
        kind = checkpoint.configuration.family.rawValue
        details = Self.details(checkpoint.configuration)
        entries = try checkpoint.weightNames.map { name in
            if checkpoint.isCompressed(name) { return Entry(name, try checkpoint.weight(name), kernels) }
            let tensor = try checkpoint.tensor(name)
            let kernel = tensor.rank == 2 ? try kernels.choice(for: DenseWeight(tensor), mayNarrow: true) : nil
            return Entry(
                name: name, shape: tensor.shape, format: tensor.dataType.description, byteCount: tensor.byteCount,
                zeroCount: tensor.zeroCount, kernel: kernel)
        }
        take(checkpoint.configuration.weightUses, for: "a token")
    }

    /// What a vision network consists of.
    public init(_ checkpoint: VisionCheckpoint) throws {
        path = checkpoint.path
        let architecture = checkpoint.architecture
        configuration = VisionCheckpoint.configuration(of: architecture, normalization: checkpoint.normalization)
        let input = architecture.inputShape.map(String.init).joined(separator: " × ")
        kind = architecture.description
        details = ["input \(input)", "\(architecture.classes) classes"]
        let names = try checkpoint.tensorNames()
        func entry(_ name: String, _ stored: String, isParameter: Bool) throws -> Entry {
            let tensors = checkpoint.tensors
            let tensor = try tensors.tensor(stored)
            var entry = Entry(
                name: name, shape: tensor.shape, format: tensor.dataType.description, byteCount: tensor.byteCount,
                zeroCount: tensor.zeroCount, isParameter: isParameter)
            if let weight = try tensors.weight(stored) {
                entry.format = weight.label
                entry.byteCount = try tensors.stored(stored)?.byteCount ?? 0
            }
            return entry
        }
        entries =
            try names.parameters.map { try entry($0.name, $0.stored, isParameter: true) }
            + names.state.map { try entry($0.name, $0.stored, isParameter: false) }
        take(architecture.weightUses, for: architecture.inputName)
    }

    /// Multiplications with the weights of convolutions and linear layers for one image or token: with all entries, and
    /// with those that are not zero.
    public var multiplications: (dense: Int, remaining: Int) {
        entries.reduce((0, 0)) { ($0.dense + $1.uses * $1.elementCount, $0.remaining + $1.multiplications) }
    }

    /// All parameters taken together; bytes are those of all tensors.
    public var total: Entry {
        let parameters = entries.filter(\.isParameter)
        return Entry(
            name: "total", shape: [parameters.reduce(0) { $0 + $1.elementCount }], format: "",
            byteCount: entries.reduce(0) { $0 + $1.byteCount }, zeroCount: parameters.reduce(0) { $0 + $1.zeroCount })
    }

    /// `config` (as in `config.json`), `tensors` and `totals`. Multiplications are those for one image or token.
    public var json: JSON {
        func numbers(_ entry: Entry) -> OrderedDictionary<String, JSON> {
            [
                "bytes": .integer(entry.byteCount), "bits_per_weight": .number(entry.bitsPerWeight),
                "sparsity": .number(entry.sparsity),
            ]
        }
        let tensors = entries.map { entry in
            let head: OrderedDictionary<String, JSON> = [
                "name": .string(entry.name), "shape": .array(entry.shape.map { .integer($0) }),
                "format": .string(entry.format),
                "kernel": entry.kernel.map { .string($0.description) } ?? .null,
            ]
            let count = entry.uses == 0 ? JSON.null : .integer(entry.multiplications)
            return JSON.object(head.merging(numbers(entry)) { $1 }.merging(["multiplications": count]) { $1 })
        }
        let (dense, remaining) = multiplications
        let totals: OrderedDictionary<String, JSON> = [
            "tensors": .integer(entries.count), "parameters": .integer(total.elementCount),
            "multiplications_dense": .integer(dense), "multiplications": .integer(remaining),
            "multiplication_share": dense == 0 ? .null : .number(Double(remaining) / Double(dense)),
        ]
        return [
            "model": .string(path), "config": configuration, "tensors": .array(tensors),
            "totals": .object(totals.merging(numbers(total)) { $1 }),
        ]
    }

    /// A summary and a table, one tensor a line, for people. The share of zeros of each weight is drawn as a bar.
    public var text: String {
        let head: [(title: String, alignment: TextTable.Alignment)] = [
            ("tensor", .left), ("shape", .left), ("format", .left), ("bytes", .right), ("bits/weight", .right),
            ("zeros", .right), ("", .left), ("kernel", .left), ("multiplications", .right),
        ]
        // Where each entry is multiplied once they say what the zeros say.
        let isCounted = entries.contains { $0.uses > 1 }
        let rows = (entries + [total]).map { entry in
            [
                entry.name, entry.shape.map(String.init).joined(separator: " × "), entry.format,
                Self.grouped(entry.byteCount), Self.rounded(entry.bitsPerWeight, 2),
                Self.rounded(entry.sparsity * 100, 1) + " %",
                entry.isMatrix || entry.name == "total" ? TextTable.bar(entry.sparsity) : "",
                entry.kernel?.description ?? "",
                isCounted && entry.uses > 0 ? Self.grouped(entry.multiplications) : "",
            ]
        }
        return ([summary, ""] + TextTable(head: head, rows: rows).lines).joined(separator: "\n")
    }

    private var summary: String {
        (["\(kind), \(Self.grouped(total.elementCount)) parameters"] + details + multiplicationSummary).joined(
            separator: ", ")
    }

    private var multiplicationSummary: [String] {
        let (dense, remaining) = multiplications
        guard dense > 0 else { return [] }
        let share = remaining == dense ? "" : " (\(Self.rounded(Double(remaining) / Double(dense) * 100, 1)) %)"
        return ["\(Self.grouped(remaining)) multiplications for \(input)" + share]
    }

    private static func details(_ model: DecoderConfiguration) -> [String] {
        var parts = [
            "\(model.layerCount) layers of \(model.hiddenSize)",
            "\(model.headCount) heads of \(model.headSize)"
                + (model.keyValueHeadCount == model.headCount ? "" : " over \(model.keyValueHeadCount)"),
            "feed-forward \(model.intermediateSize)", "vocabulary \(model.vocabularySize)",
            "\(model.maximumPositions) positions",
        ]
        for part in DecoderConfiguration.SubLayer.allCases {
            let missing = (0..<model.layerCount).filter { !model.has(part, inLayer: $0) }.map(String.init)
            if !missing.isEmpty {
                parts.append("without the \(part.rawValue) of layers " + missing.joined(separator: "+"))
            }
        }
        if let window = model.slidingWindow { parts.append("window \(window)") }
        if model.tiesEmbeddings { parts.append("tied embeddings") }
        return parts
    }

    private static func grouped(_ number: Int) -> String {
        let digits = Array(String(number))
        return digits.enumerated().reduce(into: "") { text, digit in
            if digit.offset > 0, (digits.count - digit.offset) % 3 == 0 { text += "," }
            text.append(digit.element)
        }
    }

    private static func rounded(_ number: Double, _ places: Int) -> String {
        var scale = 1
        for _ in 0..<places { scale *= 10 }
        let (whole, fraction) = Int((number * Double(scale)).rounded()).quotientAndRemainder(dividingBy: scale)
        let digits = String(fraction)
        return "\(whole).\(String(repeating: "0", count: places - digits.count))\(digits)"
    }
}

extension ModelInventory.Entry {
    /// A compressed matrix.
    init(_ name: String, _ weight: any WeightFormat, _ kernels: KernelTable) {
        let nonZeroCount = weight.nonZeroCount
        self.init(
            name: name, shape: [weight.rows, weight.columns], format: weight.label, byteCount: weight.byteCount,
            zeroCount: weight.rows * weight.columns - nonZeroCount, kernel: kernels.choice(for: weight),
            multipliedCount: weight.multiplicationCount(nonZeroCount: nonZeroCount))
    }
}
