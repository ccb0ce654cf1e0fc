import CoppiceModels
import CoppiceTensors

/// What goes at once: weights, channels, heads, neurons.
extension Recipe {
    /// Reads `granularity` and checks what it goes with.
    static func unit(_ fields: [String: RecipeNode], _ method: PruneStage.Method) throws -> PruneStage.Unit {
        let unit = try fields["granularity"]?.word(PruneStage.Unit.self) ?? .weight
        if let field = fields["of"], try unit.goesFirst || unit == .weight && !sharesByDistortion(fields) {
            throw field.error(
                "goes with granularity filter and channel, and with allocation rate-distortion; leave it out")
        }
        guard unit != .weight, let field = fields["granularity"] else {
            if method.scoresChannelsAlone, let field = fields["method"] {
                throw field.error("\(method.rawValue) scores whole channels; set granularity to channel or filter")
            }
            if method.scoresLayersAlone, let field = fields["method"] {
                throw field.error("\(method.rawValue) scores whole layers; set granularity to layer")
            }
            return .weight
        }
        let isKnown = { (method: PruneStage.Method) -> Bool in
            if unit == .layer { return method.blockCriterion != nil }
            return unit.transformerUnits != nil
                ? method.scoresTransformerUnits : method.scoresChannels || method == .bip
        }
        guard isKnown(method) else {
            let known = PruneStage.Method.allCases.filter(isKnown).map(\.rawValue).joined(separator: ", ")
            throw field.error(
                "method \(method.rawValue) scores "
                    + (method.scoresChannels || method == .bip ? "no \(unit.rawValue)s" : "single weights")
                    + ", expected \(known)")
        }
        if method == .bip, let field = fields["of"] { throw field.error("does not go with method bip; leave it out") }
        let whole = unit.goesFirst ? "\(unit.rawValue)s" : "channels"
        let isMeasurable = unit.isOfChannels && method != .bip
        let isMeasured = try isMeasurable && sharesByDistortion(fields)
        var others = ["pattern", "group_size", "group_score", "block", "budgets", "floor_of"]
        if !isMeasured { others += ["allocation", "schedule"] }
        if unit == .layer { others += ["scope", "floor"] }
        let sharing =
            " and set scope to layer or global" + (isMeasurable ? ", or allocation to rate-distortion" : "")
        for key in others {
            guard let field = fields[key] else { continue }
            throw field.error(
                "does not go with granularity \(unit.rawValue), which removes whole \(whole); leave it out"
                    + (key == "allocation" ? sharing : ""))
        }
        return unit
    }

    /// - Throws: `.badData` for a scope or floor that whole units cannot have.
    static func checkUnit(_ stage: PruneStage, _ fields: [String: RecipeNode]) throws {
        guard stage.unit != .weight, stage.method != .bip else { return }
        if stage.scope == .row, let field = fields["scope"] {
            throw field.error(
                "rows are single outputs, expected layer or global with granularity \(stage.unit.rawValue)")
        }
        if case .count = stage.floor, let field = fields["floor"] {
            let whole = stage.unit.transformerUnits == nil ? "channels" : "\(stage.unit.rawValue)s"
            throw field.error("expected a share of the \(whole), above 0 and below 1")
        }
    }
}
