import CKernels
import CoppiceTensors

/// A gradient as the rows of a window store it.
struct StoredGradient {
    /// `[1, d]`, in the type of the rows.
    let row: Tensor
    /// The same numbers, `[d]`, in the type of vectors beside rows.
    let vector: Tensor
    let squaredNorm: Double

    /// - Throws: `.badData` for another shape and for elements that are not finite.
    init(_ gradient: Tensor, in rows: GradientRows) throws {
        let own = try gradient.asVectors(of: rows.count, rows.vectorType)
        guard own.shape[0] == 1 else {
            throw CoppiceError(.badData, field: "gradient", "shape \(gradient.shape), expected [\(rows.count)]")
        }
        row = own.converted(to: rows.values.dataType)
        vector = row.converted(to: rows.vectorType).reshaped([rows.count])
        squaredNorm = GradientRows(row).dots(vector, .wide)[0]
    }
}

/// Gradients as the rows of a matrix G, in the precision that they are stored in, and the products that an inverse Fisher
/// matrix is made of. G is read once for each.
struct GradientRows: Sendable {
    /// f32, f64 or bf16 `[m, d]`, contiguous.
    private(set) var values: Tensor

    /// - Precondition: a matrix of f32, f64 or bf16.
    init(_ values: Tensor) {
        precondition(values.rank == 2 && [.f32, .f64, .bf16].contains(values.dataType), "rows of \(values.dataType)")
        self.values = values.contiguous()
    }

    var window: Int { values.shape[0] }
    var count: Int { values.shape[1] }

    /// What vectors beside the rows are in: f64 with f64, else f32.
    var vectorType: DataType { values.dataType == .f64 ? .f64 : .f32 }

    /// Replaces a row. O(d), and a copy of all where others refer to the tensor.
    mutating func replace(_ row: Int, with vector: Tensor) {
        let d = count
        func store<Scalar: TensorElement>(_ type: Scalar.Type) {
            vector.converted(to: values.dataType).withElements(type) { source in
                values.withMutableElements(type) { rows in
                    guard let from = source.baseAddress, let to = rows.baseAddress else { return }
                    (to + row * d).update(from: from, count: d)
                }
            }
        }
        switch values.dataType {
        case .f64: store(Double.self)
        case .bf16: store(BFloat16.self)
        default: store(Float.self)
        }
    }

    /// Sets columns to zero.
    ///
    /// - Returns: whether that changed a number.
    mutating func clear(_ isRemoved: [Bool]) -> Bool {
        let (m, d) = (window, count)
        func clear<Scalar: TensorElement>(_ zero: Scalar, _ isZero: (Scalar) -> Bool) -> Bool {
            values.withMutableElements(Scalar.self) { rows in
                var hasChanged = false
                for row in 0..<m {
                    for k in 0..<d where isRemoved[k] && !isZero(rows[row * d + k]) {
                        rows[row * d + k] = zero
                        hasChanged = true
                    }
                }
                return hasChanged
            }
        }
        switch values.dataType {
        case .f64: return clear(0.0) { $0 == 0 }
        case .bf16: return clear(BFloat16(0)) { $0.float == 0 }
        default: return clear(Float(0)) { $0 == 0 }
        }
    }

    /// How products with rows are summed.
    enum Sums {
        /// In f64.
        case wide
        /// With rows of bf16: dots of up to 64 products in f32, and these in f64, combinations in f32; several times as
        /// fast. Products of two numbers of bf16 are exact in f32; relative errors are about 1e-8 and 1e-7 of the largest
        /// term. With other rows as ``wide``.
        case short
    }

    /// G x.
    func dots(_ vector: Tensor, _ sums: Sums) -> [Double] {
        if sums == .short, values.dataType == .bf16 { return shortDots(vector) }
        guard values.dataType != .f64 else { return values.matmul(vector.reshaped([count, 1])).doubles() }
        var result = [Double](repeating: 0, count: window)
        vector.withElements(Float.self) { vector in
            coppice_wide_dots(
                values.dataType.kernelType, window, count, values.basePointer, vector.baseAddress, &result)
        }
        return result
    }

    private func shortDots(_ vector: Tensor) -> [Double] {
        var result = [Double](repeating: 0, count: window)
        values.withElements(BFloat16.self) { rows in
            vector.withElements(Float.self) { vector in
                rows.withMemoryRebound(to: UInt16.self) { rows in
                    coppice_bf16_dots(window, count, rows.baseAddress, vector.baseAddress, &result)
                }
            }
        }
        return result
    }

    /// Gᵀz.
    func combination(_ z: [Double], _ sums: Sums) -> Tensor {
        guard sums == .short, values.dataType == .bf16 else { return remainder(z, from: nil, scale: -1) }
        var result = Tensor(uninitialized: [count])
        values.withElements(BFloat16.self) { rows in
            result.withMutableElements(Float.self) { out in
                rows.withMemoryRebound(to: UInt16.self) { rows in
                    coppice_bf16_combination(window, count, rows.baseAddress, z.map(Float.init), out.baseAddress)
                }
            }
        }
        return result
    }

    /// (x − Gᵀz) · scale, summed in f64; x is zero where there is none.
    func remainder(_ z: [Double], from vector: Tensor?, scale: Double) -> Tensor {
        guard values.dataType != .f64 else {
            let combination = Tensor(z, shape: [1, window]).matmul(values).reshaped([count])
            return (vector.map { $0.reshaped([count]) - combination } ?? -combination) * scale
        }
        var result = Tensor(uninitialized: [count])
        result.withMutableElements(Float.self) { out in
            func run(_ base: UnsafePointer<Float>?) {
                coppice_wide_remainder(
                    values.dataType.kernelType, window, count, values.basePointer, z, base, scale, out.baseAddress)
            }
            if let vector { vector.withElements(Float.self) { run($0.baseAddress) } } else { run(nil) }
        }
        return result
    }

    /// Column k.
    func column(_ k: Int) -> [Double] {
        precondition((0..<count).contains(k), "weight \(k) of \(count)")
        return values.slice(axis: 1, k..<(k + 1)).doubles()
    }
}
