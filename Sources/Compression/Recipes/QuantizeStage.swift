import CoppiceFormats

/// The options of a `quantize` stage: codes of few bits, with one scale per group of inputs or per output.
public struct QuantizeStage: Sendable, Hashable {
    /// The levels that codes stand for.
    public enum Levels: Sendable, Hashable {
        /// Evenly spaced, symmetric or with a zero point.
        case uniform
        /// -1, 0 and 1 times the scale.
        case ternary
        /// Odd multiples of half a step, without a zero.
        case bipolar
        /// The best ones for the matrix, its rows or its groups.
        case kMeans(CodebookQuantization.Tables)
        /// A power curve; nil: the exponent that fits the matrix best.
        case power(exponent: Double?)
    }

    /// Bits of a code: 1 to 8.
    public var bits: Int
    /// Whether codes are symmetric around zero (no zero point). For uniform levels.
    public var isSymmetric: Bool
    /// Consecutive inputs of a row that share a scale; nil: all of the row (per channel).
    public var groupSize: Int?
    public var levels: Levels
    public var selection: WeightSelection

    public init(
        bits: Int, isSymmetric: Bool = true, groupSize: Int?, levels: Levels = .uniform,
        selection: WeightSelection = WeightSelection()
    ) {
        self.bits = bits
        self.isSymmetric = isSymmetric
        self.groupSize = groupSize
        self.levels = levels
        self.selection = selection
    }

    /// The group size when a recipe names none: a scale per row is enough for 8 bits and for what has its own table in
    /// each row; power curves are defined per row. Where a stage before prunes in groups and codes are packed, that of its
    /// groups, so that both fit one format.
    static func defaultGroupSize(bits: Int, levels: Levels, prunedGroup: Int?) -> Int? {
        switch levels {
        case .power, .kMeans(.row): nil
        case .kMeans(.group): 128
        case .uniform where bits == 4 || bits == 8: prunedGroup ?? (bits == 8 ? nil : 32)
        default: bits == 8 ? nil : 64
        }
    }

    /// Group sizes that a recipe may name; those from 32 on where codes are stored as bit planes.
    static let groupSizes = [16, 32, 64, 128, 256]

    /// Whether the format is that of integers of whole bytes or halves of them, which there is for sparse weights too.
    var isPacked: Bool { levels == .uniform && (bits == 4 || bits == 8) }

    /// The quantization of bit planes; nil for other formats.
    var bitPlanes: BitPlaneQuantization? {
        switch levels {
        case .uniform:
            isPacked
                ? nil
                : BitPlaneQuantization(bits: bits, groupSize: groupSize, codes: isSymmetric ? .symmetric : .asymmetric)
        case .ternary: .ternary(groupSize: groupSize)
        case .bipolar: BitPlaneQuantization(bits: bits, groupSize: groupSize, codes: .bipolar)
        case .kMeans, .power: nil
        }
    }

    /// The codebook; nil for other formats.
    func codebook(keepsZero: Bool) -> CodebookQuantization? {
        switch levels {
        case .kMeans(let tables):
            CodebookQuantization(bits: bits, groupSize: groupSize, tables: tables, keepsZero: keepsZero)
        case .power(let exponent):
            CodebookQuantization(bits: bits, groupSize: groupSize, curve: .power(exponent: exponent))
        default: nil
        }
    }

    /// The options as a recipe would have them.
    var options: [String] {
        var options: [String]
        switch levels {
        case .uniform: options = ["bits: \(bits)", "symmetric: \(isSymmetric)"]
        case .ternary: options = ["bits: ternary"]
        case .bipolar: options = ["bits: \(bits)", "scheme: bipolar"]
        case .kMeans(let tables): options = ["bits: \(bits)", "codebook: k-means", "tables: \(tables)"]
        case .power(let exponent):
            options = ["bits: \(bits)", "codebook: power", "exponent: \(exponent.map { "\($0)" } ?? "search")"]
        }
        return options + ["group_size: \(groupSize.map(String.init) ?? "channel")"]
    }
}
