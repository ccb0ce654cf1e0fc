import CKernels
import CoppiceTensors

/// Evenly spaced levels of any width, with one f16 scale for each group of inputs of a row.
public struct BitPlaneQuantization: Sendable, Hashable {
    /// What codes stand for.
    public enum Codes: String, Sendable, Hashable, CaseIterable {
        /// w = (code - 2^(bits-1)) · scale; a negative scale turns the longer side of the range upwards.
        case symmetric
        /// w = (code - zero) · scale with a zero point for each group.
        case asymmetric
        /// w = (code - 1) · scale with codes 0, 1, 2, in two bits.
        case ternary
        /// w = (2 code - (2^bits - 1)) · scale / 2: odd multiples of half a step, none of them 0, every plane ±1
        /// ("bipolar-INT": Efficient Arbitrary Precision Acceleration for Large Language Models on GPU Tensor Cores,
        /// arXiv:2409.17870, section 3).
        case bipolar
    }

    /// Bits of a code: 2 to 8, or 1 if bipolar; 2 if ternary.
    public var bits: Int
    /// Inputs that share a scale: 32, 64 or a multiple of 128; nil: all of a row (per channel).
    public var groupSize: Int?
    public var codes: Codes

    /// - Precondition: bits and a group size that the codes allow.
    public init(bits: Int, groupSize: Int? = nil, codes: Codes = .symmetric) {
        precondition(Self.bits(of: codes).contains(bits), "\(bits) bits for \(codes) codes")
        precondition(groupSize.map(Self.supports(groupSize:)) ?? true, "groups of \(groupSize ?? 0) columns")
        self.bits = bits
        self.groupSize = groupSize
        self.codes = codes
    }

    /// Ternary codes.
    public static func ternary(groupSize: Int? = nil) -> BitPlaneQuantization {
        BitPlaneQuantization(bits: 2, groupSize: groupSize, codes: .ternary)
    }

    /// Whether rows can be cut into groups of so many inputs. The last group of a row may be shorter.
    public static func supports(groupSize: Int) -> Bool { PlaneCodes.supports(groupSize: groupSize) }

    static func bits(of codes: Codes) -> ClosedRange<Int> {
        switch codes {
        case .symmetric, .asymmetric: 2...8
        case .ternary: 2...2
        case .bipolar: 1...8
        }
    }

    /// "int3-group128", "ternary", "bipolar2-group64", with "-asymmetric" where so.
    public var label: String {
        let name =
            switch codes {
            case .symmetric, .asymmetric: "int\(bits)"
            case .ternary: "ternary"
            case .bipolar: "bipolar\(bits)"
            }
        return name + (groupSize.map { "-group\($0)" } ?? "") + (codes == .asymmetric ? "-asymmetric" : "")
    }

    /// The largest code.
    var top: Int { codes == .ternary ? 2 : 1 << bits - 1 }

    /// The code of 0, which bipolar codes have between two; with zero points, not used.
    var zero: Float {
        switch codes {
        case .symmetric: Float(1 << (bits - 1))
        case .asymmetric: 0
        case .ternary: 1
        case .bipolar: Float(1 << bits - 1) / 2
        }
    }

    /// Searches the scales and rounds to the nearest codes.
    ///
    /// - Throws: `badData` for NaN, infinity, or values that no scale in f16 reaches.
    func quantize(_ matrix: Tensor) throws -> (codes: PlaneCodes, zeros: Tensor?) {
        let x = matrix.converted(to: .f32).contiguous()
        try IntegerQuantization.requireFinite(x)
        let (rows, columns) = (x.shape[0], x.shape[1])
        let groups = PlaneCodes.groupCount(groupSize, columns: columns)
        let found = Tensor(uninitialized: [rows, columns], dataType: .u8)
        let scales = Tensor(uninitialized: [rows, groups], dataType: .f16)
        let zeros = codes == .asymmetric ? Tensor(uninitialized: [rows, groups], dataType: .u8) : nil
        var grid = coppice_grid(top: Int32(top), zero: zero, own_zeros: zeros == nil ? 0 : 1)
        let failed = withExtendedLifetime((x.storage, found.storage, scales.storage, zeros?.storage)) {
            coppice_quantize_grid(
                x.basePointer.assumingMemoryBound(to: Float.self), rows, columns, &grid,
                PlaneCodes.groupLength(groupSize, columns: columns),
                found.basePointer.assumingMemoryBound(to: UInt8.self), scales.basePointer,
                zeros?.basePointer.assumingMemoryBound(to: UInt8.self))
        }
        guard failed < 0 else {
            throw CoppiceError(.badData, field: "row \(failed)", "has values too large for an f16 scale")
        }
        return (PlaneCodes(packing: found, bits: bits, groupSize: groupSize, scales: scales), zeros)
    }

    init(options stored: StoredWeight) throws {
        let name = try stored.option("codes", oneOf: Codes.allCases.map(\.rawValue))
        let codes = Codes(rawValue: name) ?? .symmetric
        self.init(
            bits: try stored.integerOption("bits", in: Self.bits(of: codes)),
            groupSize: try PlaneCodes.groupSize(stored: stored), codes: codes)
    }
}
