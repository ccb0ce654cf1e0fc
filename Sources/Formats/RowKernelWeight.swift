import CKernels
import CoppiceTensors

/// A weight that a kernel multiplies row by row, so that several weights can share a pass over the same activations.
protocol RowKernelWeight: WeightFormat {
    /// Calls `body` with the kernel for such activations, which is valid until `body` returns.
    func withRowKernel<Result>(for x: ActivationRows, _ body: (coppice_row_kernel) -> Result) -> Result
}

extension RowKernelWeight {
    public func multiply(_ x: ActivationRows, into y: OutputRows) {
        checkShapes(x, y)
        withRowKernel(for: x) { kernel in
            withUnsafePointer(to: kernel) { kernels in
                withUnsafePointer(to: coppice_output(ProductOutput(y))) { outputs in
                    multiplyKernels(kernels, outputs, count: 1, x)
                }
            }
        }
    }
}

/// Weights that multiply the same activations, as a decoder's queries, keys and values do, or its gate and up: the
/// activations are rounded once and all products are computed in one go.
///
/// ```swift
/// WeightGroup([query, key, value]).multiply(x, into: [q, k, v])
/// ```
public struct WeightGroup: Sendable {
    public let weights: [any WeightFormat]
    private let kernels: KernelTable
    private let together: [Member]
    private let alone: [Int]

    private struct Member {
        let index: Int
        let weight: any RowKernelWeight
        /// The table's word for the weight.
        let fewRows: Int?
    }

    /// - Precondition: one to eight weights with the same number of columns.
    public init(_ weights: [any WeightFormat], kernels: KernelTable = .standard) {
        precondition(weights.allSatisfy { $0.columns == weights[0].columns }, "weights of several widths")
        precondition(weights.count <= Int(COPPICE_MOST_PRODUCTS), "\(weights.count) weights at once")
        self.weights = weights
        self.kernels = kernels
        var together: [Member] = []
        var alone: [Int] = []
        for (index, weight) in weights.enumerated() {
            if let weight = weight as? any RowKernelWeight {
                together.append(Member(index: index, weight: weight, fewRows: kernels.fewRows[weight.label]))
            } else {
                alone.append(index)
            }
        }
        self.together = together
        self.alone = alone
    }

    /// Writes x Wᵀ for each weight; the same numbers as ``WeightFormat/multiply(_:into:)`` of each.
    ///
    /// - Parameter outputs: one for each weight, of its shape.
    public func multiply(_ x: ActivationRows, into outputs: [OutputRows]) {
        multiply(x, into: outputs.map { ProductOutput($0) })
    }

    /// Writes x Wᵀ for each weight, adds its bias and combines it: to the bit what doing so afterwards, in order, would
    /// give.
    ///
    /// - Parameter outputs: one for each weight, of its shape. What one is combined with is either the output just before
    ///   it, which is combined with nothing, or memory that no other output touches.
    public func multiply(_ x: ActivationRows, into outputs: [ProductOutput]) {
        precondition(outputs.count == weights.count, "\(outputs.count) outputs for \(weights.count) weights")
        for (weight, output) in zip(weights, outputs) {
            weight.checkShapes(x, output.rows)
            if let target = output.target { weight.checkShapes(x, target) }
        }
        guard !alone.isEmpty else { return multiplyTogether(x, outputs) }
        // Who is combined with whom may be on either side: everything is finished when all products are there.
        for index in alone { weights[index].multiply(x, into: outputs[index].rows) }
        multiplyTogether(x, outputs.map { ProductOutput($0.rows) })
        for output in outputs {
            withUnsafePointer(to: coppice_output(output)) { coppice_finish_product($0, output.rows.columns, x.rows) }
        }
    }

    private func multiplyTogether(_ x: ActivationRows, _ outputs: [ProductOutput]) {
        guard !together.isEmpty else { return }
        withUnsafeTemporaryAllocation(of: coppice_output.self, capacity: together.count) { destinations in
            withUnsafeTemporaryAllocation(of: coppice_row_kernel.self, capacity: together.count) { kernels in
                for (position, member) in together.enumerated() {
                    destinations.initializeElement(at: position, to: coppice_output(outputs[member.index]))
                }
                collect(kernels, from: 0, x) {
                    guard let first = kernels.baseAddress, let to = destinations.baseAddress else { return }
                    multiplyKernels(first, to, count: together.count, x)
                }
            }
        }
    }

    /// Calls `body` when all kernels from `position` on are in place: each is valid only within its weight's call.
    private func collect(
        _ kernels: UnsafeMutableBufferPointer<coppice_row_kernel>, from position: Int, _ x: ActivationRows,
        _ body: () -> Void
    ) {
        guard position < together.count else { return body() }
        let member = together[position]
        self.kernels.withRowKernel(member.weight, fewRows: member.fewRows, for: x) { kernel in
            kernels.initializeElement(at: position, to: kernel)
            collect(kernels, from: position + 1, x, body)
        }
    }
}

private func multiplyKernels(
    _ kernels: UnsafePointer<coppice_row_kernel>, _ outputs: UnsafePointer<coppice_output>, count: Int,
    _ x: ActivationRows
) {
    let bytes = coppice_multiply_scratch_bytes(kernels, count, x.rows)
    guard bytes > 0 else { return coppice_multiply(kernels, outputs, count, x.base, x.rows, x.stride, nil) }
    let scratch = TensorStorage(byteCount: bytes)
    withExtendedLifetime(scratch) {
        coppice_multiply(kernels, outputs, count, x.base, x.rows, x.stride, scratch.pointer)
    }
}

extension coppice_output {
    fileprivate init(_ output: ProductOutput) {
        self.init()
        y = output.rows.base
        stride = output.rows.stride
        bias = output.bias
        switch output.combination {
        case .none: combination = COPPICE_KEEPS
        case .adding(let rows):
            combination = COPPICE_ADDS
            (target, target_stride) = (rows.base, rows.stride)
        case .gating(let rows):
            combination = COPPICE_GATES
            (target, target_stride) = (rows.base, rows.stride)
        }
    }
}
