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

    /// f32 to another floating-point type by the kernels.
    static func convert(_ source: Tensor, to type: DataType) -> Tensor { source.converted(to: type) }
}

/// Runs `body` at every level that the processor has.
func atEveryLevel(_ body: (coppice_cpu_level) throws -> Void) rethrows {
    let usual = coppice_cpu_level_in_use()
    defer { coppice_set_cpu_level(usual) }
    for level in [COPPICE_CPU_PORTABLE, COPPICE_CPU_AVX2, COPPICE_CPU_AVX512]
    where level.rawValue <= coppice_cpu_level_available().rawValue {
        coppice_set_cpu_level(level)
        try body(level)
    }
}

/// Checks `multiply` at every level and batch size against an f64 product with `dense()`.
///
/// The tolerance is that of f32 sums and, where `roundsActivations` and the level has integer kernels for the batch, the
/// documented bound for activations that are rounded to 8 bits in blocks of 32 columns: half a step of max|x| / 127 per
/// entry. Where `narrowsActivations`, that of bf16 for more than 8 rows at the level that has it.
func expectProducts(
    _ weight: some WeightFormat, batches: [Int], roundsActivations: Bool = false, narrowsActivations: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let rows = weight.rows, columns = weight.columns
    let dense = weight.dense().floats()
    for batch in batches {
        // Rows lie apart in memory, so that a kernel that ignores the stride fails.
        let xStride = columns + 3, yStride = rows + 5
        let x = Samples.floats(batch * xStride, seed: UInt64(batch + columns))
        var expected = [Double](repeating: 0, count: batch * rows)
        var summing = [Double](repeating: 0, count: batch * rows)
        var rounding = [Double](repeating: 0, count: batch * rows)
        for i in 0..<batch {
            let row = x[(i * xStride)..<(i * xStride + columns)].map { abs(Double($0)) }
            let largest = stride(from: 0, to: columns, by: 32).map { row[$0..<min($0 + 32, columns)].max() ?? 0 }
            for r in 0..<rows {
                var sum = 0.0, magnitude = 0.0, halfSteps = 0.0, heaviest = 0.0
                for c in 0..<columns {
                    let entry = Double(dense[r * columns + c])
                    sum += entry * Double(x[i * xStride + c])
                    magnitude += abs(entry) * row[c]
                    halfSteps += abs(entry) * largest[c / 32] / 254
                    heaviest = max(heaviest, abs(entry))
                }
                expected[i * rows + r] = sum
                summing[i * rows + r] = magnitude * 3e-6 + 1e-12
                // Zero points are subtracted after the sum.
                rounding[i * rows + r] = halfSteps + 1e-6 * (heaviest + 0.01) * row.reduce(0, +)
            }
        }
        atEveryLevel { level in
            var y = [Float](repeating: .nan, count: batch * yStride)
            x.withUnsafeBufferPointer { input in
                y.withUnsafeMutableBufferPointer { output in
                    guard let from = input.baseAddress, let to = output.baseAddress else { return }
                    weight.multiply(
                        ActivationRows(
                            from, rows: batch, columns: columns, stride: xStride, mayNarrow: narrowsActivations),
                        into: OutputRows(to, rows: batch, columns: rows, stride: yStride))
                }
            }
            var worst = 0.0
            for i in 0..<batch {
                for r in 0..<rows {
                    let at = i * rows + r
                    let rounds =
                        roundsActivations
                        && (level == COPPICE_CPU_AVX512 || level == COPPICE_CPU_AVX2 && batch <= 8)
                    let narrows = narrowsActivations && level == COPPICE_CPU_AVX512 && batch > 8
                    let allowed =
                        summing[at] + (rounds ? rounding[at] : 0) + (narrows ? summing[at] / 3e-6 / 256 : 0)
                    let excess = abs(Double(y[i * yStride + r]) - expected[at]) / allowed
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
