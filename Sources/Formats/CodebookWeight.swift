import CKernels
import CoppiceTensors

/// A weight of 2- to 4-bit codes that are looked up in tables: w = table[code] · scale, with values of 8 bits.
///
/// Rounding a table's ideal values to 8 bits moves them by at most 1/254 of the largest one. Everything after that is exact:
/// products look the values up in registers and run as those of ``BitPlaneWeight``.
public struct CodebookWeight: WeightFormat, RowKernelWeight {
    public static let name = "codebook"

    /// Who has a table of his own.
    public let tables: CodebookQuantization.Tables
    /// `"k-means"`, `"power"`, or what else the checkpoint says.
    public let curve: String
    /// The exponent of a power curve.
    public let exponent: Double?
    private let planes: PlaneCodes
    /// i8 `[tables, 2^bits]`.
    private let values: Tensor

    public var rows: Int { planes.rows }
    public var columns: Int { planes.columns }
    /// Bits of a code.
    public var bits: Int { planes.bits }
    /// Inputs that share a scale; nil: all of a row.
    public var groupSize: Int? { planes.groupSize }

    /// Finds tables and scales for a matrix, and the nearest value for each entry.
    ///
    /// - Throws: `badData` for NaN or infinity, naming the element, and for values that no scale in f16 reaches.
    /// - Complexity: O(rows · columns · 2^bits), and O(2^bits · bins · log bins) for each table.
    public init(quantizing matrix: Tensor, _ quantization: CodebookQuantization) throws {
        precondition(matrix.rank == 2, "a weight of shape \(matrix.shape)")
        let search = try CodebookSearch(matrix, groupSize: quantization.groupSize)
        let found: CodebookSearch.Tables
        switch quantization.curve {
        case .kMeans:
            found = search.means(
                bits: quantization.bits, tables: quantization.tables, keepsZero: quantization.keepsZero)
            (curve, exponent) = ("k-means", nil)
        case .power(let given):
            let chosen = given ?? search.bestExponent(bits: quantization.bits)
            found = PowerCurve(bits: quantization.bits, exponent: chosen).table
            (curve, exponent) = ("power", chosen)
        }
        tables = quantization.tables
        values = found.values
        planes = try search.codes(found, bits: quantization.bits, tables: quantization.tables)
    }

    public init(stored: StoredWeight) throws {
        let name = try stored.option("tables", oneOf: CodebookQuantization.Tables.allCases.map(\.rawValue))
        tables = CodebookQuantization.Tables(rawValue: name) ?? .tensor
        planes = try PlaneCodes(
            stored: stored, bits: try stored.integerOption("bits", in: 2...4),
            groupSize: try PlaneCodes.groupSize(stored: stored))
        curve = try stored.option("curve", oneOf: ["k-means", "power"])
        if let text = stored.options["exponent"] {
            guard let value = Double(text), value > 0, value <= 1 else {
                throw stored.failure("options.exponent", "expected a number above 0, at most 1, found \"\(text)\"")
            }
            exponent = value
        } else {
            exponent = nil
        }
        values = try stored.part(
            "values", .i8, [Self.count(tables, rows: planes.rows, groups: planes.groupCount), 1 << planes.bits])
    }

    static func count(_ tables: CodebookQuantization.Tables, rows: Int, groups: Int) -> Int {
        switch tables {
        case .tensor: 1
        case .row: rows
        case .group: rows * groups
        }
    }

    public var byteCount: Int { planes.byteCount + values.byteCount }

    /// "kmeans4", "kmeans3-group64-tables-group", "power4-group128".
    public var label: String {
        (curve == "power" ? "power" : "kmeans") + "\(bits)" + (groupSize.map { "-group\($0)" } ?? "")
            + (tables == .tensor ? "" : "-\(tables.rawValue)-tables")
    }

    private func withKernel<Result>(_ body: (UnsafePointer<coppice_plane_weight>) -> Result) -> Result {
        let strides = Self.strides(tables, groups: planes.groupCount)
        return planes.withKernel(zero: 128, tables: (values, strides.row, strides.group), body)
    }

    static func strides(_ tables: CodebookQuantization.Tables, groups: Int) -> (row: Int, group: Int) {
        switch tables {
        case .tensor: (0, 0)
        case .row: (1, 0)
        case .group: (groups, 1)
        }
    }

    func withRowKernel<Result>(for x: ActivationRows, _ body: (coppice_row_kernel) -> Result) -> Result {
        withKernel { body(coppice_plane_kernel($0, x.rows)) }
    }

    public func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        withKernel { coppice_plane_columns($0, row, 0, columns, destination) }
    }

    public func stored() -> StoredWeight {
        var options = planes.options
        options["tables"] = tables.rawValue
        options["curve"] = curve
        options["exponent"] = exponent.map { "\($0)" }
        return StoredWeight(
            format: Self.name, shape: [rows, columns],
            tensors: ["planes": planes.planes, "scales": planes.scales, "values": values], options: options)
    }
}
