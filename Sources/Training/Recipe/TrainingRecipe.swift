import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// A training run as a value: the model, its tokenizer, the text, the optimizer, how long, with which seed.
///
/// Written in YAML:
/// ```yaml
/// seed: 1
/// model: { hidden_size: 192, intermediate_size: 512, layers: 6, heads: 6, key_value_heads: 2, context: 512 }
/// tokenizer: { train: 4096 }
/// data: { train: tales.txt, validation: tales-held-out.txt }
/// optimizer: { learning_rate: 2.0e-3, weight_decay: 0.1 }
/// schedule: { kind: cosine, warmup_steps: 200, minimum_ratio: 0.1 }
/// training: { batch_size: 16, sequence_length: 256, epochs: 8, validate_every: 200, patience: 4 }
/// ```
/// `docs/training.md` lists every key.
public struct TrainingRecipe: Sendable, Hashable {
    /// The architecture: a decoder language model.
    public struct Model: Sendable, Hashable {
        /// Which published family the model belongs to, and with it the details that are not options: attention
        /// biases (qwen2) and query and key norms (qwen3).
        public enum Family: String, Sendable, Hashable, CaseIterable {
            case llama, mistral, qwen2, qwen3
        }

        public var family = Family.llama
        public var hiddenSize = 192
        public var intermediateSize = 512
        public var layers = 6
        public var heads = 6
        public var keyValueHeads = 6
        public var headSize = 32
        /// Positions that the model is made for (`max_position_embeddings`).
        public var context = 512
        public var ropeBase = 10_000.0
        public var normEpsilon = 1e-5
        public var tiesEmbeddings = true
        /// Standard deviation of the initial matrices.
        public var initialDeviation = 0.02
        /// Probability with which dropout zeroes an element of the embeddings and of each block's two outputs.
        public var dropout = 0.0
    }

    /// Where the tokenizer comes from.
    public enum TokenizerSource: Sendable, Hashable {
        /// A byte-level BPE with this many tokens is trained on the training text.
        case trained(vocabulary: Int)
        /// A folder or file with a tokenizer.
        case existing(path: String)
    }

    /// The text.
    public struct Data: Sendable, Hashable {
        public var train: [String] = []
        public var validation: [String] = []
        /// A line that equals this ends a document.
        public var separator = "<|endoftext|>"
    }

    /// The rule of the updates: AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) or M-FAC.
    public struct Optimizer: Sendable, Hashable {
        public enum Kind: String, Sendable, Hashable, CaseIterable {
            case adamw, mfac
        }

        /// What weight decay applies to.
        public enum Decay: String, Sendable, Hashable, CaseIterable {
            /// The projections: every matrix but embeddings and output head.
            case projections
            /// Every matrix.
            case matrices
            /// Every parameter, norms and biases too.
            case all
        }

        public var kind = Kind.adamw
        public var learningRate = 1e-3
        /// Of AdamW.
        public var beta1 = 0.9
        public var beta2 = 0.95
        public var epsilon = 1e-8
        /// Of M-FAC.
        public var momentum = 0.9
        public var fisherWindow = FisherWindowOptions()
        /// Decoupled from the gradient with AdamW, added to it with M-FAC.
        public var weightDecay = 0.1
        public var decay = Decay.matrices
        /// Gradients are scaled down to this global norm; nil: not clipped.
        public var clipNorm: Double? = 1

        var rule: any CoppiceNetworks.Optimizer {
            switch kind {
            case .adamw: AdamW(beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: weightDecay)
            case .mfac: fisherWindow.optimizer(momentum: momentum, weightDecay: weightDecay)
            }
        }
    }

    /// The shape of the learning rate over the run.
    public struct Schedule: Sendable, Hashable {
        public var kind = LearningRateSchedule.Kind.cosine
        public var warmupSteps = 100
        public var minimumRatio = 0.1
    }

    /// How long.
    public enum Duration: Sendable, Hashable {
        case steps(Int)
        case epochs(Double)
    }

    /// The loop.
    public struct Loop: Sendable, Hashable {
        /// Windows of one forward and backward pass.
        public var batchSize = 16
        /// Tokens of a window.
        public var sequenceLength = 256
        /// Passes whose gradients are averaged for one step.
        public var accumulation = 1
        public var duration = Duration.epochs(1)
        public var validateEvery = 200
        public var checkpointEvery = 500
        public var logEvery = 10
        /// Validations without a new best after which training stops; nil: never.
        public var patience: Int?
        /// What matrix products round their operands to. Parameters, sums and the optimizer are f32 in any case.
        public var precision = OperandPrecision.f32
    }

    public var name: String?
    /// Everything random follows from it.
    public var seed: UInt64 = 42
    public var model = Model()
    public var tokenizer = TokenizerSource.trained(vocabulary: 4096)
    public var data = Data()
    public var optimizer = Optimizer()
    public var schedule = Schedule()
    public var loop = Loop()
    /// Pruning while the model is trained; nil: it stays dense.
    public var prune: Pruning?
    /// The YAML that the recipe was read from; empty for one made in code.
    public private(set) var text: String
    /// Where it was read from, for error messages.
    public private(set) var source: String

    /// A recipe with the default of every option and no data.
    public init(text: String = "", source: String = "recipe") {
        self.text = text
        self.source = source
    }

    /// SHA-256 of the text, in hexadecimal: what `sha256sum` prints for the recipe file.
    public var hash: String { SHA256.hexadecimal(text.utf8) }

    /// Whether two recipes give the same parameters on the same texts: titles, comments, the texts' places and how
    /// often is logged or saved do not matter.
    func isSameTraining(as other: TrainingRecipe) -> Bool {
        func essence(_ recipe: TrainingRecipe) -> TrainingRecipe {
            var recipe = recipe
            (recipe.name, recipe.text, recipe.source) = (nil, "", "")
            (recipe.data.train, recipe.data.validation) = ([], [])
            (recipe.loop.logEvery, recipe.loop.checkpointEvery) = (1, 1)
            return recipe
        }
        return essence(self) == essence(other)
    }

    /// Tokens of one optimizer step.
    public var tokensPerStep: Int { loop.batchSize * loop.sequenceLength * loop.accumulation }

    /// The compute of the run on a text of this many windows, in steps of the dense model: its steps, unless it is
    /// pruned, which makes more of them affordable (``pruningSchedule(windowsPerEpoch:)``).
    public func denseSteps(windowsPerEpoch: Int) -> Int {
        switch loop.duration {
        case .steps(let steps): return steps
        case .epochs(let epochs):
            let samples = (epochs * Double(windowsPerEpoch)).rounded(.up)
            return max(1, Int((samples / Double(loop.batchSize * loop.accumulation)).rounded(.up)))
        }
    }

    /// The learning rate of every step of a run of this many.
    public func learningRates(totalSteps: Int) -> LearningRateSchedule {
        LearningRateSchedule(
            kind: schedule.kind, peak: optimizer.learningRate, warmupSteps: min(schedule.warmupSteps, totalSteps),
            minimumRatio: schedule.minimumRatio, totalSteps: totalSteps)
    }

    /// Reads a recipe file.
    ///
    /// - Throws: `.noInput` when there is no such file, `.badData` when it is not a training recipe.
    public static func load(_ path: String) throws -> TrainingRecipe {
        try TrainingRecipe(yaml: RecipeText.read(path), source: path)
    }
}
