import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// When the weights of networks in memory go.
extension Recipe {
    private enum ScheduleKind: String, CaseIterable {
        case oneShot = "one-shot"
        case gradual, iterative, dynamic, sap
    }

    static func schedule(
        _ node: RecipeNode?, _ method: PruneStage.Method, epochs: Double
    ) throws -> NetworkPruning.Schedule {
        // Synaptic flow empties layers unless it is applied in many rounds (Tanaka et al. 2020: 100).
        let rounds = method == .synflow ? 100 : 1
        guard let node else { return .oneShot(rounds: rounds) }
        let isWord = node.node.scalar != nil
        let kind: ScheduleKind
        var fields: [String: RecipeNode] = [:]
        if isWord {
            kind = try node.word(ScheduleKind.self)
        } else {
            fields = try node.fields([
                "kind", "rounds", "begin", "end", "every", "ramp", "levels", "rewind", "by", "drop", "p", "q", "eta",
                "gamma",
                "beta", "scope", "keep", "tolerance",
            ])
            guard let field = fields["kind"] else {
                let kinds = ScheduleKind.allCases.map(\.rawValue).joined(separator: ", ")
                throw node.error("the key \"kind\" is missing, expected one of \(kinds)")
            }
            kind = try field.word(ScheduleKind.self)
        }
        let known: [ScheduleKind: [String]] = [
            .oneShot: ["rounds"], .gradual: ["begin", "end", "every", "ramp"], .iterative: ["levels", "rewind"],
            .dynamic: ["by", "drop", "every", "end"],
            .sap: ["rounds", "rewind", "p", "q", "eta", "gamma", "beta", "scope", "keep", "tolerance"],
        ]
        let own = ["kind"] + (known[kind] ?? [])
        if let other = fields.first(where: { !own.contains($0.key) }) {
            throw other.value.error("has no meaning for schedule \(kind.rawValue); leave it out")
        }
        switch kind {
        case .oneShot: return .oneShot(rounds: try fields["rounds"]?.integer(in: 1...10_000) ?? rounds)
        case .gradual: return try gradual(node, fields, epochs: epochs)
        case .iterative:
            let levels = try fields["levels"]?.integer(in: 1...100) ?? 5
            return .iterative(levels: levels, rewind: try rewind(fields["rewind"], epochs: epochs))
        case .dynamic: return .dynamic(try dynamic(node, fields, epochs: epochs))
        case .sap: return .adaptive(try adaptive(fields, epochs: epochs))
        }
    }

    /// An epoch before the end of training; 0 where none is said, nil for `none`.
    private static func rewind(_ field: RecipeNode?, epochs: Double) throws -> Double? {
        guard let field else { return 0 }
        if (try? field.string()) == "none" { return nil }
        let epoch = try field.number(in: 0...1e6)
        guard epoch < epochs else {
            throw field.error("epoch \(epoch) is not before the end of training, which has \(epochs) epochs")
        }
        return epoch
    }

    private static func gradual(
        _ node: RecipeNode, _ fields: [String: RecipeNode], epochs: Double
    ) throws -> NetworkPruning.Schedule {
        let begin = try fields["begin"]?.number(in: 0...1e6) ?? 0
        // The last quarter trains what is left.
        let end = try fields["end"]?.number(in: 0...1e6) ?? max(begin, 0.75 * epochs)
        guard end > begin else {
            throw (fields["end"] ?? fields["begin"] ?? node).error(
                "the schedule ends at epoch \(end), before it starts at epoch \(begin)")
        }
        guard end <= epochs else {
            throw (fields["end"] ?? node).error(
                "the schedule ends at epoch \(end), after the \(epochs) epochs of training; raise training.epochs")
        }
        return .gradual(
            begin: begin, end: end, every: try fields["every"]?.integer(in: 1...1_000_000) ?? 20,
            ramp: try fields["ramp"]?.word(SparsityRamp.self) ?? .cubic)
    }

    private static func dynamic(
        _ node: RecipeNode, _ fields: [String: RecipeNode], epochs: Double
    ) throws -> DynamicOptions {
        var options = DynamicOptions(
            try fields["by"]?.word(DynamicOptions.Rule.self) ?? .rigl,
            end: try fields["end"]?.number(in: 0...1e6) ?? 0.75 * epochs)
        guard options.end <= epochs else {
            throw (fields["end"] ?? node).error(
                "the schedule ends at epoch \(options.end), after the \(epochs) epochs of training; raise "
                    + "training.epochs")
        }
        if let part = try fields["drop"]?.number(in: 0...1) { options.drop = part }
        if let steps = try fields["every"]?.integer(in: 1...1_000_000) { options.every = steps }
        return options
    }

    private enum KeptRound: String, CaseIterable {
        case last, best
    }

    private static func kept(_ fields: [String: RecipeNode]) throws -> AdaptiveOptions.Keep {
        let tolerance = fields["tolerance"]
        switch try fields["keep"]?.word(KeptRound.self) ?? KeptRound.last {
        case .best: return .best(tolerance: try tolerance?.number(in: 0...1) ?? 0)
        case .last:
            guard let tolerance else { return .last }
            throw tolerance.error("is of keep: best; leave it out, or say so")
        }
    }

    /// Reads `p` and `q`.
    static func index(_ fields: [String: RecipeNode]) throws -> PQIndex {
        let p = try fields["p"]?.number(in: 1e-3...64) ?? PQIndex.gentle.p
        let q = try fields["q"]?.number(in: 1e-3...64) ?? PQIndex.gentle.q
        guard p < q, let index = try? PQIndex(p: p, q: q) else {
            throw (fields["q"] ?? fields["p"]).map { $0.error("expected p below q, found p \(p) and q \(q)") }
                ?? CoppiceError(.badData, field: "p, q", "expected p below q")
        }
        return index
    }

    private static func adaptive(_ fields: [String: RecipeNode], epochs: Double) throws -> AdaptiveOptions {
        var options = AdaptiveOptions()
        if let rounds = try fields["rounds"]?.integer(in: 1...1000) { options.rounds = rounds }
        options.rewind = try rewind(fields["rewind"], epochs: epochs)
        options.index = try index(fields)
        if let scope = try fields["scope"]?.word(AdaptiveSparsity.Scope.self) { options.scope = scope }
        if let tail = try fields["eta"]?.number(in: 0...1e6) { options.tail = tail }
        if let gamma = try fields["gamma"]?.number(in: 1e-6...1e6) { options.aggressiveness = gamma }
        if let cap = try fields["beta"]?.number(in: 1e-6...1) { options.cap = cap }
        options.keep = try kept(fields)
        return options
    }

    /// What a schedule other than one-shot asks of the rest of its stage.
    static func checkSchedule(
        _ schedule: NetworkPruning.Schedule, _ field: RecipeNode, _ method: PruneStage.Method,
        _ pattern: PruneStage.Pattern
    ) throws {
        switch schedule {
        case .oneShot, .gradual, .iterative: return
        case .dynamic:
            guard pattern == .unstructured else {
                throw field.error("dynamic moves single weights, expected pattern unstructured")
            }
        case .adaptive:
            guard method == .magnitude else {
                throw field.error("sap removes the smallest weights, expected method magnitude")
            }
        }
    }
}
