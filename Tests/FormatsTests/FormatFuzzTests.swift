import CoppiceFormats
import CoppiceTensors
import Testing

/// Stored weights of every format with something changed at random: they are refused in one line, or multiply.
@Suite(.serialized) struct FormatFuzzTests {
    /// Reproducible choices.
    private struct Choices {
        var state: UInt64

        mutating func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }

        mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
        mutating func pick<Element>(_ from: [Element]) -> Element { from[below(from.count)] }
    }

    private static func examples() throws -> [StoredWeight] {
        let matrix = Samples.matrix(5, 96, seed: 1)
        let types: [PackedValueType] = [
            .float(.f32), .float(.bf16), .integer(IntegerQuantization(bits: 8)),
            .integer(IntegerQuantization(bits: 4, groupSize: 32, isSymmetric: false)),
        ]
        var weights: [any WeightFormat] = [try DenseWeight(matrix), try DenseWeight(matrix.converted(to: .f16))]
        for type in types {
            if case .integer(let quantization) = type {
                weights.append(try IntegerGroupWeight(quantizing: matrix, quantization))
            }
            for (kept, length) in [(2, 4), (1, 4), (4, 8)] {
                weights.append(
                    try SemiStructuredWeight(
                        packing: CompressedWeightTests.pruned(5, 128, kept: kept, of: length), kept: kept, of: length,
                        values: type))
            }
            for step in [2, 9] {
                weights.append(
                    try BitmaskSparseWeight(
                        packing: CompressedWeightTests.sparse(5, 77, keepingEvery: step), values: type))
            }
            weights.append(try LowRankWeight(factoring: matrix, .rank(3), values: type))
        }
        for quantization in GroupSparseWeightTests.quantizations {
            weights.append(
                try GroupSparseWeight(
                    packing: GroupSparseWeightTests.pruned(5, 200, group: quantization.groupSize ?? 16), quantization))
        }
        weights.append(ColumnPermutedWeight(try DenseWeight(matrix), order: Array((0..<96).reversed())))
        weights.append(try SharedPoolWeight(fitting: matrix, poolSize: 64, seed: 5))
        weights.append(try BlockWeight(encoding: Samples.matrix(3, 256, seed: 2), as: .q4_k))
        for quantization in BitPlaneWeightTests.quantizations {
            weights.append(try BitPlaneWeight(quantizing: matrix, quantization))
        }
        for quantization in CodebookWeightTests.quantizations {
            weights.append(try CodebookWeight(quantizing: matrix, quantization))
        }
        return weights.map { $0.stored() }
    }

    /// Changes one to three things.
    private static func mutated(_ weight: StoredWeight, _ choices: inout Choices, _ all: [StoredWeight]) -> StoredWeight
    {
        var result = weight
        let numbers = ["-1", "0", "1", "3", "16", "48", "64", "4096", "268435456", "9223372036854775807", "many", ""]
        for _ in 0...choices.below(3) {
            switch choices.below(7) {
            case 0:
                let extents = [-1, 0, 1, 2, 5, 31, 96, 97, 128, 1 << 28, .max]
                result.shape = choices.below(8) == 0 ? [5] : [choices.pick(extents), choices.pick(extents)]
            case 1:
                guard !result.options.isEmpty else { continue }
                result.options[choices.pick(result.options.keys.sorted())] = choices.pick(numbers)
            case 2:
                guard !result.options.isEmpty else { continue }
                result.options[choices.pick(result.options.keys.sorted())] = nil
            case 3: result.format = choices.pick(all).format
            case 4:
                // Other content of the same shape.
                let part = choices.pick(result.tensors.keys.sorted())
                guard let tensor = result.tensors[part], tensor.count > 0 else { continue }
                let bytes = (0..<tensor.byteCount).map { _ in UInt8(truncatingIfNeeded: choices.next() >> 24) }
                let other = Tensor(uninitialized: tensor.shape, dataType: tensor.dataType)
                other.basePointer.copyMemory(from: bytes, byteCount: bytes.count)
                result.tensors[part] = other
            case 5:
                let part = choices.pick(result.tensors.keys.sorted())
                let shape = choices.pick([[0], [3], [5, 1], [5, 96], [1, 1, 1], [4096]])
                result.tensors[part] = Tensor.zeros(shape, dataType: choices.pick([.u8, .i8, .f16, .f32, .i32, .i64]))
            default:
                let part = choices.pick(result.tensors.keys.sorted())
                result.tensors[part] = choices.pick(all).tensors.values.first
            }
            if result.tensors.isEmpty { return result }
        }
        return result
    }

    @Test func changedWeightsAreRefusedInOneLineOrMultiply() throws {
        let all = try Self.examples()
        #expect(Set(all.map(\.format)) == Set(WeightFormats.all.map(\.name)), "each format has an example")
        var choices = Choices(state: 0x9E37_79B9_7F4A_7C15)
        var (refused, decoded) = (0, 0)
        for weight in all {
            for _ in 0..<150 {
                let changed = Self.mutated(weight, &choices, all)
                do {
                    let format = try WeightFormats.decode(changed)
                    decoded += 1
                    guard format.rows < 10_000, format.columns < 10_000 else { continue }
                    for batch in [1, 3, 9] {
                        let y = format.multiply(Tensor.ones([batch, format.columns]))
                        #expect(y.shape == [batch, format.rows])
                    }
                    #expect(format.dense().shape == [format.rows, format.columns])
                } catch let error as CoppiceError {
                    refused += 1
                    #expect(error.kind == .badData)
                    let line = error.description
                    #expect(line.contains("weight") && !line.contains("\n") && line.count < 400, "\(line)")
                }
            }
        }
        #expect(refused > 1000 && decoded > 100, "\(refused) refused, \(decoded) decoded")
    }
}
