import CoppiceTensors

/// What the training loop needs of a model and its optimizer.
///
/// The loop decides which windows are seen, at which rate and how often; a learner computes. All of it must depend on
/// the arguments and the state alone, so that a restored learner goes on exactly as the one that was saved.
public protocol LanguageModelLearner: AnyObject {
    /// Number of tokens that the model knows.
    var vocabularySize: Int { get }
    /// Number of trainable numbers.
    var parameterCount: Int { get }

    /// Before the passes of a step: what acts on training between its parts, such as pruning, acts now.
    ///
    /// - Parameter step: optimizer steps taken before this one.
    func willStep(_ step: Int) throws

    /// Adds `weight` times the gradient of a batch's mean loss to the gradient being accumulated.
    ///
    /// - Parameter randomSeed: everything random in this pass (dropout) follows from it.
    /// - Returns: the mean loss of the batch's targets in nats a token, unweighted.
    func accumulate(_ batch: TokenBatch, weight: Double, randomSeed: UInt64) throws -> Double

    /// After the passes of a step: the accumulated gradient may be changed.
    func willUpdate(_ step: Int) throws

    /// The norm of the accumulated gradient over all parameters.
    func gradientNorm() -> Double

    /// Takes one optimizer step with the accumulated gradient times `gradientScale`, and forgets the gradient.
    ///
    /// - Parameter step: optimizer steps taken before this one, for bias corrections.
    func update(learningRate: Double, gradientScale: Double, step: Int) throws

    /// The mean loss of a batch's targets in nats a token, without dropout.
    func loss(_ batch: TokenBatch) throws -> Double

    /// The parameters by name, in an order of the learner's choice. Not changed by later updates.
    func parameters() -> [NamedTensor]

    /// What the optimizer and hooks remember, by name. Not changed by later updates.
    func optimizerState() -> [NamedTensor]

    /// Puts values back that ``parameters()`` and ``optimizerState()`` gave.
    ///
    /// - Parameter source: the file they were read from, for error messages.
    /// - Throws: `.badData` naming the tensor that is missing or has another shape.
    func restore(_ tensors: [String: Tensor], source: String) throws

    /// A line about the memory of an optimizer that keeps gradients; nil for others.
    ///
    /// - Throws: `.usage` where it takes more than is allowed.
    func windowSummary() throws -> String?

    /// How many entries of which weights are kept; empty for a model that is not pruned.
    var keptCounts: [KeptCount] { get }

    /// Products of a token and a weight that forward passes have left out so far, since the weight was removed.
    var skippedProducts: Double { get }
}

extension LanguageModelLearner {
    public func willStep(_ step: Int) throws {}
    public func willUpdate(_ step: Int) throws {}
    public func windowSummary() throws -> String? { nil }
    public var keptCounts: [KeptCount] { [] }
    public var skippedProducts: Double { 0 }
}

/// A tensor and its name.
public struct NamedTensor: Sendable {
    public let name: String
    public let tensor: Tensor

    public init(_ name: String, _ tensor: Tensor) {
        self.name = name
        self.tensor = tensor
    }
}
