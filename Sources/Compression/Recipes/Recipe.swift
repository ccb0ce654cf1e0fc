import CoppiceModels
import CoppiceTensors

/// A compression as a value: what is done to which weights, in which order, with which seed.
///
/// Written in YAML:
/// ```yaml
/// seed: 42
/// calibration: { samples: 64, sequence_length: 256 }
/// stages:
///   - prune: { method: wanda, pattern: "2:4" }
///   - quantize: { bits: 8 }
/// ```
/// `docs/recipes.md` lists every key.
public struct Recipe: Sendable, Hashable {
    /// One step.
    public enum Stage: Sendable, Hashable {
        case prune(PruneStage)
        case quantize(QuantizeStage)
        case lowRank(LowRankStage)

        /// The key that the stage has in a recipe.
        public var name: String {
            switch self {
            case .prune: "prune"
            case .quantize: "quantize"
            case .lowRank: "low-rank"
            }
        }

        /// The matrices that the stage works on.
        public var selection: WeightSelection {
            switch self {
            case .prune(let stage): stage.selection
            case .quantize(let stage): stage.selection
            case .lowRank(let stage): stage.selection
            }
        }
    }

    /// How calibration text is cut.
    public struct Calibration: Sendable, Hashable {
        /// Number of windows.
        public var samples: Int
        /// Tokens in each.
        public var sequenceLength: Int

        public init(samples: Int = 128, sequenceLength: Int = 512) {
            self.samples = samples
            self.sequenceLength = sequenceLength
        }
    }

    /// A title, for reports.
    public var name: String?
    /// Everything random follows from it.
    public var seed: UInt64
    public var calibration: Calibration
    public var stages: [Stage]
    /// What formats are chosen for where stages leave a choice.
    public var preference: FormatPlanner.Preference
    /// The YAML that the recipe was read from.
    public let text: String
    /// Where it was read from, for error messages.
    public let source: String

    init(
        name: String?, seed: UInt64, calibration: Calibration, stages: [Stage], preference: FormatPlanner.Preference,
        text: String, source: String
    ) {
        self.name = name
        self.seed = seed
        self.calibration = calibration
        self.stages = stages
        self.preference = preference
        self.text = text
        self.source = source
    }

    /// SHA-256 of the text, in hexadecimal: what `sha256sum` prints for the recipe file.
    public var hash: String { SHA256.hexadecimal(text.utf8) }

    /// Whether some stage needs a calibration text.
    public var needsCalibration: Bool {
        stages.contains { stage in
            if case .prune(let prune) = stage { return prune.method == .wanda }
            return false
        }
    }

    /// Reads a recipe file.
    ///
    /// - Throws: `.noInput` when there is no such file, `.badData` when it is not a recipe.
    public static func load(_ path: String) throws -> Recipe {
        try Recipe(yaml: RecipeText.read(path), source: path)
    }
}
