import CKernels
import CoppiceFormats
import CoppiceTensors
import Testing

/// Seeded test data.
enum Samples {
    static func floats(_ count: Int, seed: UInt64) -> [Float] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        return (0..<count).map { _ in
            // A sum of four uniform numbers: bell-shaped, as weights are.
            var sum: Float = 0
            for _ in 0..<4 {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                sum += Float(state >> 40) / Float(1 << 24) - 0.5
            }
            return sum
        }
    }

    static func matrix(_ rows: Int, _ columns: Int, seed: UInt64) -> Tensor {
        Tensor(floats(rows * columns, seed: seed), shape: [rows, columns])
    }

    /// f32 to a 16-bit type by the kernels.
    static func convert(_ source: Tensor, to type: DataType) -> Tensor {
        if type == .f32 { return source }
        let result = Tensor(uninitialized: source.shape, dataType: type)
        source.withElements(Float.self) { elements in
            guard let base = elements.baseAddress else { return }
            if type == .bf16 {
                coppice_f32_to_bf16(base, result.basePointer, elements.count)
            } else {
                coppice_f32_to_f16(base, result.basePointer, elements.count)
            }
        }
        return result
    }
}

/// Runs `body` at every level that the processor has, then returns to the best.
func atEveryLevel(_ body: (coppice_cpu_level) throws -> Void) rethrows {
    defer { coppice_set_cpu_level(COPPICE_CPU_AVX512) }
    for level in [COPPICE_CPU_PORTABLE, COPPICE_CPU_AVX2, COPPICE_CPU_AVX512]
    where level.rawValue <= coppice_cpu_level_available().rawValue {
        coppice_set_cpu_level(level)
        try body(level)
    }
}

/// Checks `multiply` at every level and batch size against an f64 product with `dense()`.
///
/// The tolerance is that of f32 sums plus, where `activationBlock` is given, the documented bound for activations
/// that are rounded to 8 bits in blocks of at most that many columns: half a step of max|x| / 127 per entry.
func expectProducts(
    _ weight: some WeightFormat, batches: [Int], activationBlock: Int? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let rows = weight.rows, columns = weight.columns
    let dense = weight.dense().floats()
    for batch in batches {
        // Rows lie apart in memory, so that a kernel that ignores the stride fails.
        let xStride = columns + 3, yStride = rows + 5
        let x = Samples.floats(batch * xStride, seed: UInt64(batch + columns))
        var expected = [Double](repeating: 0, count: batch * rows)
        var allowed = [Double](repeating: 0, count: batch * rows)
        for i in 0..<batch {
            let largest = (0..<columns).map { abs(x[i * xStride + $0]) }.max() ?? 0
            for r in 0..<rows {
                var sum = 0.0, magnitude = 0.0, weights = 0.0
                for c in 0..<columns {
                    let product = Double(dense[r * columns + c]) * Double(x[i * xStride + c])
                    sum += product
                    magnitude += abs(product)
                    weights += abs(Double(dense[r * columns + c]))
                }
                expected[i * rows + r] = sum
                allowed[i * rows + r] = magnitude * 3e-6 + 1e-12
                if activationBlock != nil {
                    allowed[i * rows + r] += Double(largest) / 254 * weights * 1.0001
                }
            }
        }
        atEveryLevel { level in
            var y = [Float](repeating: .nan, count: batch * yStride)
            x.withUnsafeBufferPointer { input in
                y.withUnsafeMutableBufferPointer { output in
                    guard let from = input.baseAddress, let to = output.baseAddress else { return }
                    weight.multiply(
                        ActivationRows(from, rows: batch, columns: columns, stride: xStride),
                        into: OutputRows(to, rows: batch, columns: rows, stride: yStride))
                }
            }
            var worst = 0.0
            for i in 0..<batch {
                for r in 0..<rows {
                    let excess = abs(Double(y[i * yStride + r]) - expected[i * rows + r]) / allowed[i * rows + r]
                    worst = excess.isNaN ? .infinity : max(worst, excess)
                }
                let beyond = y[(i * yStride + rows)..<((i + 1) * yStride)].allSatisfy { $0.isNaN }
                #expect(beyond, "wrote past the row", sourceLocation: sourceLocation)
            }
            #expect(
                worst <= 1, "\(weight.label) [\(rows), \(columns)] × \(batch) at level \(level.rawValue)",
                sourceLocation: sourceLocation)
        }
    }
}

/// Expects a `badData` error whose line contains `text`.
func expectBadData(
    _ text: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Any
) {
    do {
        _ = try body()
        Issue.record("no error, expected one with \"\(text)\"", sourceLocation: sourceLocation)
    } catch let error as CoppiceError {
        #expect(error.kind == .badData, sourceLocation: sourceLocation)
        #expect(error.description.contains(text), "\(error)", sourceLocation: sourceLocation)
    } catch {
        Issue.record("not a CoppiceError: \(error)", sourceLocation: sourceLocation)
    }
}
