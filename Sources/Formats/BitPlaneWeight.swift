import CKernels
import CoppiceTensors

/// A weight of 1- to 8-bit integers stored as bit planes, so that 3 bits take 3 bits: symmetric, with zero points, ternary,
/// or bipolar.
///
/// Products read the planes as they are. With AVX-512 VNNI and GFNI (or AVX2, for up to 8 rows) they run in integer
/// arithmetic on activations that are rounded to 8 bits; else codes become f32 panel by panel.
public struct BitPlaneWeight: WeightFormat, RowKernelWeight {
    public static let name = "bit-planes"

    public let quantization: BitPlaneQuantization
    private let planes: PlaneCodes
    /// u8 `[rows, groups]`, where asymmetric.
    private let zeros: Tensor?

    public var rows: Int { planes.rows }
    public var columns: Int { planes.columns }

    /// Rounds a matrix to codes, with scales searched for the least squared error. Where there is a code for 0, zeros stay
    /// exactly zero.
    ///
    /// - Throws: `badData` for NaN or infinity, naming the element.
    /// - Complexity: O(rows · columns), 24 to 192 evaluations of every element.
    public init(quantizing matrix: Tensor, _ quantization: BitPlaneQuantization) throws {
        precondition(matrix.rank == 2, "a weight of shape \(matrix.shape)")
        self.quantization = quantization
        (planes, zeros) = try quantization.quantize(matrix)
    }

    public init(stored: StoredWeight) throws {
        quantization = try BitPlaneQuantization(options: stored)
        planes = try PlaneCodes(stored: stored, bits: quantization.bits, groupSize: quantization.groupSize)
        zeros =
            quantization.codes == .asymmetric
            ? try stored.part("zeros", .u8, [planes.rows, planes.groupCount]) : nil
    }

    public var byteCount: Int { planes.byteCount + (zeros?.byteCount ?? 0) }
    public var label: String { quantization.label }

    private func withKernel<Result>(_ body: (UnsafePointer<coppice_plane_weight>) -> Result) -> Result {
        planes.withKernel(zero: quantization.zero, zeros: zeros, body)
    }

    func withRowKernel<Result>(for x: ActivationRows, _ body: (coppice_row_kernel) -> Result) -> Result {
        withKernel { body(coppice_plane_kernel($0, x.rows)) }
    }

    public func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        withKernel { coppice_plane_columns($0, row, 0, columns, destination) }
    }

    public func stored() -> StoredWeight {
        var parts = ["planes": planes.planes, "scales": planes.scales]
        parts["zeros"] = zeros
        return StoredWeight(
            format: Self.name, shape: [rows, columns], tensors: parts,
            options: planes.options.merging(["codes": quantization.codes.rawValue]) { $1 })
    }
}
