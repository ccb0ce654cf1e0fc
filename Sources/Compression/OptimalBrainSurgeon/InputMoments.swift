import CoppiceTensors

/// Σ x xᵀ of the inputs x of a linear layer over all tokens seen, accumulated in f64.
///
/// Up to a factor it is the Hessian H of the squared error of the layer's outputs, the same for each output (Frantar and
/// Alistarh, "SparseGPT", 2023, section 3.1). In memory are 8 · inputs² bytes.
public struct InputMoments: Sendable {
    /// f64 `[inputs, inputs]`, the upper triangle; nil before anything was added.
    private var sums: Tensor?
    /// Rows (tokens) seen.
    public private(set) var rowCount = 0

    /// Inputs whose products are taken at a time, so that symmetry saves half.
    private static let panel = 512

    public init() {}

    /// Adds the rows of X. O(rows · inputs²) in f32, summed up in f64.
    ///
    /// - Parameter x: f32 `[…, inputs]`.
    /// - Precondition: as many inputs as before.
    public mutating func add(_ x: Tensor) {
        guard let inputs = x.shape.last, x.count > 0 else { return }
        var sums = self.sums ?? Tensor.zeros([inputs, inputs], dataType: .f64)
        self.sums = nil  // So that it is not copied.
        precondition(sums.shape == [inputs, inputs], "\(inputs) inputs after \(sums.shape[0])")
        let rows = x.detached().reshaped([-1, inputs])
        for start in stride(from: 0, to: inputs, by: Self.panel) {
            let own = start..<min(start + Self.panel, inputs)
            let products = rows.slice(axis: 1, own).transposed().matmul(rows.slice(axis: 1, start..<inputs))
            let width = inputs - start
            products.withElements(Float.self) { from in
                sums.withMutableElements(Double.self) { to in
                    guard let from = from.baseAddress, let to = to.baseAddress else { return }
                    inParallel(own.count) { row in
                        let source = from + row * width
                        let target = to + (start + row) * inputs + start
                        for column in 0..<width { target[column] += Double(source[column]) }
                    }
                }
            }
        }
        self.sums = sums
        rowCount += rows.shape[0]
    }

    /// Σ x_j² of each input j. Empty before anything was added.
    public var squares: [Double] {
        guard let sums else { return [] }
        let inputs = sums.shape[0]
        return sums.withElements(Double.self) { elements in (0..<inputs).map { elements[$0 * (inputs + 1)] } }
    }

    /// What compensation asks of the inverse of H + λ I, where λ is a part of the mean of H's diagonal.
    ///
    /// An input that is always zero gets the mean on its diagonal; it touches no other. The mean is that of the others.
    ///
    /// - Parameter dampening: λ as a part of the mean, above zero.
    /// - Throws: `.badData` for inputs that are not finite, before anything was added, and where H + λ I is not positive
    ///   definite in f64.
    /// - Complexity: O(inputs³).
    public func inverse(dampening: Double) throws -> InverseMoments {
        guard var damped = sums else {
            throw CoppiceError(.badData, "calibration saw no inputs of this weight, expected activations")
        }
        let squares = self.squares
        if let bad = squares.firstIndex(where: { !$0.isFinite }) {
            throw CoppiceError(
                .badData,
                "input \(bad) is \(squares[bad].isNaN ? "NaN" : "infinite") on the calibration text or too large to be "
                    + "squared, expected finite numbers")
        }
        let unused = squares.indices.filter { squares[$0] == 0 }
        let used = squares.count - unused.count
        let mean = used == 0 ? 1 : squares.reduce(0, +) / Double(used)
        damped.withMutableElements(Double.self) { elements in
            for (input, square) in squares.enumerated() {
                elements[input * (squares.count + 1)] = (square == 0 ? mean : square) + dampening * mean
            }
        }
        do {
            return InverseMoments(
                factor: try damped.inverseCholeskyFactor().converted(to: .f32), unusedInputs: unused)
        } catch let error as CoppiceError {
            throw CoppiceError(
                .badData, "the second moments of this weight's inputs: \(error.message), expected a larger dampening")
        }
    }
}

/// The inverse of a layer's dampened ``InputMoments``, as the sweep over columns reads it.
public struct InverseMoments: Sendable {
    /// The upper triangular U with H⁻¹ = Uᵀ U, f32 `[inputs, inputs]`. Row j is that of the inverse of H without the inputs
    /// before j, over the root of its diagonal entry: U_jj² = [H_{j:}⁻¹]_jj.
    public let factor: Tensor
    /// Inputs that are zero for all tokens.
    public let unusedInputs: [Int]
}
