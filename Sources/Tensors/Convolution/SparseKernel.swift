import CKernels
import Synchronization

/// A convolution's weight as the entries of it that are not zero, for networks in use: what is computed with it is not
/// recorded.
///
/// ```swift
/// let kernel = SparseKernel(layer.weight)
/// let y = x.convolved(with: kernel, windows: layer.windows)
/// ```
///
/// Made once for a weight that convolutions meet many times. O(weights) to make, twelve bytes for each entry.
public final class SparseKernel: Sendable {
    /// [out channels, in channels / groups, kernel rows, kernel columns].
    public let shape: [Int]
    /// Those of output o are at `starts[o] ..< starts[o + 1]`.
    private let starts: [Int32]
    /// Where entries are within the weight of their output, in row-major order.
    private let entries: [Int32]
    private let values: [Float]
    /// Where entries meet inputs of the size that came last.
    private let known = Mutex<Places?>(nil)

    private struct Places {
        var problem: ConvolutionProblem
        var places: [Int32]
    }

    /// Number of entries that are not zero.
    public var keptCount: Int { values.count }

    /// - Precondition: four dimensions, fewer than 2³¹ weights.
    public init(_ weight: Tensor) {
        precondition(weight.rank == 4 && weight.count <= Int32.max, "a convolution's weight of shape \(weight.shape)")
        shape = weight.shape
        let size = weight.shape.dropFirst().reduce(1, *)
        var (starts, entries, values) = ([Int32(0)], [Int32](), [Float]())
        weight.converted(to: .f32).withElements(Float.self) { elements in
            for output in 0..<weight.shape[0] {
                for entry in 0..<size where elements[output * size + entry] != 0 {
                    entries.append(Int32(entry))
                    values.append(elements[output * size + entry])
                }
                starts.append(Int32(entries.count))
            }
        }
        (self.starts, self.entries, self.values) = (starts, entries, values)
    }

    /// What becomes of outputs while they are at hand: scaled and shifted by channel, a residual added, then rectified.
    public struct Epilogue: Sendable {
        /// [out channels] each.
        public var scales, shifts: Tensor
        /// Of the outputs' shape; nil for none.
        public var residual: Tensor?
        /// Whether max(·, 0) comes last.
        public var rectifies: Bool

        public init(scales: Tensor, shifts: Tensor, residual: Tensor? = nil, rectifies: Bool = false) {
            (self.scales, self.shifts, self.residual, self.rectifies) = (scales, shifts, residual, rectifies)
        }

        /// As kernels read it.
        fileprivate var laidOut: Epilogue {
            func flat(_ x: Tensor) -> Tensor { x.detached().converted(to: .f32).contiguous() }
            return Epilogue(
                scales: flat(scales), shifts: flat(shifts), residual: residual.map(flat), rectifies: rectifies)
        }
    }

    /// f32 `[images, out channels, rows, columns]`, contiguous; the images may lie in any order of dimensions.
    fileprivate func convolve(_ x: Tensor, _ problem: ConvolutionProblem, _ epilogue: Epilogue?) -> Tensor {
        let result = Tensor(uninitialized: problem.outputShape)
        var convolution = coppice_sparse_convolution(
            images: problem.images, channels: problem.groups * problem.inputs, outputs: shape[0],
            windows: problem.windows.kernels(input: problem.inputSize, output: problem.outputSize),
            image_step: x.strides[0], channel_step: x.strides[1], row_step: x.strides[2], column_step: x.strides[3])
        let size = coppice_sparse_convolution_plane_count(&convolution)
        precondition(size <= Int32.max, "images of shape \(x.shape) are too large for a sparse convolution")
        // As many images at a time as leave the planes in a cache, and all threads with work.
        let atOnce = min(problem.images, max(4 * Int(coppice_thread_count()), Self.planeBudget / size))
        let planes = Tensor(uninitialized: [atOnce, size])
        let places = places(in: problem, of: convolution)
        let imageSize = shape[0] * problem.outputPlane
        withExtendedLifetime((x, planes, epilogue)) {
            withEntries(at: places) { entries in
                for first in stride(from: 0, to: problem.images, by: atOnce) {
                    convolution.images = min(atOnce, problem.images - first)
                    let finish = coppice_sparse_epilogue(
                        scales: epilogue?.scales.pointer(), shifts: epilogue?.shifts.pointer(),
                        residual: epilogue?.residual.map { $0.pointer(Float.self) + first * imageSize },
                        least: epilogue?.rectifies == true ? 0 : -.infinity)
                    coppice_sparse_convolve(
                        &convolution, entries, finish, x.pointer(Float.self) + first * x.strides[0], planes.pointer(),
                        result.pointer(Float.self) + first * imageSize)
                }
            }
        }
        return result
    }

