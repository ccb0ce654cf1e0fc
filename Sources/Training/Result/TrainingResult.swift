import CoppiceModels
import Foundation

/// What a run gave.
public struct TrainingResult: Sendable, Hashable {
    /// A text in numbers.
    public struct TextFacts: Sendable, Hashable {
        public var files: [String]
        public var documents: Int
        public var bytes: Int
        public var tokens: Int
        /// SHA-256 of the text.
        public var digest: String

        public init(_ text: TrainingText, _ stream: TokenStream) {
            files = text.files
            documents = text.documents.count
            bytes = text.byteCount
            tokens = stream.tokens.count
            digest = text.digest
        }
    }

    /// The best validation.
    public struct Validation: Sendable, Hashable {
        /// Optimizer steps at which it was measured.
        public var step: Int
        /// Mean loss in nats a token, over all tokens of the text but the first, in windows of the training length that
        /// do not overlap.
        public var loss: Double
        /// The loss of the whole text in bits, by its UTF-8 bytes.
        public var bitsPerByte: Double

        /// `exp(loss)`.
        public var perplexity: Double { exp(loss) }

        public init(step: Int, loss: Double, text: TextFacts) {
            self.step = step
            self.loss = loss
            bitsPerByte = Self.bitsPerByte(loss: loss, text: text)
        }

        /// The bits that a byte of a text takes at a mean loss in nats a token.
        static func bitsPerByte(loss: Double, text: TextFacts) -> Double {
            loss * Double(text.tokens - 1) / log(2) / Double(max(1, text.bytes))
        }
    }

    public var outcome: TrainingOutcome
    /// The model's folder. Not written yet when the run was interrupted.
    public var output: String
    /// The folder of the run: log, checkpoints.
    public var runFolder: String
    public var parameters: Int
    public var vocabularySize: Int
    public var state: TrainingState
    public var totalSteps: Int
    public var windowsPerEpoch: Int
    public var training: TextFacts
    public var validationText: TextFacts?
    public var validation: Validation?
    /// What pruning during training came to; nil for a dense run.
    public var pruning: Pruning?

    public init(
        outcome: TrainingOutcome, output: String, runFolder: String, parameters: Int, vocabularySize: Int,
        state: TrainingState, totalSteps: Int, windowsPerEpoch: Int, training: TextFacts, validationText: TextFacts?,
        validation: Validation?
    ) {
        self.outcome = outcome
        self.output = output
        self.runFolder = runFolder
        self.parameters = parameters
        self.vocabularySize = vocabularySize
        self.state = state
        self.totalSteps = totalSteps
        self.windowsPerEpoch = windowsPerEpoch
        self.training = training
        self.validationText = validationText
        self.validation = validation
    }

    /// Passes over the training text.
    public var epochs: Double { Double(state.tokens) / Double(max(1, training.tokens)) }
}

extension TrainingResult {
    /// The result with stable keys.
    public var json: JSON {
        var members: [(String, JSON)] = [
            ("outcome", .string(outcome.rawValue)), ("output", .string(output)), ("run", .string(runFolder)),
            ("parameters", .integer(parameters)), ("vocabulary", .integer(vocabularySize)),
            ("steps", .integer(state.step)), ("total_steps", .integer(totalSteps)), ("tokens", .integer(state.tokens)),
            ("epochs", .number(epochs)), ("training_loss", (state.curve.last?.trainingLoss).map(JSON.number) ?? .null),
        ]
        if let validation {
            members += [
                ("validation_loss", .number(validation.loss)), ("perplexity", .number(validation.perplexity)),
                ("bits_per_byte", .number(validation.bitsPerByte)), ("best_step", .integer(validation.step)),
            ]
        }
        if let pruning { members.append(("pruning", pruning.json)) }
        return .object(.init(uniqueKeysWithValues: members))
    }
}

extension TrainingResult: CustomStringConvertible {
    /// What a person wants to know first, in a few lines.
    public var description: String {
        var lines: [String] = []
        switch outcome {
        case .interrupted:
            lines.append("interrupted at step \(state.step) of \(totalSteps); --resume goes on from there")
            lines.append("run: \(runFolder)")
        case .completed, .stoppedEarly:
            let early = outcome == .stoppedEarly ? " (stopped early)" : ""
            lines.append(
                "\(output): \(parameters) parameters, \(vocabularySize) tokens, trained \(state.step) steps\(early) on "
                    + "\(state.tokens) tokens (\(String(format: "%.2f", epochs)) passes over the text)")
        }
        if let validation {
            lines.append(
                String(
                    format: "validation: loss %.4f, perplexity %.2f, %.4f bits per byte (step %d)", validation.loss,
                    validation.perplexity, validation.bitsPerByte, validation.step))
        }
        if let pruning {
            lines.append(
                String(
                    format: "pruned: %.2f %% of %d weights removed, %.0f in use on average (%.2f of them)",
                    100 * pruning.sparsity, pruning.prunableCount, pruning.averageCount,
                    pruning.averageCount / Double(max(1, pruning.prunableCount))))
        }
        return lines.joined(separator: "\n")
    }
}
