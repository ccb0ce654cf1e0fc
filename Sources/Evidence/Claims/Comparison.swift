/// A measured number held against a bound: the smallest part of a claim.
public struct Comparison: Sendable, Hashable {
    /// How the measured number must stand to the bound.
    public enum Relation: String, Sendable, Hashable, CaseIterable {
        case atLeast = "≥"
        case atMost = "≤"
        case above = ">"
        case below = "<"
        case equal = "="
    }

    /// What was measured, such as "slope after the knee / slope before it".
    public var quantity: String
    public var value: Double
    public var relation: Relation
    public var bound: Double
    /// The unit of value and bound; empty for plain numbers.
    public var unit: String

    public init(_ quantity: String, _ value: Double, _ relation: Relation, _ bound: Double, unit: String = "") {
        self.quantity = quantity
        self.value = value
        self.relation = relation
        self.bound = bound
        self.unit = unit
    }

    /// Whether the relation is true. False for a number that is not one (NaN).
    public var holds: Bool {
        switch relation {
        case .atLeast: value >= bound
        case .atMost: value <= bound
        case .above: value > bound
        case .below: value < bound
        case .equal: value == bound
        }
    }

    /// `quantity: value unit (required: ≥ bound)`.
    public var description: String {
        let unit = unit.isEmpty ? "" : " \(unit)"
        let shown = value == .infinity ? "∞" : MarkupText.number(value)
        return "\(quantity): \(shown)\(unit) (required: \(relation.rawValue) \(MarkupText.number(bound))\(unit))"
    }
}
