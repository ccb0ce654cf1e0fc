import CoppiceModels
import OrderedCollections

/// What a ``SpeedSuite`` measured.
public struct SpeedReport: Sendable, Hashable {
    /// One quantity, measured once a round.
    public struct Figure: Sendable, Hashable {
        public var part: SpeedSuite.Part
        /// Its key in JSON, such as `decode_tok_s`.
        public var key: String
        public var unit: String
        /// One of each round.
        public var values: [Double]

        /// The middle value in order of size, or the mean of the two middle ones.
        public var median: Double {
            let sorted = values.sorted()
            guard !sorted.isEmpty else { return .nan }
            return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
        }
        public var least: Double { values.min() ?? .nan }
        public var largest: Double { values.max() ?? .nan }

        public init(_ part: SpeedSuite.Part, _ key: String, _ unit: String, _ values: [Double]) {
            self.part = part
            self.key = key
            self.unit = unit
            self.values = values
        }
    }

    public var size: SpeedSuite.Size
    public var rounds: Int
    public var threads: Int
    /// What the system calls the processor.
    public var processor: String
    /// Instruction set of the kernels in use.
    public var kernels: String
    /// In the order in which they were measured first.
    public private(set) var figures: [Figure] = []

    init(size: SpeedSuite.Size, rounds: Int, threads: Int, processor: String, kernels: String) {
        self.size = size
        self.rounds = rounds
        self.threads = threads
        self.processor = processor
        self.kernels = kernels
    }

    /// Adds a round's value.
    mutating func add(_ part: SpeedSuite.Part, _ key: String, _ unit: String, _ value: Double) {
        if let index = figures.firstIndex(where: { $0.part == part && $0.key == key }) {
            figures[index].values.append(value)
        } else {
            figures.append(Figure(part, key, unit, [value]))
        }
    }

    /// A quantity; nil where it was not measured, or cannot be on this processor.
    public func figure(_ part: SpeedSuite.Part, _ key: String) -> Figure? {
        figures.first { $0.part == part && $0.key == key }
    }

    /// The report with stable keys: `parts` by name, in each the quantities by key, in each `median`, `least`, `largest`,
    /// `rounds` and `unit`.
    public var json: JSON {
        var parts: OrderedDictionary<String, OrderedDictionary<String, JSON>> = [:]
        for figure in figures {
            parts[figure.part.rawValue, default: [:]][figure.key] = [
                "median": .number(figure.median), "least": .number(figure.least), "largest": .number(figure.largest),
                "unit": .string(figure.unit), "rounds": .array(figure.values.map(JSON.number)),
            ]
        }
        return [
            "size": .string(size.rawValue), "rounds": .integer(rounds), "threads": .integer(threads),
            "processor": .string(processor), "kernels": .string(kernels),
            "parts": .object(OrderedDictionary(uniqueKeysWithValues: parts.map { ($0.key, JSON.object($0.value)) })),
        ]
    }

    /// The report as lines, one a quantity: the median, and the least and largest of all rounds.
    public var text: String {
        var lines = ["\(processor), \(kernels), \(threads) threads, \(size.rawValue) size, \(rounds) rounds"]
        var part: SpeedSuite.Part?
        let width = figures.map(\.key.count).max() ?? 0
        for figure in figures {
            if figure.part != part { lines.append("\n\(figure.part.rawValue)") }
            part = figure.part
            let key = figure.key + String(repeating: " ", count: width - figure.key.count)
            let range = rounds > 1 ? "  (\(Self.short(figure.least)) to \(Self.short(figure.largest)))" : ""
            lines.append("  \(key)  \(Self.short(figure.median)) \(figure.unit)\(range)")
        }
        return lines.joined(separator: "\n")
    }

    /// About four digits.
    private static func short(_ value: Double) -> String {
        guard value.isFinite else { return "\(value)" }
        if abs(value) >= 100 { return "\(Int(value.rounded()))" }
        let factor = abs(value) >= 10 ? 10.0 : 100
        return "\((value * factor).rounded() / factor)"
    }
}
