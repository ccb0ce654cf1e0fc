import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

extension Recipe {
    /// Reads the options of a `prune` stage.
    ///
    /// - Throws: `.badData`, one line that names the line, the key and what was expected.
    static func pruneStage(_ node: RecipeNode, epochs: Double) throws -> PruneStage {
        let fields = try node.fields(
            [
                "method", "sparsity", "pattern", "group_size", "group_score", "block", "granularity", "of", "scope",
                "allocation", "p", "q", "floor", "floor_of", "budgets", "targets", "ignore",
            ] + rateDistortionKeys + networkKeys + layerKeys)
        guard let method = try fields["method"]?.word(PruneStage.Method.self, aliases: PruneStage.Method.aliases) else {
            let methods = PruneStage.Method.allCases.map(\.rawValue).joined(separator: ", ")
            throw node.error("the key \"method\" is missing, expected one of \(methods)")
        }
        let pattern = try self.pattern(fields, method)
        let unit = try self.unit(fields, method)
        var network = try networkPruning(fields, method: method, pattern: pattern, epochs: epochs)
        if unit != .weight, let measure = try fields["of"]?.word(ChannelMeasure.self) { network.measure = measure }
        let layers = try layerOptions(fields, unit)
        var stage = try pruneStage(node, fields, method, pattern, unit, network.schedule)
        stage.unit = unit
        stage.layers = layers
        stage.network = network
        stage.rateDistortion = try rateDistortion(fields, of: stage)
        if stage.allocation != .pqIndex, let field = fields["p"] ?? fields["q"] {
            throw field.error("goes with allocation pq-index, and into a schedule sap; leave it out")
        }
        stage.index = try index(fields)
        try checkUnit(stage, fields)
        return stage
    }

    private static func pruneStage(
        _ node: RecipeNode, _ fields: [String: RecipeNode], _ method: PruneStage.Method, _ pattern: PruneStage.Pattern,
        _ unit: PruneStage.Unit, _ schedule: NetworkPruning.Schedule
    ) throws -> PruneStage {
        let selection = try selection(fields)
        if case .adaptive = schedule {
            let others = [
                "sparsity", "pattern", "group_size", "group_score", "block", "scope", "allocation", "floor", "floor_of",
                "budgets",
            ]
            if let field = others.lazy.compactMap({ fields[$0] }).first {
                throw field.error("does not go with schedule sap, which finds what can go itself; leave it out")
            }
            return PruneStage(method: method, sparsity: 0, selection: selection)
        }
        if method == .mask {
            let others = [
                "sparsity", "pattern", "group_size", "group_score", "block", "granularity", "scope", "allocation",
                "floor",
                "floor_of", "budgets",
            ]
            if let field = others.lazy.compactMap({ fields[$0] }).first {
                throw field.error("does not go with method mask, whose masks say what goes; leave it out")
            }
            guard fields["masks"] != nil else {
                throw node.error(
                    "the key \"masks\" is missing, expected the path of a pruned network or of a mask file")
            }
            return PruneStage(method: method, sparsity: 0, selection: selection)
        }
        let sparsity = try fields["count"] == nil ? fields["sparsity"]?.number(in: 0..<1) : 0
        if case .semiStructured(let groups) = pattern {
            for key in ["scope", "allocation", "floor", "floor_of", "budgets"] {
                if let field = fields[key] {
                    throw field.error(
                        "does not go with pattern \(groups), which compares within its groups; leave it out")
                }
            }
            if let sparsity, let field = fields["sparsity"], abs(sparsity - groups.sparsity) > 1e-9 {
                throw field.error(
                    "pattern \(groups) keeps \(groups.kept) of \(groups.groupLength), expected \(groups.sparsity) "
                        + "or no sparsity, found \(sparsity)")
            }
            return PruneStage(method: method, sparsity: groups.sparsity, pattern: pattern, selection: selection)
        }
        guard let sparsity else {
            throw node.error(
                "the key \"sparsity\" is missing, expected the fraction of weights to remove, from 0 to below 1")
        }
        // Densities of layers and one threshold for all exclude each other: who asks for densities means layers.
        let asksForLayers = fields["allocation"] != nil || fields["budgets"] != nil
        let isLayers = asksForLayers && method != .wanda || unit.transformerUnits != nil
        let standard = isLayers ? .layer : PruneStage.defaultScope(method)
        let scope = try fields["scope"]?.word(PruneStage.Scope.self) ?? standard
        let allocation = try sharing(fields, method: method, scope: scope)
        let hasFloor = scope == .global || unit.isOfChannels && allocation == .rateDistortion
        return PruneStage(
            method: method, sparsity: sparsity, pattern: pattern, scope: scope, allocation: allocation,
            floor: try LayerFloor.read(fields, isGlobal: hasFloor), budgets: try budgets(fields, scope: scope),
            selection: selection)
    }

    private static func sharing(
        _ fields: [String: RecipeNode], method: PruneStage.Method, scope: PruneStage.Scope
    ) throws -> PruneStage.Sharing {
        if scope == .global, let field = fields["allocation"] {
            throw field.error(
                "does not go with scope global, which finds each layer's share by one threshold; leave it out")
        }
        if scope == .global, method == .wanda, let field = fields["scope"] {
            throw field.error(
                "wanda weighs each matrix by its own inputs and has no global threshold, expected row or layer")
        }
        guard let field = fields["allocation"] else { return .uniform }
        let allocation = try field.word(PruneStage.Sharing.self)
        if allocation == .pqIndex, method != .magnitude {
            throw field.error("pq-index is the index of magnitudes, expected method magnitude")
        }
        if allocation == .lamp, method == .wanda {
            throw field.error(
                "wanda weighs each matrix by its own inputs, and lamp compares those of all; expected uniform, erk, "
                    + "uniform+ or rate-distortion")
        }
        if allocation == .lamp, method == .grasp {
            throw field.error(
                "lamp squares scores, and those of grasp may be negative; expected uniform, erk, uniform+ or "
                    + "rate-distortion")
        }
        if method == .movement, allocation == .lamp || allocation == .rateDistortion {
            throw field.error(
                "\(allocation.rawValue) is not for scores of movement; expected uniform, erk or uniform+")
        }
        return allocation
    }

    private static func budgets(
        _ fields: [String: RecipeNode], scope: PruneStage.Scope
    ) throws -> [ExplicitAllocation.Budget] {
        guard let field = fields["budgets"] else { return [] }
        if scope == .global {
            throw field.error("does not go with scope global, which finds each layer's share itself; leave it out")
        }
        if fields["allocation"] != nil {
            throw field.error("does not go with an allocation, which finds each layer's share itself; leave it out")
        }
        let entries = try field.entries("of weight names and the fraction to remove of each")
        guard !entries.isEmpty else { throw field.error("expected weight names with fractions, found none") }
        return try entries.map { .init($0.key, sparsity: try $0.value.number(in: 0..<1)) }
    }
}
