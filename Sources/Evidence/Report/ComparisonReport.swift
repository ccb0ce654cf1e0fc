import CoppiceModels
import CoppiceTensors
import Foundation

/// A model before and after compression, as one page: the report that `make demo` writes.
public struct ComparisonReport: Sendable {
    /// What is known of one of the two models. Numbers that were not measured are nil and left out.
    public struct Side: Sendable {
        public var name: String
        public var bytes: Double?
        public var bitsPerWeight: Double?
        /// The share of weights that are zero.
        public var sparsity: Double?
        /// Multiplications with weights for one image or token.
        public var multiplications: Double?
        public var perplexity: Double?
        public var bitsPerByte: Double?
        /// Prompt tokens read a second.
        public var prefillRate: Double?
        /// Tokens written a second.
        public var decodeRate: Double?
        /// A story that the model told, with its prompt.
        public var story: String?
        public var weights: [Weight]

        public init(name: String, weights: [Weight] = []) {
            self.name = name
            self.weights = weights
        }
    }

    /// One tensor.
    public struct Weight: Sendable, Hashable {
        public var name: String
        public var shape: [Int]
        public var format: String
        public var bytes: Double
        public var bitsPerWeight: Double
        public var sparsity: Double
        /// ‖W − Ŵ‖ / ‖W‖; nil where it is not known.
        public var relativeError: Double?
    }

    /// A question over HTTP and what came back.
    public struct Exchange: Sendable, Hashable {
        public var question: String
        public var answer: String

        public init(question: String, answer: String) {
            self.question = question
            self.answer = answer
        }
    }

    public var before: Side
    public var after: Side
    /// The text of the recipe.
    public var recipe: String?
    public var histograms: (before: WeightHistogram, after: WeightHistogram)?
    public var exchange: Exchange?

    public init(before: Side, after: Side) {
        self.before = before
        self.after = after
    }

    /// Reads what the program's commands printed with `--json` into a folder.
    ///
    /// Needed are `inspect-before.json` and `inspect-after.json`; used where they are there: `evaluate-*.json`,
    /// `bench-*.json`, `story-*.json`, `compress.json`, `question.json`, `answer.json`, and the recipe and the report of
    /// the compressed model's folder.
    ///
    /// - Throws: `.noInput` for a missing file that is needed, `.badData` for one that is not the JSON expected.
    public init(folder: String) throws {
        func read(_ name: String) throws -> JSON? {
            let path = folder + "/" + name
            guard let bytes = FileManager.default.contents(atPath: path) else { return nil }
            return try JSON(parsing: bytes, source: path)
        }
        func side(_ which: String) throws -> Side {
            guard let inspect = try read("inspect-\(which).json") else {
                throw CoppiceError(
                    .noInput, source: "\(folder)/inspect-\(which).json",
                    "does not exist, expected what coppice inspect MODEL --json prints")
            }
            return try Side(
                inspect: inspect, evaluate: read("evaluate-\(which).json"), bench: read("bench-\(which).json"),
                story: read("story-\(which).json"), source: "\(folder)/inspect-\(which).json")
        }
        self.init(before: try side("before"), after: try side("after"))
        let compress = try read("compress.json")
        let output = compress?["output"]?.stringValue
        let recipePaths = [output.map { $0 + "/recipe.yaml" }, compress?["recipe"]?.stringValue].compactMap { $0 }
        recipe = recipePaths.lazy.compactMap { FileManager.default.contents(atPath: $0) }.first
            .map { String(decoding: $0, as: UTF8.self) }
        if let output, let bytes = FileManager.default.contents(atPath: output + "/report.json") {
            addErrors(from: try JSON(parsing: bytes, source: output + "/report.json"))
        }
        if let question = try read("question.json"), let answer = try read("answer.json") {
            exchange = Exchange(
                question: question.serialized(pretty: true), answer: answer.serialized(pretty: true))
        }
    }

    /// Takes the relative errors from a compression's `report.json`.
    public mutating func addErrors(from report: JSON) {
        for entry in report["weights"]?.arrayValue ?? [] {
            guard let name = entry["name"]?.stringValue, let error = entry["relative_error"]?.doubleValue,
                let index = after.weights.firstIndex(where: { $0.name == name })
            else { continue }
            after.weights[index].relativeError = error
        }
    }
}

extension ComparisonReport.Side {
    /// A model from what the commands print with `--json`.
    ///
    /// - Parameters:
    ///   - inspect: `coppice inspect`: formats, sizes, sparsities.
    ///   - evaluate: `coppice evaluate`.
    ///   - bench: `coppice bench`.
    ///   - story: `coppice generate`.
    ///   - source: what errors call `inspect`.
    /// - Throws: `.badData` naming the field that is missing.
    public init(
        inspect: JSON, evaluate: JSON? = nil, bench: JSON? = nil, story: JSON? = nil, source: String = "inspect"
    ) throws {
        guard let tensors = inspect["tensors"]?.arrayValue else {
            throw CoppiceError(.badData, source: source, field: "tensors", "is missing, expected a list of tensors")
        }
        let weights = try tensors.enumerated().map { index, entry -> ComparisonReport.Weight in
            func number(_ key: String) throws -> Double {
                guard let value = entry[key]?.doubleValue else {
                    throw CoppiceError(
                        .badData, source: source, field: "tensors[\(index)].\(key)", "is missing, expected a number")
                }
                return value
            }
            return ComparisonReport.Weight(
                name: entry["name"]?.stringValue ?? "\(index)",
                shape: entry["shape"]?.arrayValue?.compactMap(\.intValue) ?? [],
                format: entry["format"]?.stringValue ?? "", bytes: try number("bytes"),
                bitsPerWeight: try number("bits_per_weight"), sparsity: try number("sparsity"))
        }
        let path = inspect["model"]?.stringValue ?? "model"
        self.init(name: path.split(separator: "/").last.map(String.init) ?? path, weights: weights)
        let totals = inspect["totals"]
        bytes = totals?["bytes"]?.doubleValue
        bitsPerWeight = totals?["bits_per_weight"]?.doubleValue
        sparsity = totals?["sparsity"]?.doubleValue
        multiplications = totals?["multiplications"]?.doubleValue
        perplexity = evaluate?["perplexity"]?.doubleValue
        bitsPerByte = evaluate?["bits_per_byte"]?.doubleValue
        prefillRate = bench?["prefill_tok_s"]?.doubleValue
        decodeRate = bench?["decode_tok_s"]?.doubleValue
        self.story = story?["text"]?.stringValue.map { (story?["prompt"]?.stringValue ?? "") + $0 }
    }
}
