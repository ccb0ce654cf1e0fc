import CoppiceTensors

/// Levels that need not be evenly spaced: tables of 4, 8 or 16 values of 8 bits, and one f16 scale for each group of
/// inputs of a row.
public struct CodebookQuantization: Sendable, Hashable {
    /// How the values are found.
    public enum Curve: Sendable, Hashable {
        /// By clustering the weights: the least squared error that so many values can have (up to the width of a
        /// histogram's bins).
        case kMeans
        /// v(c) = sign(c) |c / m|^(1/a) with m = 2^(bits-1) - 1, for an exponent a in (0, 1]; nil: the one with the least
        /// error for the matrix. NUPES (arXiv:2308.05600) and PowerQuant (arXiv:2301.09858); a = 1 is uniform.
        case power(exponent: Double?)
    }

    /// Who has a table of his own.
    public enum Tables: String, Sendable, Hashable, CaseIterable {
        case tensor, row, group
    }

    /// 2, 3 or 4.
    public var bits: Int
    /// Inputs that share a scale: 32, 64 or a multiple of 128; nil: all of a row (per channel).
    public var groupSize: Int?
    public var curve: Curve
    public var tables: Tables
    /// Whether 0 must be one of the values, as pruned weights need. A power curve has it anyway.
    public var keepsZero: Bool

    /// - Precondition: bits, a group size and an exponent in range; one table for a power curve.
    public init(
        bits: Int, groupSize: Int? = nil, curve: Curve = .kMeans, tables: Tables = .tensor, keepsZero: Bool = false
    ) {
        precondition((2...4).contains(bits), "\(bits) bits, expected 2, 3 or 4")
        precondition(groupSize.map(PlaneCodes.supports(groupSize:)) ?? true, "groups of \(groupSize ?? 0) columns")
        if case .power(let exponent) = curve {
            precondition(tables == .tensor, "a power curve has one table")
            precondition(exponent.map { $0 > 0 && $0 <= 1 } ?? true, "exponent \(exponent ?? 0), expected 0 to 1")
        }
        self.bits = bits
        self.groupSize = groupSize
        self.curve = curve
        self.tables = tables
        self.keepsZero = keepsZero
    }
}