    /// Floats of padded planes that are in use at a time.
    private static let planeBudget = 1 << 17

    private func withEntries(at places: [Int32], _ body: (coppice_sparse_kernel) -> Void) {
        starts.withUnsafeBufferPointer { starts in
            places.withUnsafeBufferPointer { places in
                values.withUnsafeBufferPointer { values in
                    body(
                        coppice_sparse_kernel(
                            starts: starts.baseAddress, places: places.baseAddress, values: values.baseAddress))
                }
            }
        }
    }

    private func places(in problem: ConvolutionProblem, of convolution: coppice_sparse_convolution) -> [Int32] {
        var key = problem
        key.images = 0
        if let last = known.withLock({ $0 }), last.problem == key { return last.places }
        let (rows, columns) = (shape[2], shape[3])
        var convolution = convolution
        // Of all entries of a group's weight, the same for each group but for where its channels begin.
        let relative = (0..<shape.dropFirst().reduce(1, *)).map { entry in
            coppice_sparse_convolution_place(
                &convolution, entry / (rows * columns), entry / columns % rows, entry % columns)
        }
        var places: [Int32] = []
        places.reserveCapacity(entries.count)
        for output in 0..<shape[0] {
            let group = output / problem.outputs
            let base = coppice_sparse_convolution_place(&convolution, group * problem.inputs, 0, 0)
            for entry in entries[Int(starts[output])..<Int(starts[output + 1])] {
                places.append(Int32(base + relative[Int(entry)]))
            }
        }
        known.withLock { $0 = Places(problem: key, places: places) }
        return places
    }
}

extension Tensor {
    /// The cross-correlation of images with the entries of a weight that are not zero: what
    /// ``convolved(with:windows:groups:)`` with the whole weight gives, but that zeros are not multiplied by anything,
    /// infinities included. In f32, whatever the type.
    ///
    /// - Parameter epilogue: what becomes of the outputs; nil: nothing.
    /// - Returns: [images, out channels, rows, columns], contiguous.
    /// - Precondition: this tensor is [images, in channels, rows, columns], fits weight and windows, and is not recorded.
    /// - Complexity: O(outputs · kept entries / out channels + inputs).
    public func convolved(
        with kernel: SparseKernel, windows: Windows, groups: Int = 1, epilogue: SparseKernel.Epilogue? = nil
    ) -> Tensor {
        precondition(!isTracked || !Recording.isEnabled, "gradients do not pass through a sparse kernel")
        let problem = ConvolutionProblem(input: shape, weight: kernel.shape, windows: windows, groups: groups)
        if let epilogue {
            let channels = [kernel.shape[0]]
            precondition(
                epilogue.scales.shape == channels && epilogue.shifts.shape == channels
                    && epilogue.residual.map { $0.shape == problem.outputShape } ?? true,
                "an epilogue of other shapes than \(problem.outputShape)")
        }
        guard problem.outputShape.allSatisfy({ $0 > 0 }) else { return .zeros(problem.outputShape) }
        return kernel.convolve(detached().converted(to: .f32), problem, epilogue?.laidOut)
    }
}
