import CoppiceModels

/// What a ``SparsityIndexAnalysis`` found.
public struct SparsityIndexReport: Sendable {
    /// Numbers of some weights.
    public struct Measure: Sendable, Hashable {
        /// d: the weights that count.
        public var count: Int
        /// Weights that are zero.
        public var zeros: Int
        /// I.
        public var index: Double
        /// The share of the d weights that cannot go without the largest of the rest: (1 − I)^(pq/(q − p)).
        public var leastRetained: Double
        /// The Gini coefficient; nil where it was not measured.
        public var gini: Double?
    }

    /// One matrix.
    public struct Matrix: Sendable, Hashable {
        public var name: String
        public var whole: Measure
        /// Of scope `neuron`: one for each row.
        public var neurons: [Measure]
    }

    public let index: PQIndex
    public let scope: SparsityIndexAnalysis.Scope
    /// In checkpoint order; empty of scope `global`.
    public let matrices: [Matrix]
    /// All weights together.
    public let total: Measure
    public let measuresGini: Bool
    /// What reading and measuring took.
    public let seconds: Double

    private static let head = ["weight", "neuron", "count", "zeros", "index", "least_retained", "gini"]

    /// `p`, `q`, `scope`, `total`, `weights` (each with `neurons` of scope `neuron`), `seconds`.
    public var json: JSON {
        func members(_ own: Measure) -> [(String, JSON)] {
            [
                ("count", .integer(own.count)), ("zeros", .integer(own.zeros)), ("index", .number(own.index)),
                ("least_retained", .number(own.leastRetained)), ("gini", own.gini.map { .number($0) } ?? .null),
            ]
        }
        func object(_ members: [(String, JSON)]) -> JSON { .object(.init(uniqueKeysWithValues: members)) }
        let weights = matrices.map { matrix in
            object(
                [("name", .string(matrix.name))] + members(matrix.whole)
                    + (scope == .neuron
                        ? [("neurons", .array(matrix.neurons.map { object(members($0)) }))] : []))
        }
        return .object([
            "p": .number(index.p), "q": .number(index.q), "scope": .string(scope.rawValue),
            "total": object(members(total)), "weights": .array(weights), "seconds": .number(seconds),
            "weights_per_second": .number(Double(total.count) / max(seconds, 1e-9)),
        ])
    }

    /// `weight,neuron,count,zeros,index,least_retained,gini`: a line for each neuron, matrix or, of scope `global`, one
    /// for all; names with a comma or a quote are quoted.
    public var csv: String {
        func line(_ name: String, _ neuron: Int?, _ own: Measure) -> String {
            let quoted =
                name.contains { $0 == "," || $0 == "\"" || $0.isNewline }
                ? "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
                : name
            let cells = [
                quoted, neuron.map(String.init) ?? "", "\(own.count)", "\(own.zeros)", "\(own.index)",
                "\(own.leastRetained)", own.gini.map { "\($0)" } ?? "",
            ]
            return cells.joined(separator: ",")
        }
        let lines: [String] =
            switch scope {
            case .global: [line("total", nil, total)]
            case .tensor: matrices.map { line($0.name, nil, $0.whole) }
            case .neuron:
                matrices.flatMap { matrix in
                    matrix.neurons.enumerated().map { line(matrix.name, $0.offset, $0.element) }
                }
            }
        return ([Self.head.joined(separator: ",")] + lines).joined(separator: "\n") + "\n"
    }

    // MARK: For people

    /// A table: a line for each matrix, then all weights. Of neurons the least, the median and the largest index.
    public var text: String {
        var head: [(title: String, alignment: TextTable.Alignment)] = [
            ("weight", .left), ("weights", .right), ("zeros", .right), ("index", .right), ("must stay", .right),
        ]
        head += [("neurons from", .right), ("median", .right), ("to", .right), ("Gini", .right)]
        let rows = matrices.map { row($0.name, $0.whole, $0.neurons) } + [row("all", total, [])]
        return TextTable(head: head, rows: rows).lines.joined(separator: "\n")
    }

    private func row(_ name: String, _ own: Measure, _ neurons: [Measure]) -> [String] {
        let sorted = neurons.filter { $0.count > 0 }.map(\.index).sorted()
        let spread =
            sorted.isEmpty
            ? ["", "", ""] : [0, sorted.count / 2, sorted.count - 1].map { Self.fixed(sorted[$0]) }
        let ginis = neurons.compactMap(\.gini)
        let gini = own.gini ?? (ginis.isEmpty ? nil : ginis.reduce(0, +) / Double(ginis.count))
        return [
            name, "\(own.count)", Self.percent(Double(own.zeros) / Double(max(1, own.count + own.zeros))),
            Self.fixed(own.index), Self.percent(own.leastRetained),
        ] + spread + [gini.map(Self.fixed) ?? ""]
    }

    private static func percent(_ share: Double) -> String { digits(100 * share, places: 1) + " %" }
    private static func fixed(_ value: Double) -> String { digits(value, places: 4) }

    private static func digits(_ value: Double, places: Int) -> String {
        let scale = (0..<places).reduce(1) { product, _ in product * 10 }
        let (whole, rest) = Int((value * Double(scale)).rounded()).quotientAndRemainder(dividingBy: scale)
        let text = String(rest)
        return "\(whole)." + String(repeating: "0", count: places - text.count) + text
    }
}
