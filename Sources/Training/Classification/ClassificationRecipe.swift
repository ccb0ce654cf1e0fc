import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// A training run of a network that classifies images, as a value.
///
/// Written in YAML:
/// ```yaml
/// seed: 1
/// model: { architecture: resnet20 }
/// images: { directory: cifar10, validation: 0.1, augmentation: standard }
/// optimizer: { kind: sgd, learning_rate: 0.1, weight_decay: 5.0e-4 }
/// schedule: { kind: cosine, warmup_epochs: 1 }
/// training: { batch_size: 128, epochs: 60 }
/// ```
/// `docs/training.md` lists every key.
public struct ClassificationRecipe: Sendable, Hashable {
    /// The network.
    public struct Model: Sendable, Hashable {
        /// A name that ``VisionArchitecture`` knows; empty for that of ``weights``.
        public var architecture = ""
        /// What the architecture's widths are multiplied by; nil for its own.
        public var widthMultiplier: Double?
        /// Steps in which a recurrent network reads each image; nil for one of each row.
        public var sequenceLength: Int?
        /// A trained network to go on from, of the same architecture; nil for random weights.
        public var weights: String?
    }

    /// What is trained on.
    public struct Images: Sendable, Hashable {
        /// How bytes become numbers.
        public enum Normalization: String, Sendable, Hashable, CaseIterable {
            /// As is usual for the data set.
            case standard
            /// By the mean and deviation of the training images.
            case computed
        }

        /// What the network is validated on.
        public enum Validation: Sendable, Hashable {
            case none
            /// A part of the training images, held out of each class.
            case heldOut(Double)
            /// The test images.
            case test
        }

        public var directory = ""
        public var normalization = Normalization.standard
        public var validation = Validation.heldOut(0.1)
        public var augmentation = ImageAugmentation.none
    }

    /// The rule of the updates.
    public struct Update: Sendable, Hashable {
        public enum Kind: String, Sendable, Hashable, CaseIterable {
            case sgd, adamw, mfac
        }

        public var kind = Kind.sgd
        public var learningRate = 0.1
        /// Of SGD and M-FAC.
        public var momentum = 0.9
        /// Of SGD: whether it looks ahead.
        public var nesterov = false
        /// Of AdamW.
        public var (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8)
        /// Of M-FAC.
        public var fisherWindow = FisherWindowOptions()
        public var weightDecay = 5e-4
        public var decay = SupervisedTraining.Decay.all
        /// Gradients are scaled down to this global norm; nil: not clipped.
        public var clipNorm: Double?

        public static func == (a: Update, b: Update) -> Bool {
            a.kind == b.kind && a.fisherWindow == b.fisherWindow && a.key == b.key
        }
        public func hash(into hasher: inout Hasher) { hasher.combine(key) }
        private var key: [Double] {
            [
                learningRate, momentum, nesterov ? 1 : 0, beta1, beta2, epsilon, weightDecay, decay == .all ? 0 : 1,
                clipNorm ?? -1,
            ]
        }

        var optimizer: any Optimizer {
            switch kind {
            case .sgd: SGD(momentum: momentum, weightDecay: weightDecay, looksAhead: nesterov)
            case .adamw: AdamW(beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: weightDecay)
            case .mfac: fisherWindow.optimizer(momentum: momentum, weightDecay: weightDecay)
            }
        }
    }

    /// The shape of the learning rate over the run.
    public struct Schedule: Sendable, Hashable {
        public var kind = LearningRateSchedule.Kind.cosine
        public var warmupEpochs = 0.0
        public var minimumRatio = 0.0
        /// Of `.step`: where the rate drops, as parts of the run.
        public var drops = [0.5, 0.75]
        /// Of `.step`: what each drop multiplies the rate by.
        public var dropFactor = 0.1
    }

    /// The loop.
    public struct Loop: Sendable, Hashable {
        /// Images of a step.
        public var batchSize = 128
        /// Passes over the training images.
        public var epochs = 10.0
        /// Epochs between validations, each with a checkpoint.
        public var validateEvery = 1.0
        /// Steps between lines of the log.
        public var logEvery = 50
        /// Validations without a new best after which training stops; nil: never.
        public var patience: Int?
        /// The part of a target's weight that goes to all classes alike.
        public var labelSmoothing = 0.0
        /// What matrix products and convolutions round their operands to.
        public var precision = OperandPrecision.f32
        /// λ of the penalty on the scales of batch normalizations (``ScaleSparsity``); 0: none.
        public var scaleSparsity = 0.0
    }

    public var name: String?
    /// Everything random follows from it.
    public var seed: UInt64 = 42
    public var model = Model()
    public var images = Images()
    public var optimizer = Update()
    public var schedule = Schedule()
    public var loop = Loop()
    /// Nil where the network is trained as it is.
    public var gates: Gates?
    /// The YAML that the recipe was read from; empty for one made in code.
    public private(set) var text: String
    /// Where it was read from, for error messages.
    public private(set) var source: String

    /// A recipe with the default of every option, no architecture and no images.
    public init(text: String = "", source: String = "recipe") {
        self.text = text
        self.source = source
    }

    /// Whether two recipes give the same network on the same images.
    func isSameTraining(as other: ClassificationRecipe) -> Bool {
        trainingFields.map(\.value) == other.trainingFields.map(\.value)
    }

    /// The settings of the loop for a number of training images.
    package func training(images: Int) -> SupervisedTraining {
        let steps = { (epochs: Double) in Int((epochs * Double(images) / Double(loop.batchSize)).rounded(.up)) }
        let total = max(1, steps(loop.epochs))
        var rates = LearningRateSchedule(
            kind: schedule.kind, peak: optimizer.learningRate, warmupSteps: min(steps(schedule.warmupEpochs), total),
            minimumRatio: schedule.minimumRatio, totalSteps: total)
        (rates.drops, rates.dropFactor) = (schedule.drops, schedule.dropFactor)
        var training = SupervisedTraining(optimizer: optimizer.optimizer, rates: rates)
        training.decay = optimizer.decay
        training.clipNorm = optimizer.clipNorm
        training.labelSmoothing = loop.labelSmoothing
        training.precision = loop.precision
        training.scaleSparsity = loop.scaleSparsity
        return training
    }

    /// - Parameter source: the recipe's file.
    /// - Throws: `.badData` where scales of batch normalizations are penalized and a network has none.
    package func checkScales(of network: Module, source: String) throws {
        guard loop.scaleSparsity > 0, ScaleSparsity.names(in: network).isEmpty else { return }
        throw CoppiceError(
            .badData, source: source, field: "training.bn_scale_l1",
            "is of batch normalizations, and the network has none; leave it out")
    }
}

/// A training recipe of either kind.
public enum AnyTrainingRecipe: Sendable, Hashable {
    case languageModel(TrainingRecipe)
    case classification(ClassificationRecipe)

    /// Reads a recipe file: one with the key `images` or the name of an architecture trains a network that classifies
    /// images or series, any other a language model.
    ///
    /// - Throws: `.noInput` when there is no such file, `.badData` when it is not a training recipe.
    public static func load(_ path: String) throws -> AnyTrainingRecipe {
        let text = try RecipeText.read(path)
        let root = try RecipeText.parse(
            text, source: path, expected: "a training recipe with \"model\" and \"data\" or \"images\"")
        if root.value("images") != nil || root.value("model")?.value("architecture") != nil {
            return .classification(try ClassificationRecipe(yaml: text, source: path))
        }
        return .languageModel(try TrainingRecipe(yaml: text, source: path))
    }
}
