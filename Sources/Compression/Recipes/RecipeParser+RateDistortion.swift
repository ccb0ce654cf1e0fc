import CoppiceModels
import CoppiceTensors

/// The options of the allocation `rate-distortion`.
extension Recipe {
    static let rateDistortionKeys = ["curves", "solver", "buckets"] + measuringKeys
    /// What curves are measured by; a file of curves has them measured.
    private static let measuringKeys = ["grid", "samples", "distortion", "calibration"]

    private enum SolverName: String, CaseIterable {
        case exact, buckets, lagrangian
    }

    /// Reads them, and refuses what the allocation does not go with.
    static func rateDistortion(
        _ fields: [String: RecipeNode], of stage: PruneStage
    ) throws -> RateDistortionOptions {
        var options = RateDistortionOptions()
        guard stage.allocation == .rateDistortion, let own = fields["allocation"] else {
            if let field = rateDistortionKeys.lazy.compactMap({ fields[$0] }).first {
                throw field.error("goes with allocation rate-distortion alone; leave it out")
            }
            return options
        }
        guard stage.pattern == .unstructured else {
            throw own.error("rate-distortion shares out single weights, expected pattern unstructured")
        }
        if stage.unit.isOfChannels {
            try checkChannels(fields, of: stage)
        } else {
            options.countsMultiplications = try countsMultiplications(fields, of: stage, own)
        }
        options.curves = try curves(fields, of: stage)
        options.grid = try fields["grid"]?.integer(in: 1...1000)
        options.samples = try fields["samples"]?.integer(in: 1...1_000_000)
        if let word = try fields["distortion"]?.word(OutputDistortion.self) { options.distortion = word }
        if let word = try fields["calibration"]?.word(RateDistortionOptions.Calibration.self) {
            options.calibration = word
        }
        switch try fields["solver"]?.word(SolverName.self) ?? .buckets {
        case .exact: options.solver = .exact
        case .buckets: break
        case .lagrangian: options.solver = .lagrangian
        }
        if let field = fields["buckets"] {
            guard case .buckets = options.solver else {
                throw field.error("goes with solver buckets alone; leave it out")
            }
            options.solver = .buckets(try field.integer(in: 1...(1 << 20)))
        }
        return options
    }

    /// What single weights are allocated by: whether a sparsity is of multiplications.
    private static func countsMultiplications(
        _ fields: [String: RecipeNode], of stage: PruneStage, _ own: RecipeNode
    ) throws -> Bool {
        switch stage.network.schedule {
        case .oneShot, .iterative: break
        default: throw own.error("rate-distortion measures before it prunes, expected schedule one-shot or iterative")
        }
        switch try fields["of"]?.word(ChannelMeasure.self) {
        case .parameters, nil: return false
        case .multiplications:
            if stage.network.recovery == .surgeon {
                throw own.error("the recovery surgeon counts weights, expected another one with of: multiplications")
            }
            return true
        case .channels:
            throw (fields["of"] ?? own).error(
                "expected parameters or multiplications: rate-distortion removes single weights, and whole channels "
                    + "with granularity channel or filter")
        }
    }

    /// Refuses what whole channels are not allocated by.
    private static func checkChannels(_ fields: [String: RecipeNode], of stage: PruneStage) throws {
        if let field = fields["schedule"] {
            guard case .oneShot = stage.network.schedule else {
                throw field.error("whole \(stage.unit.rawValue)s go in rounds, expected schedule one-shot")
            }
        }
        if let field = fields["curves"] {
            throw field.error(
                "curves of a file are of single weights, those of \(stage.unit.rawValue)s are measured; leave it out")
        }
    }

    /// The file of curves.
    private static func curves(_ fields: [String: RecipeNode], of stage: PruneStage) throws -> String? {
        guard let field = fields["curves"] else { return nil }
        if let other = measuringKeys.lazy.compactMap({ fields[$0] }).first {
            throw other.error("is what curves are measured by, and those of a file are; leave it out")
        }
        switch stage.network.schedule {
        // The surgeon shares a sparsity out once, whatever its rounds.
        case .oneShot(let rounds) where rounds == 1 || stage.network.recovery == .surgeon: break
        default:
            throw field.error(
                "curves of a file are those of the model as it comes, expected schedule one-shot with one round")
        }
        return try field.string("the path of a file that analyze curves wrote")
    }
}
