import CoppiceModels
import CoppiceTensors
import Foundation
import Synchronization

/// The run as JSON lines: one object an event, with the stable keys of ``Line``.
///
/// Each line is written whole and at once, so that a killed run leaves at most one broken line at the end, which the
/// next ``init(path:resumingAt:)`` removes.
public final class TrainingLog: TrainingObserver {
    /// One line. Absent values are left out.
    public struct Line: Codable, Sendable, Hashable {
        /// `progress`, `validation`, `checkpoint` or `end`.
        public var event: String
        public var step: Int
        public var tokens: Int?
        /// Nats a token.
        public var loss: Double?
        public var perplexity: Double?
        public var learningRate: Double?
        public var gradientNorm: Double?
        public var tokensPerSecond: Double?
        /// Images a second, in a run on images.
        public var imagesPerSecond: Double?
        /// The part of validation images that is classified right, in a run on images.
        public var accuracy: Double?
        /// The part of the prunable weights that the last step used, in a run that prunes.
        public var density: Double?
        /// The mean of that over all steps so far.
        public var averageDensity: Double?
        /// N̄, the mean of the prunable weights in use over all steps so far.
        public var averageParameters: Double?
        /// Operations of the prunable weights so far where zeros cost nothing.
        public var idealOperations: Double?
        /// Those that were done.
        public var actualOperations: Double?
        /// The part of each prunable weight that is kept.
        public var layerDensity: [String: Double]?
        /// The running average of each block's gates, in a run with gates.
        public var gates: [String: Double]?
        /// Of the gate that images disagree about most: ḡ(1 − ḡ).
        public var gateDisagreement: Double?
        /// The mean over gates, in bits.
        public var gateEntropy: Double?
        /// How often gates have opened again so far.
        public var gateReopenings: Int?
        /// For an average image where what is closed for it is skipped.
        public var expectedMultiplications: Double?
        public var isBest: Bool?
        public var outcome: TrainingOutcome?
        /// Seconds since 1970.
        public var time: Double?

        enum CodingKeys: String, CodingKey {
            case event, step, tokens, loss, perplexity, accuracy, outcome, time, density, gates
            case averageDensity = "average_density"
            case averageParameters = "average_parameters"
            case idealOperations = "ideal_flops"
            case actualOperations = "actual_flops"
            case layerDensity = "layer_density"
            case learningRate = "learning_rate"
            case gradientNorm = "gradient_norm"
            case tokensPerSecond = "tokens_per_second"
            case imagesPerSecond = "images_per_second"
            case gateDisagreement = "gate_disagreement"
            case gateEntropy = "gate_entropy"
            case gateReopenings = "gate_reopenings"
            case expectedMultiplications = "expected_multiplications"
            case isBest = "is_best"
        }

        init(event: String, step: Int) {
            self.event = event
            self.step = step
        }

        /// Takes in what pruning has come to.
        mutating func add(_ pruning: TrainingResult.Pruning) {
            (density, averageDensity) = (pruning.density, pruning.averageDensity)
            averageParameters = pruning.averageCount
            (idealOperations, actualOperations) = (pruning.idealOperations, pruning.actualOperations)
            layerDensity = Dictionary(uniqueKeysWithValues: pruning.weights.map { ($0.name, $0.density) })
        }

        /// Takes in how open gates are.
        mutating func add(_ report: GateReport) {
            gates = Dictionary(uniqueKeysWithValues: report.blocks.map { ($0.name, $0.mean) })
            (gateDisagreement, gateEntropy) = (report.disagreement, report.entropy)
            gateReopenings = report.reopenings
            expectedMultiplications = report.expectedMultiplications
        }
    }

    private let path: String
    private let file: Mutex<FileHandle>

    /// Opens a log for appending.
    ///
    /// - Parameter step: the step that the run goes on from; what an earlier run logged beyond it is removed. Zero
    ///   empties the log.
    /// - Throws: `.cannotCreate`, `.inputOutput`.
    public init(path: String, resumingAt step: Int) throws {
        self.path = path
        let kept = step == 0 ? [] : Self.lines(of: path).filter { $0.line.step <= step && $0.line.event != "end" }
        let text = kept.map { $0.text + "\n" }.joined()
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
            let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
            try handle.seekToEnd()
            file = Mutex(handle)
        } catch {
            throw CoppiceError(.cannotCreate, source: path, "cannot write the log: \(error.localizedDescription)")
        }
    }

    public func observe(_ event: TrainingEvent) throws {
        var line: Line
        switch event {
        case .progress(let progress):
            line = Line(event: "progress", step: progress.step)
            line.tokens = progress.tokens
            line.loss = progress.loss
            line.learningRate = progress.learningRate
            line.gradientNorm = progress.gradientNorm
            line.tokensPerSecond = progress.tokensPerSecond
            if let pruning = progress.pruning { line.add(pruning) }
        case .validation(let step, let tokens, let loss, let isBest, _):
            line = Line(event: "validation", step: step)
            line.tokens = tokens
            line.loss = loss
            let perplexity = exp(loss)
            line.perplexity = perplexity.isFinite ? perplexity : nil
            line.isBest = isBest
        case .checkpoint(let step): line = Line(event: "checkpoint", step: step)
        case .end(let outcome, let step, let tokens):
            line = Line(event: "end", step: step)
            line.tokens = tokens
            line.outcome = outcome
        }
        try write(line)
    }

    /// Appends a line, with the time.
    func write(_ line: Line) throws {
        var line = line
        line.time = (Date().timeIntervalSince1970 * 1000).rounded() / 1000
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        var data = try encoder.encode(line)
        data.append(UInt8(ascii: "\n"))
        do {
            try file.withLock { try $0.write(contentsOf: data) }
        } catch {
            throw CoppiceError(.inputOutput, source: path, "cannot write the log: \(error.localizedDescription)")
        }
    }

    /// The lines of a log; what is no such line is skipped, and a missing file has none.
    public static func read(_ path: String) -> [Line] { lines(of: path).map(\.line) }

    private static func lines(of path: String) -> [(line: Line, text: String)] {
        guard let data = FileManager.default.contents(atPath: path) else { return [] }
        let decoder = JSONDecoder()
        return data.split(separator: UInt8(ascii: "\n")).compactMap { bytes in
            (try? decoder.decode(Line.self, from: bytes)).map { ($0, String(decoding: bytes, as: UTF8.self)) }
        }
    }
}
