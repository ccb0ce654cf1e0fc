import CoppiceModels
import CoppiceTensors

/// What an experiment is run on, and how much of it is run.
public struct ExperimentSetting: Sendable {
    /// A language model and a text to measure it on.
    public struct LanguageModel: Sendable {
        /// What reports call the model.
        public var name: String
        public var checkpoint: Checkpoint
        /// Token ids of a text in the model's vocabulary.
        public var tokenize: @Sendable (String) throws -> [Int]
        /// The held-out text that losses are measured on.
        public var text: String
        /// The text's file, or what else to call it.
        public var textSource: String

        public init(
            name: String, checkpoint: Checkpoint, tokenize: @escaping @Sendable (String) throws -> [Int], text: String,
            textSource: String
        ) {
            self.name = name
            self.checkpoint = checkpoint
            self.tokenize = tokenize
            self.text = text
            self.textSource = textSource
        }
    }

    /// Opens the language model, for experiments that measure one.
    public var languageModel: @Sendable () throws -> LanguageModel
    /// The folder that data sets are in, for experiments that need one; nil where none was named.
    public var dataFolder: String?
    /// Whether the paper's own sizes are run, which may take days, instead of minutes' worth.
    public var isFull = false
    /// Multiplies how much is measured.
    public var scale: Double
    /// Seeds everything that is random; experiments that repeat themselves count up from it.
    public var seed: UInt64
    /// How often an experiment that trains networks repeats itself; nil: three times, or less often where that takes
    /// long.
    public var seedCount: Int?

    /// - Precondition: `scale > 0`.
    public init(
        languageModel: @escaping @Sendable () throws -> LanguageModel, dataFolder: String? = nil, scale: Double = 1,
        seed: UInt64 = 42
    ) {
        precondition(scale > 0, "an experiment of no size")
        self.languageModel = languageModel
        self.dataFolder = dataFolder
        self.scale = scale
        self.seed = seed
    }

    /// The seeds of an experiment that repeats itself.
    public var seeds: [UInt64] { seeds(atMost: nil) }

    /// The seeds of what takes long.
    ///
    /// - Parameter limit: how many are usual there, nil for as many as everywhere; counts only where ``seedCount`` is
    ///   nil.
    public func seeds(atMost limit: Int?) -> [UInt64] {
        let count = seedCount ?? min(Self.usualSeedCount, limit ?? Self.usualSeedCount)
        return (0..<max(1, count)).map { seed &+ UInt64($0) }
    }

    private static let usualSeedCount = 3
}
