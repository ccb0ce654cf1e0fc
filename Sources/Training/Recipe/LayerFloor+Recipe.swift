import CoppiceModels
import CoppiceNetworks

extension LayerFloor {
    /// What a share is of.
    private enum Unit: String, CaseIterable {
        case layer, model
    }

    /// The floor of a recipe's section by its keys `floor` and `floor_of`: a whole number keeps so many weights of each
    /// matrix, a number below one a share.
    ///
    /// - Parameter isGlobal: whether one threshold is for all matrices, without which there is no need of a floor.
    /// - Returns: nil where the section has none.
    package static func read(_ fields: [String: RecipeNode], isGlobal: Bool) throws -> LayerFloor? {
        for key in ["floor", "floor_of"] where !isGlobal {
            if let field = fields[key] { throw field.error("goes with scope global alone; leave it out") }
        }
        let unit = try fields["floor_of"]?.word(Unit.self)
        guard let field = fields["floor"] else {
            if let field = fields["floor_of"] { throw field.error("goes with floor alone; leave it out") }
            return nil
        }
        let text = try field.string("a count from 1, or a share above 0 and below 1")
        if let count = Int(text), count > 0 {
            if let field = fields["floor_of"] {
                throw field.error("goes with a floor that is a share, and \(count) is a count; leave it out")
            }
            return .count(try field.integer(in: 1...Int.max))
        }
        guard let share = Double(text), share > 0, share < 1 else {
            throw field.error("expected a count from 1, or a share above 0 and below 1, found \(text.prefix(40))")
        }
        return unit == .model ? .shareOfAll(share) : .share(share)
    }
}
