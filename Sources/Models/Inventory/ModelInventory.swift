import CoppiceFormats
import CoppiceTensors
import OrderedCollections

/// What a model consists of: its configuration and, for every tensor, format, size and share of zeros.
public struct ModelInventory: Sendable {
    /// One parameter.
    public struct Entry: Sendable {
        public var name: String
        public var shape: [Int]
        /// `bf16`, `int4-group128`, …
        public var format: String
        /// Bytes that it takes when used.
        public var byteCount: Int
        public var zeroCount: Int
        /// The kernels that multiply it, for matrices.
        public var kernel: KernelChoice?

        public var elementCount: Int { shape.reduce(1, *) }
        public var bitsPerWeight: Double { elementCount == 0 ? 0 : Double(byteCount) * 8 / Double(elementCount) }
        /// The share of elements that are zero.
        public var sparsity: Double { elementCount == 0 ? 0 : Double(zeroCount) / Double(elementCount) }
    }

    public var path: String
    public var configuration: DecoderConfiguration
    /// In the order of computation.
    public var entries: [Entry]

    /// Looks at every weight. O(weights), to count zeros.
    ///
    /// - Throws: `.badData` when the parts of a compressed weight do not fit together.
    public init(_ checkpoint: Checkpoint, kernels: KernelTable = .standard) throws {
        path = checkpoint.path
        configuration = checkpoint.configuration
        entries = try checkpoint.weightNames.map { name in
            if checkpoint.isCompressed(name) {
                let weight = try checkpoint.weight(name)
                return Entry(
                    name: name, shape: [weight.rows, weight.columns], format: weight.label, byteCount: weight.byteCount,
                    zeroCount: weight.rows * weight.columns - weight.nonZeroCount, kernel: kernels.choice(for: weight))
            }
            let tensor = try checkpoint.tensor(name)
            let kernel = tensor.rank == 2 ? try kernels.choice(for: DenseWeight(tensor), mayNarrow: true) : nil
            return Entry(
                name: name, shape: tensor.shape, format: tensor.dataType.description, byteCount: tensor.byteCount,
                zeroCount: tensor.zeroCount, kernel: kernel)
        }
    }

    /// All parameters taken together.
    public var total: Entry {
        Entry(
            name: "total", shape: [entries.reduce(0) { $0 + $1.elementCount }], format: "",
            byteCount: entries.reduce(0) { $0 + $1.byteCount }, zeroCount: entries.reduce(0) { $0 + $1.zeroCount })
    }

    /// `config` (as in `config.json`), `tensors` and `totals`.
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
            return JSON.object(head.merging(numbers(entry)) { $1 })
        }
        let totals: OrderedDictionary<String, JSON> = [
            "tensors": .integer(entries.count), "parameters": .integer(total.elementCount),
        ]
        return [
            "model": .string(path), "config": configuration.json, "tensors": .array(tensors),
            "totals": .object(totals.merging(numbers(total)) { $1 }),
        ]
    }

    /// A summary and a table, one tensor a line, for people.
    public var text: String {
        let head = ["tensor", "shape", "format", "bytes", "bits/weight", "zeros", "kernel"]
        let rows = (entries + [total]).map { entry in
            [
                entry.name, entry.shape.map(String.init).joined(separator: " × "), entry.format,
                Self.grouped(entry.byteCount),
                Self.rounded(entry.bitsPerWeight, 2), Self.rounded(entry.sparsity * 100, 1) + " %",
                entry.kernel?.description ?? "",
            ]
        }
        let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
        func line(_ cells: [String]) -> String {
            let padded = cells.enumerated().map { column, cell in
                let space = String(repeating: " ", count: widths[column] - cell.count)
                return column < 3 ? cell + space : column == head.count - 1 ? cell : space + cell
            }
            return padded.joined(separator: "  ")
        }
        return ([summary, "", line(head)] + rows.map(line)).joined(separator: "\n")
    }

    private var summary: String {
        let model = configuration
        var parts = [
            "\(model.family.rawValue), \(Self.grouped(total.elementCount)) parameters",
            "\(model.layerCount) layers of \(model.hiddenSize)",
            "\(model.headCount) heads of \(model.headSize)"
                + (model.keyValueHeadCount == model.headCount ? "" : " over \(model.keyValueHeadCount)"),
            "feed-forward \(model.intermediateSize)", "vocabulary \(model.vocabularySize)",
            "\(model.maximumPositions) positions",
        ]
        if let window = model.slidingWindow { parts.append("window \(window)") }
        if model.tiesEmbeddings { parts.append("tied embeddings") }
        return parts.joined(separator: ", ")
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
