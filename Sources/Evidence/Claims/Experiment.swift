import CoppiceModels
import CoppiceTensors

/// What an experiment is run on.
public struct ExperimentSetting: Sendable {
    /// A text for evaluation and where it comes from.
    public struct Text: Sendable {
        public var text: String
        /// The file, or what else to call it.
        public var source: String

        public init(_ text: String, source: String) {
            self.text = text
            self.source = source
        }
    }

    /// What reports call the model.
    public var modelName: String
    public var model: Checkpoint
    /// Token ids of a text in the model's vocabulary.
    public var tokenize: @Sendable (String) throws -> [Int]
    /// The held-out text that losses are measured on.
    public var text: Text
    /// Multiplies how much is measured: 1 takes about ten seconds on the built-in model and two cores.
    public var scale: Double
    /// Seeds everything that is random.
    public var seed: UInt64

    /// - Precondition: `scale > 0`.
    public init(
        modelName: String, model: Checkpoint, tokenize: @escaping @Sendable (String) throws -> [Int], text: Text,
        scale: Double = 1, seed: UInt64 = 42
    ) {
        precondition(scale > 0, "an experiment of no size")
        self.modelName = modelName
        self.model = model
        self.tokenize = tokenize
        self.text = text
        self.scale = scale
        self.seed = seed
    }
}

/// The experiment that checks one paper's claims.
///
/// A new one is a file or folder of this module and one line in ``Experiments/all``.
public protocol Experiment: Sendable {
    /// What `coppice reproduce` calls it, such as `essential-sparsity`.
    var identifier: String { get }
    /// The paper's title.
    var title: String { get }
    /// Authors, year and where to find it.
    var paper: String { get }
    /// What is measured, in one sentence.
    var summary: String { get }

    /// Measures and judges.
    ///
    /// The same setting gives the same report, to the bit.
    ///
    /// - Throws: `.badData` for a model or text that nothing can be measured on; what loading the model throws.
    func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport
}

/// Every experiment that there is.
public enum Experiments {
    /// In alphabetical order of their identifiers.
    public static let all: [any Experiment] = [EssentialSparsity()]

    /// The experiment of an identifier.
    ///
    /// - Throws: `.usage` for an unknown one, with the nearest that there is.
    public static func named(_ identifier: String) throws -> any Experiment {
        if let found = all.first(where: { $0.identifier == identifier }) { return found }
        throw CoppiceError(
            .usage, "there is no experiment \"\(identifier)\"\(Spelling.hint(identifier, all.map(\.identifier)))")
    }
}
