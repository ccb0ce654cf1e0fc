import CoppiceModels
import CoppiceTensors

/// The options of methods that learn their masks from images: `searched`, `bip` and `movement`.
extension Recipe {
    static let learnedMaskKeys = [
        "init", "rates", "restrict", "epochs", "then_train", "mask_learning_rate", "gamma", "lower_steps", "implicit",
        "score_scale",
    ]

    /// Reads them.
    static func learnedMasks(
        _ fields: [String: RecipeNode], method: PruneStage.Method, pattern: PruneStage.Pattern,
        into options: inout NetworkPruning
    ) throws {
        try refuse(
            fields, ["init", "rates", "restrict", "epochs", "then_train"], unless: method == .searched, "searched")
        try refuse(fields, ["gamma", "lower_steps", "implicit", "score_scale"], unless: method == .bip, "bip")
        try refuse(
            fields, ["mask_learning_rate"], unless: method == .searched || method == .bip, "searched and bip")
        switch method {
        case .searched: options.search = try search(fields)
        case .bip: options.bilevel = try bilevel(fields)
        case .movement:
            if case .semiStructured(let groups) = pattern, let field = fields["pattern"] {
                throw field.error("\(groups) fixes the sparsity, and movement ramps it up; expected another pattern")
            }
            guard case .gradual = options.schedule else {
                throw (fields["schedule"] ?? fields["method"]).map {
                    $0.error("movement prunes while the network trains, expected schedule gradual")
                } ?? CoppiceError(.badData, field: "schedule", "expected gradual")
            }
            return
        default: return
        }
        let others = ["schedule", "scope", "allocation", "floor", "floor_of", "budgets", "pattern"]
        if let field = others.lazy.compactMap({ fields[$0] }).first {
            throw field.error(
                method == .searched
                    ? "does not go with method searched, whose rates say who loses how much; leave it out"
                    : "does not go with method bip, which learns what goes; leave it out")
        }
        if method == .searched, let field = fields["recovery"] {
            throw field.error("method searched leaves weights as they are; then_train trains them afterwards")
        }
    }

    private static func search(_ fields: [String: RecipeNode]) throws -> SearchOptions {
        var options = SearchOptions()
        if let field = fields["init"] {
            let method = try field.word(PruneStage.Method.self)
            let isKnown = method.prunesNetworks && !method.learnsMasks && !method.scoresChannelsAlone && method != .mask
            guard isKnown else {
                let known = PruneStage.Method.allCases.filter {
                    $0.prunesNetworks && !$0.learnsMasks && !$0.scoresChannelsAlone && $0 != .mask
                }
                throw field.error("expected one of \(known.map(\.rawValue).joined(separator: ", "))")
            }
            options.start = method == .random ? .random : .criterion(method)
        }
        if let rates = try fields["rates"]?.word(SearchOptions.Rates.self) { options.rates = rates }
        if let word = try fields["restrict"]?.word(MaskSearch.Restriction.self) { options.restriction = word }
        options.epochs = try fields["epochs"]?.number(in: 1e-6...1e6)
        if let epochs = try fields["then_train"]?.number(in: 0...1e6) { options.trainingEpochs = epochs }
        if let rate = try fields["mask_learning_rate"]?.number(in: 0...1e6) { options.learningRate = rate }
        return options
    }

    private static func bilevel(_ fields: [String: RecipeNode]) throws -> BilevelOptions {
        var options = BilevelOptions()
        if let rate = try fields["mask_learning_rate"]?.number(in: 0...1e6) { options.maskRate = rate }
        if let gamma = try fields["gamma"]?.number(in: 1e-9...1e9) { options.regularization = gamma }
        if let steps = try fields["lower_steps"]?.integer(in: 0...1000) { options.lowerSteps = steps }
        if let word = try fields["implicit"]?.word(BilevelPruning.ImplicitGradient.self) {
            options.implicitGradient = word
        }
        if let field = fields["score_scale"] {
            options.scoreScale = try field.word(BilevelPruning.ScoreScale.self)
            let unit = try fields["granularity"]?.word(PruneStage.Unit.self) ?? .weight
            if options.scoreScale == .layer, unit != .weight {
                throw field.error(
                    "layer is of single weights: each \(unit.rawValue) is compared with those of its group alone; "
                        + "leave it out")
            }
        }
        return options
    }

    static func sharesByDistortion(_ fields: [String: RecipeNode]) throws -> Bool {
        try fields["allocation"]?.word(PruneStage.Sharing.self) == .rateDistortion
    }
}
