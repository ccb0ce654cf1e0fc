import CoppiceModels
import CoppiceTensors
import Foundation

/// A training run as a point of a scaling law.
public struct ScalingRun: Sendable, Hashable, Codable {
    /// The average number of parameters over training; of a dense run, its parameters.
    public var averageParameters: Double
    /// Tokens trained on, repeats counted.
    public var tokens: Double
    /// Nats a token.
    public var loss: Double
    /// The part of the prunable parameters that was gone in the end; 0 for a dense run.
    public var finalSparsity: Double

    public init(averageParameters: Double, tokens: Double, loss: Double, finalSparsity: Double = 0) {
        self.averageParameters = averageParameters
        self.tokens = tokens
        self.loss = loss
        self.finalSparsity = finalSparsity
    }

    public var isDense: Bool { finalSparsity == 0 }
}

extension ScalingRun {
    /// Reads runs from a CSV file: a line of column names, then a run a line. `average_parameters` (or `parameters`),
    /// `tokens` and `loss` are needed, `final_sparsity` may be there, other columns are skipped.
    ///
    /// - Throws: `.noInput`; `.badData` naming the line and the column.
    public static func load(_ path: String) throws -> [ScalingRun] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CoppiceError(.noInput, source: path, "no such file, expected runs as CSV")
        }
        return try parse(String(decoding: data, as: UTF8.self), source: path)
    }

    /// Reads runs from CSV text.
    ///
    /// - Throws: `.badData` naming the line and the column.
    public static func parse(_ text: String, source: String) throws -> [ScalingRun] {
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated()
            .map { (number: $0.offset + 1, cells: cells(of: $0.element)) }
            .filter { $0.cells != [""] }
        guard let head = lines.first else {
            throw CoppiceError(.badData, source: source, "is empty, expected a line of column names and a run a line")
        }
        func column(_ names: [String]) throws -> Int {
            for name in names {
                if let index = head.cells.firstIndex(of: name) { return index }
            }
            throw CoppiceError(
                .badData, source: source, field: "line \(head.number)",
                "has no column \"\(names[0])\"\(Spelling.hint(names[0], head.cells))")
        }
        let columns = try [["average_parameters", "parameters"], ["tokens"], ["loss"]].map(column)
        let sparsity = head.cells.firstIndex(of: "final_sparsity")
        return try lines.dropFirst().map { line in
            func number(_ column: Int, _ isValid: (Double) -> Bool, _ expected: String) throws -> Double {
                let cell = column < line.cells.count ? line.cells[column] : ""
                guard let value = Double(cell), value.isFinite, isValid(value) else {
                    throw CoppiceError(
                        .badData, source: source, field: "line \(line.number): \(head.cells[column])",
                        "expected \(expected), found \(cell.isEmpty ? "nothing" : String(cell.prefix(40)))")
                }
                return value
            }
            let values = try columns.map { try number($0, { $0 > 0 }, "a number above 0") }
            return ScalingRun(
                averageParameters: values[0], tokens: values[1], loss: values[2],
                finalSparsity: try sparsity.map { try number($0, { (0..<1).contains($0) }, "a number in [0, 1)") } ?? 0)
        }
    }

    private static func cells(of line: Substring) -> [String] {
        line.split(separator: ",", omittingEmptySubsequences: false).map {
            $0.trimmingCharacters(in: CharacterSet(charactersIn: " \t\""))
        }
    }
}
